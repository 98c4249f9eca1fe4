//! Bernoulli autoencoders of 784 pixels (Grathwohl et al. 2018, section 5.2): one linear layer of
//! 200 latents (L1), two of them (L2), and one behind networks of two hidden tanh layers (NL1).
//!
//! Sizes, surrogates, optimiser and the images' share of ones are those of the programs that
//! `benches/compare` runs beside these; only, a surrogate here sees the site's own logits besides the
//! image.

use relax_runtime::estimator::{Nvil, by_name};
use relax_runtime::infer::Elbo;
use relax_runtime::prelude::*;

use crate::autoencoder::{Autoencoder, Kind, generate, recognise};
use crate::data::PIXELS;
use crate::{Job, Step};

/// What the site's surrogate or baseline sees of what came before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// The image, and the latents below.
    Image,
    /// The site's logits alone: what it sees without being told more.
    Logits,
}

/// Binary images with the mean of binarised MNIST, 13 % of ones, in batches.
fn images(batch: usize) -> Result<(Vec<f32>, Vec<Tensor>)> {
    const IMAGES: usize = 6_000;
    // The mean of u^POWER is 1/(POWER + 1).
    const POWER: f32 = 6.7;
    let mut stream = Key::new(1).stream("images");
    let rates: Vec<f32> = (0..PIXELS).map(|_| stream.uniform().powf(POWER)).collect();
    let mut mean = vec![0.0; PIXELS];
    let mut batches = Vec::new();
    for _ in 0..(IMAGES / batch).max(1) {
        let mut pixels = Vec::with_capacity(batch * PIXELS);
        for _ in 0..batch {
            let image = rates
                .iter()
                .map(|&rate| f32::from(u8::from(stream.uniform() < rate)));
            pixels.extend(image);
        }
        for image in pixels.chunks(PIXELS) {
            mean.iter_mut().zip(image).for_each(|(m, x)| *m += x);
        }
        batches.push(Tensor::from_vec(pixels, [batch, PIXELS], &Device::cpu())?);
    }
    let count = (batches.len() * batch) as f32;
    mean.iter_mut().for_each(|m| *m /= count);
    Ok((mean, batches))
}

fn trainer(estimator: &str) -> Result<Trainer> {
    let trainer = Trainer::new(1).optimizer(Adam::new(1e-4).betas(0.9, 0.99999));
    Ok(match estimator {
        "nvil" => trainer.estimator(Nvil {
            network: Relax {
                hidden: vec![100],
                activation: Activation::Tanh,
                ..Relax::free_form()
            },
        }),
        name => trainer.estimator(by_name(name)?),
    })
}

fn step(kind: Kind, estimator: &str, sees: Sees, batch: usize) -> Result<Step> {
    let (mean, batches) = images(batch)?;
    let vae = Autoencoder::new(kind, mean, 1, &Device::cpu())?.with_context(sees == Sees::Image);
    let mut trainer = trainer(estimator)?;
    let mut next = 0;
    Ok(Box::new(move || {
        let x = &batches[next];
        next = (next + 1) % batches.len();
        let (model, guide) = (generate(x, &vae, batch), recognise(x, &vae, batch));
        let report = trainer.step(&Elbo::new(&model).guide(&guide))?;
        Ok(report.loss / batch as f64)
    }))
}

/// The jobs: estimators at three batch sizes, deeper models, and how time grows with the batch.
pub(crate) fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut add = |kind: Kind, estimator: &'static str, sees: Sees, batch: usize| {
        let model = match kind {
            Kind::OneLayer => "L1",
            Kind::TwoLayers => "L2",
            Kind::Nonlinear => "NL1",
            Kind::NonlinearWide => "NL1 wide",
        };
        let by = if sees == Sees::Logits {
            " by logits"
        } else {
            ""
        };
        // RELAX has a network beside the relaxed cost, as the peers' has.
        let of_paper = estimator.strip_suffix("-sum").unwrap_or(estimator);
        let name = format!("{model} {of_paper}{by} batch {batch}");
        jobs.push(Job::new(name, move || step(kind, estimator, sees, batch)));
    };
    for batch in [24, 50, 100, 200, 512, 1024, 2048, 4096] {
        add(Kind::OneLayer, "relax-sum", Sees::Image, batch);
    }
    for batch in [24, 100, 512] {
        add(Kind::OneLayer, "relax-sum", Sees::Logits, batch);
        for estimator in ["rebar", "reinforce", "nvil"] {
            add(Kind::OneLayer, estimator, Sees::Image, batch);
        }
    }
    for kind in [Kind::TwoLayers, Kind::Nonlinear] {
        add(kind, "relax-sum", Sees::Image, 24);
    }
    jobs
}

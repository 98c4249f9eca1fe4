//! What the trained autoencoder is worth: bounds on the log-likelihood, and pictures.

use relax_runtime::dist::Distribution;
use relax_runtime::infer::LogEvidence;
use relax_runtime::prelude::*;

use crate::Outcome;
use crate::data::{BinaryImages, PIXELS};
use crate::model::{LATENTS, Vae, generate, recognise};
use crate::pictures::{ACROSS, Pictures, SAMPLES};
use crate::plot::Chart;

/// Bounds on the mean log-likelihood of an image, from `draws` importance-weighted draws each.
pub(crate) fn evidence(
    images: &BinaryImages,
    vae: &Vae,
    trainer: &Trainer,
    seed: u64,
    draws: usize,
    device: &Device,
) -> Outcome<LogEvidence> {
    /// As many images at a time as keep the draws in the cache.
    const ROWS: usize = 250;
    let count = images.count();
    let mut mean = LogEvidence {
        elbo: 0.0,
        bound: 0.0,
        effective_samples: 0.0,
    };
    let mut seeds = Key::new(seed).stream("validation");
    for start in (0..count).step_by(ROWS) {
        let indices: Vec<usize> = (start..count.min(start + ROWS)).collect();
        let rows = indices.len();
        let x = Tensor::from_vec(images.batch(&indices), [rows, PIXELS], device)?;
        let (model, guide) = (generate(&x, vae, rows), recognise(&x, vae, rows));
        let objective = Elbo::new(&model).guide(&guide);
        let seed = seeds.below(usize::MAX) as u64;
        let posterior = Posterior::draw(&objective, trainer.params(), seed, draws)?;
        let evidence = posterior.log_evidence();
        mean.elbo += evidence.elbo / count as f64;
        mean.bound += evidence.bound / count as f64;
        mean.effective_samples += evidence.effective_samples * rows as f64 / count as f64;
    }
    Ok(mean)
}

/// Validation images, their reconstructions, and images made from the prior.
pub(crate) struct Gallery<'a> {
    originals: Vec<f32>,
    reconstructions: Vec<f32>,
    samples: Vec<f32>,
    curves: &'a [Chart],
}

impl Gallery<'_> {
    /// Draws everything into one file.
    pub(crate) fn save(&self, path: &std::path::Path) -> Outcome<()> {
        let pictures = Pictures {
            originals: &self.originals,
            reconstructions: &self.reconstructions,
            samples: &self.samples,
            curves: self.curves,
        };
        Ok(pictures.save(path)?)
    }
}

/// The pictures of a trained autoencoder.
pub(crate) fn picture<'a>(
    images: &BinaryImages,
    vae: &Vae,
    seed: u64,
    curves: &'a [Chart],
    device: &Device,
) -> Outcome<Gallery<'a>> {
    let mut stream = Key::new(seed).stream("pictures");
    let shown = ACROSS.min(images.count());
    let indices: Vec<usize> = (0..shown).map(|_| stream.below(images.count())).collect();
    let originals = images.batch(&indices);
    let x = Tensor::from_vec(originals.clone(), [shown, PIXELS], device)?;
    let pixels = |latents: &Tensor| vae.decode(latents).sigmoid().to_vec();
    let reconstructions = pixels(&Bernoulli::logits(vae.encode(&x))?.sample(&mut stream)?)?;
    let prior = vae.prior().broadcast_to([SAMPLES, LATENTS]);
    let samples = pixels(&Bernoulli::logits(prior)?.sample(&mut stream)?)?;
    Ok(Gallery {
        originals,
        reconstructions,
        samples,
        curves,
    })
}

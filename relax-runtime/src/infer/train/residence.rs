//! What a step of training reads back from another device.

use crate::dist::Bernoulli;
use crate::error::{Error, Result};
use crate::estimator::{Estimator, Relax, Rloo};
use crate::infer::{Configure, ConfigureTraining, Elbo, Trainer};
use crate::model::{Context, Site};
use crate::nn::Linear;
use crate::optim::{Adam, Averaged, Rule};
use crate::plumbing::model;
use crate::random::Key;
use crate::tensor::{Device, Tensor, taken_reads};

const ROWS: usize = 64;
const LATENTS: usize = 4;
const PIXELS: usize = 9;

/// The sizes of what each of several later steps of a binary autoencoder reads.
fn reads(estimator: impl Estimator + 'static, rule: impl Rule + 'static) -> Result<Vec<usize>> {
    let device = Device::dfdx();
    let mut stream = Key::new(3).stream("data");
    let x = stream.uniforms([ROWS, PIXELS], &device)?.gt(0.6);
    let mut layer = |from, to, name: &str| {
        let layer = Linear::new(from, to, &mut stream, &device)?;
        Ok::<_, Error>(layer.named(name))
    };
    let encoder = layer(PIXELS, LATENTS, "encoder")?;
    let decoder = layer(LATENTS, PIXELS, "decoder")?;
    let site = |name| Site::new(name, file!(), line!());
    let generate = model("generate", |context: &Context| {
        let _rows = context.plate(site("rows"), ROWS, Some(10 * ROWS))?;
        let prior = Tensor::zeros([1, LATENTS], &device);
        let h = context.sample(site("h"), Bernoulli::logits(prior))?;
        context.observe(site("x"), Bernoulli::logits(decoder.forward(&h)), &x)
    });
    let recognise = model("recognise", |context: &Context| {
        let _rows = context.plate(site("rows"), ROWS, Some(10 * ROWS))?;
        context.sample(site("h"), Bernoulli::logits(encoder.forward(&x)))
    });
    let layers = [encoder.parameters(), decoder.parameters()].concat();
    let mut trainer = Trainer::new(4)
        .estimator(estimator)
        .optimizer(rule)
        .layers(layers);
    let objective = Elbo::new(&generate).guide(&recognise);
    // The next step is one that averages include.
    for _ in 0..23 {
        trainer.step(&objective)?;
    }
    taken_reads();
    trainer.step(&objective)?;
    Ok(taken_reads())
}

/// Checks of parameters, data and gradients, reports and the optimizer come back as single numbers; totals as one per
/// row. Only the quadratic form of RELAX looks at draws, which it adds up in double precision.
#[test]
fn a_step_reads_no_batch() -> Result<()> {
    let by_rloo = reads(Rloo::default(), Adam::new(0.02))?;
    assert!(by_rloo.iter().all(|&read| read <= ROWS), "{by_rloo:?}");
    let averaged = reads(Rloo::default(), Averaged::of(Adam::new(0.02)))?;
    assert_eq!(averaged, by_rloo);
    let by_relax = reads(Relax::default(), Adam::new(0.02))?;
    let draws = ROWS * LATENTS;
    assert!(by_relax.iter().all(|&read| read <= draws), "{by_relax:?}");
    assert!(
        by_relax.iter().filter(|&&read| read == draws).count() <= 2,
        "{by_relax:?}"
    );
    Ok(())
}

//! The estimators of `table1` that are as published.

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{
    Coupling, DrawKind, Estimator, Noise, Problem, SiteClass, SiteTask, differentiable, relax,
};
use relax_runtime::infer::{Check, ExpectedCost};
use relax_runtime::optim::Adam;
use relax_runtime::prelude::*;

use crate::models;

#[path = "../../examples/table1/published.rs"]
mod table1;

use table1::{DECAY, Published};

const CLASS: SiteClass = SiteClass {
    draws: DrawKind::Coins,
    relaxable: true,
    differentiable: true,
    mirrored: true,
    values: 2,
    changes: 2,
    separate: true,
    rows_differ: false,
    followed: false,
    samples: 1,
};

/// As the public code trains them: on the mean, over rows and latents, of the squared gradient of a batch's mean, plus
/// half the squares of the network's weights and biases, times 10⁻³.
#[test]
fn their_networks_decay_as_in_the_public_code() -> Result<()> {
    const ROWS: usize = 3;
    let published = Published {
        name: "published",
        coupling: Coupling::Coupled,
        network: true,
        adam: Adam::new(1e-2),
    };
    let mut stream = Key::new(2).stream("case");
    let device = Device::cpu();
    let theta = stream.normals([ROWS, 2], &device)?;
    let noise = Noise::coupled(stream.uniforms([ROWS, 2], &device)?);
    let task = SiteTask {
        name: "b",
        class: CLASS,
        problem: Problem::new(&BernoulliRelaxation, &theta, &noise).rows(),
        seed: 4,
    };
    let cost = differentiable(|b: &Tensor| Ok((b - 0.3).square().sum(1)));
    let state = published.state(&task)?;
    for parameter in state.parameters() {
        parameter.set(stream.normals(parameter.shape(), &device)?)?;
    }
    let decayed = published.estimate(&task, &cost, &state)?;
    let plain = relax(task.problem, &cost, state.surrogate())?;
    let (decayed, plain) = (
        decayed.variance_gradient.tensors(),
        plain.variance_gradient.tensors(),
    );
    let (unit, names) = ((ROWS * ROWS) as f32, state.parameters());
    assert!(names.len() > 10, "η, ln λ, and six layers");
    for (place, parameter) in names.iter().enumerate() {
        let added = (&decayed[place] - &plain[place]) / unit;
        let wanted = parameter.get().detach() * if place < 2 { 0.0 } else { DECAY };
        for (added, wanted) in added.to_vec()?.into_iter().zip(wanted.to_vec()?) {
            let size = decayed[place].abs().max_all().item()? / unit;
            assert!(
                (added - wanted).abs() < 1e-6 * (1.0 + size),
                "{added} {wanted}"
            );
        }
    }
    Ok(())
}

/// With surrogates that have learned at a rate at which they are far from where they began.
#[test]
fn those_of_the_table_are_unbiased() -> Result<()> {
    for coupling in [Coupling::Coupled, Coupling::Independent] {
        let published = Published {
            name: "published",
            coupling,
            network: true,
            adam: Adam::new(1e-2).betas(0.9, 0.99999),
        };
        let program = models::two_coins(100, 100);
        let table = Check::new(&ExpectedCost::new(&program))
            .estimator(published)
            .draws(100)
            .run()?;
        table.verdict()?;
    }
    Ok(())
}

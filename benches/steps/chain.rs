//! Chains of coins: how the time of a step grows with the number of sequential sites.

use relax_runtime::estimator::by_name;
use relax_runtime::infer::MeanFieldGuide;
use relax_runtime::prelude::*;

use crate::{Job, Step};

/// A coin by the coin before, which host code reads.
#[model]
fn host_chain(length: usize) {
    let mut last = true;
    for _ in 0..length {
        let on = sample!(Bernoulli(if last { 0.8 } else { 0.3 }));
        observe!(Bernoulli(if on { 0.9 } else { 0.2 }), true);
        last = on;
    }
}

/// A coin by all coins before, of which the last count most.
#[model]
fn tensor_chain(length: usize) {
    let mut state = Tensor::scalar(0.0);
    for _ in 0..length {
        let on = sample!(Bernoulli(logits = &state - 0.5));
        state = &state * 0.5 + &on;
        observe!(Bernoulli(logits = &state - 1.0), 1.0);
    }
}

fn steps(model: impl Program + 'static) -> Result<Step> {
    let mut trainer = Trainer::new(1).estimator(by_name("relax-free-form")?);
    Ok(Box::new(move || {
        Ok(trainer
            .step(&Elbo::new(&model).guide(&MeanFieldGuide))?
            .loss)
    }))
}

/// The jobs: both chains at three lengths.
pub(crate) fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    for length in [100, 1_000, 10_000] {
        let name = |values| format!("chain {values} {length}");
        jobs.push(Job::new(name("host"), move || steps(host_chain(length))));
        jobs.push(Job::new(name("tensor"), move || {
            steps(tensor_chain(length))
        }));
    }
    jobs
}

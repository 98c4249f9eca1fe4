//! A factorial hidden Markov model (Ghahramani and Jordan 1997): appliances that are on or off, whose total power is
//! metered.
//!
//! The known evidence is that of the forward recursion over the 8 states of all three.

use relax_runtime::prelude::*;

use crate::known::{fit, log_normal, log_sum_exp, near};
use crate::program::Outcome;

const POWER: [f64; 3] = [0.5, 1.2, 2.0];
const METER: [f64; 24] = [
    0.1, 0.6, 0.4, 1.8, 1.6, 1.7, 1.1, 1.3, 3.2, 3.1, 3.8, 3.6, 3.7, 2.4, 2.6, 2.1, 1.9, 0.1, -0.1,
    0.5, 0.6, 2.4, 2.5, 3.6,
];

fn on(was_on: bool) -> f64 {
    if was_on { 0.8 } else { 0.2 }
}

#[model]
fn factorial(meter: &[f64]) {
    let mut state = [false; 3];
    for power in meter {
        for was_on in &mut state {
            let is_on = sample!(Bernoulli(on(*was_on)));
            *was_on = is_on;
        }
        let total: f64 = state
            .iter()
            .zip(POWER)
            .filter(|(on, _)| **on)
            .map(|(_, power)| power)
            .sum();
        observe!(Normal(total, 0.3), *power);
    }
}

/// ln p(meter), and the probabilities of the last 8 states.
fn forward(meter: &[f64]) -> (f64, Vec<f64>) {
    let is_on = |state: usize, of: usize| state >> of & 1 == 1;
    let step = |from: usize, to: usize| -> f64 {
        let each = (0..3).map(|of| match (on(is_on(from, of)), is_on(to, of)) {
            (p, true) => p.ln(),
            (p, false) => (1.0 - p).ln(),
        });
        each.sum()
    };
    let mut alpha = vec![f64::NEG_INFINITY; 8];
    alpha[0] = 0.0;
    for &seen in meter {
        let next = (0..8).map(|to| {
            let from: Vec<f64> = (0..8).map(|from| alpha[from] + step(from, to)).collect();
            let total = (0..3).filter(|&of| is_on(to, of)).map(|of| POWER[of]).sum();
            log_sum_exp(&from) + log_normal(seen, total, 0.09)
        });
        alpha = next.collect();
    }
    let evidence = log_sum_exp(&alpha);
    (
        evidence,
        alpha.iter().map(|log| (log - evidence).exp()).collect(),
    )
}

pub(crate) fn run() -> Outcome<()> {
    let fit = fit(&factorial(&METER))?;
    let (evidence, last) = forward(&METER);
    near(
        "ln p(meter)",
        fit.posterior().log_evidence().elbo,
        evidence,
        1e-3,
    )?;
    for of in 0..3 {
        let name = format!("is_on[{}][{of}]", METER.len() - 1);
        let known = (0..8)
            .filter(|state| state >> of & 1 == 1)
            .map(|state| last[state])
            .sum();
        near(
            &format!("P({name})"),
            fit.posterior().mean(&name)?,
            known,
            1e-3,
        )?;
    }
    Ok(())
}

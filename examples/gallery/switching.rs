//! A linear system whose regime switches (Ackerson and Fu 1970): a position that rests or moves about.
//!
//! Given the regimes, the positions are those of a Kalman filter; the known value is its sum over all regimes.

use relax_runtime::prelude::*;

use crate::known::{fit, log_normal, log_sum_exp, near};
use crate::program::Outcome;

const SEEN: [f64; 9] = [0.1, -0.2, 0.2, 1.9, 4.1, 2.6, 2.4, 2.6, 2.5];

/// How far a position moves at rest, and in motion.
const MOVES: [f64; 2] = [0.2, 2.0];
const NOISE: f64 = 0.3;

fn moving(was_moving: bool) -> f64 {
    if was_moving { 0.7 } else { 0.2 }
}

#[model]
fn switching(seen: &[f64]) {
    let mut was_moving = false;
    let mut position = Tensor::scalar(0.0);
    for x in seen {
        let moves = sample!(Bernoulli(moving(was_moving)));
        let place = sample!(Normal(&position, MOVES[usize::from(moves)]));
        observe!(Normal(&place, NOISE), *x);
        (was_moving, position) = (moves, place);
    }
}

/// ln p(seen, regimes), a bit for each.
fn kalman(seen: &[f64], regimes: usize) -> f64 {
    let (mut log, mut was_moving, mut mean, mut variance) = (0.0, false, 0.0, 0.0);
    for (t, &x) in seen.iter().enumerate() {
        let moves = regimes >> t & 1 == 1;
        let p = moving(was_moving);
        log += if moves { p.ln() } else { (1.0 - p).ln() };
        was_moving = moves;
        variance += MOVES[usize::from(moves)].powi(2);
        let total = variance + NOISE * NOISE;
        log += log_normal(x, mean, total);
        mean += variance / total * (x - mean);
        variance *= NOISE * NOISE / total;
    }
    log
}

pub(crate) fn run() -> Outcome<()> {
    let fit = fit(&switching(&SEEN))?;
    let each: Vec<f64> = (0..1 << SEEN.len())
        .map(|regimes| kalman(&SEEN, regimes))
        .collect();
    let evidence = log_sum_exp(&each);
    let bound = fit.posterior().log_evidence();
    near("ELBO, below ln p(seen)", bound.elbo, evidence, 0.5)?;
    near("bound of all draws", bound.bound, evidence, 0.1)?;
    for t in 0..SEEN.len() {
        let moves = each
            .iter()
            .enumerate()
            .filter(|(regimes, _)| regimes >> t & 1 == 1);
        let known = moves.map(|(_, log)| (log - evidence).exp()).sum();
        let name = format!("moves[{t}]");
        near(
            &format!("P({name})"),
            fit.posterior().mean(&name)?,
            known,
            0.1,
        )?;
    }
    Ok(())
}

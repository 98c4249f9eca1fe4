//! Spins on a 4 × 4 grid that prefer to point the same way as their neighbors (Ising 1925).
//!
//! The partition function is a sum over 65,536 states.

use relax_runtime::prelude::*;

use crate::known::{fit, log_sum_exp, near};
use crate::program::Outcome;

const SIDE: usize = 4;
const COUPLING: f64 = 0.5;

#[model]
fn ising() {
    let mut spin = [[0.0; SIDE]; SIDE];
    for i in 0..SIDE {
        for j in 0..SIDE {
            let up = sample!(Bernoulli(0.5));
            spin[i][j] = if up { 1.0 } else { -1.0 };
            if i > 0 {
                factor!(COUPLING * spin[i][j] * spin[i - 1][j], name = "above");
            }
            if j > 0 {
                factor!(COUPLING * spin[i][j] * spin[i][j - 1], name = "left");
            }
        }
    }
}

/// −E(state)/T.
fn energy(state: u32) -> f64 {
    let spin = |i: usize, j: usize| {
        if state >> (SIDE * i + j) & 1 == 1 {
            1.0
        } else {
            -1.0
        }
    };
    let mut agree = 0.0;
    for i in 0..SIDE {
        for j in 1..SIDE {
            agree += spin(i, j) * spin(i, j - 1) + spin(j, i) * spin(j - 1, i);
        }
    }
    COUPLING * agree
}

pub(crate) fn run() -> Outcome<()> {
    let fit = fit(&ising())?;
    // A coin each divides by the number of states.
    let states = (SIDE * SIDE) as f64 * f64::ln(2.0);
    let found = fit.posterior().log_evidence().elbo + states;
    let energies: Vec<f64> = (0..1 << (SIDE * SIDE)).map(energy).collect();
    let log_z = log_sum_exp(&energies);
    near("ln Z", found, log_z, 1e-4)?;

    let agree = |state: usize| (state & 1 == 1) == (state >> (SIDE * SIDE - 1) & 1 == 1);
    let terms = energies
        .iter()
        .enumerate()
        .filter(|(state, _)| agree(*state));
    let known: f64 = terms.map(|(_, energy)| (energy - log_z).exp()).sum();
    let corners = |draw: relax_runtime::infer::DrawRecord<'_>| {
        draw.number("up[0][0]").ok() == draw.number("up[3][3]").ok()
    };
    let found = fit.posterior().probability(corners)?;
    near("opposite corners point the same way", found, known, 0.1)
}

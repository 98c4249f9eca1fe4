//! Dual averaging of a step size, as samplers tune it.

use relax_runtime::prelude::*;

use crate::kernel::{Chains, Proposal};
use crate::program::Outcome;
use crate::tuning::{Schedule, Tuned};

/// Steers the mean acceptance probability to `wanted` with one step size for all coordinates (Hoffman
/// and Gelman 2014, algorithm 5 with its constants), times the chains' standard deviations at half of
/// the rounds if `scaled`, after which the averaging begins anew.
///
/// # Errors
/// If a state is not finite.
pub(crate) fn average(
    chains: &mut Chains<'_>,
    wanted: f64,
    scaled: bool,
    proposal: impl Fn(u64) -> Proposal,
    schedule: Schedule,
) -> Outcome<Tuned> {
    const FIRST: f64 = 0.05;
    let dims = chains.states.shape()[1];
    let mut scales = vec![1.0; dims];
    let mut dual = Dual::new(FIRST);
    let (mut path, mut evaluations) = (Vec::new(), 0);
    let mut seen: Vec<Vec<f64>> = Vec::new();
    for round in 0..schedule.rounds {
        let half = schedule.rounds / 2;
        if scaled && round == half {
            scales = deviations(&seen, dims);
            dual = Dual::new(1.0);
        }
        let steps: Vec<f32> = scales.iter().map(|s| (s * dual.step()) as f32).collect();
        let proposal = proposal(round);
        let moved = chains.advance(proposal, &Tensor::from_slice(&steps))?;
        path.push(f64::from(steps[0]));
        dual.see(wanted - moved.acceptance);
        evaluations += proposal.evaluations() as u64 * chains.states.rows() as u64;
        if scaled && 4 * round >= schedule.rounds && round < half {
            seen.push(chains.states.to_vec()?.into_iter().map(f64::from).collect());
        }
    }
    Ok(Tuned {
        steps: scales.iter().map(|scale| scale * dual.averaged()).collect(),
        path,
        evaluations,
    })
}

/// Standard deviations by coordinate of states `[chains, dims]`.
fn deviations(states: &[Vec<f64>], dims: usize) -> Vec<f64> {
    let of = |at: usize| {
        let all = || states.iter().flat_map(|x| x.iter().skip(at).step_by(dims));
        let count = all().count() as f64;
        let mean = all().sum::<f64>() / count;
        (all().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt()
    };
    (0..dims).map(of).collect()
}

/// The state of the averaging.
struct Dual {
    /// ln of ten times the first step, towards which steps shrink.
    centre: f64,
    rounds: f64,
    error: f64,
    log_step: f64,
    log_averaged: f64,
}

impl Dual {
    fn new(first: f64) -> Self {
        Self {
            centre: (10.0 * first).ln(),
            rounds: 0.0,
            error: 0.0,
            log_step: first.ln(),
            log_averaged: first.ln(),
        }
    }

    fn step(&self) -> f64 {
        self.log_step.exp()
    }

    fn averaged(&self) -> f64 {
        self.log_averaged.exp()
    }

    /// Takes in by how much the acceptance was too low.
    fn see(&mut self, error: f64) {
        const GAMMA: f64 = 0.05;
        const KAPPA: f64 = 0.75;
        const DELAY: f64 = 10.0;
        self.rounds += 1.0;
        let share = 1.0 / (self.rounds + DELAY);
        self.error += share * (error - self.error);
        self.log_step = self.centre - self.rounds.sqrt() / GAMMA * self.error;
        let share = self.rounds.powf(-KAPPA);
        self.log_averaged += share * (self.log_step - self.log_averaged);
    }
}

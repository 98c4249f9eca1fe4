//! Step sizes by descent on the expected squared jump, while the chains run.

use relax_runtime::prelude::*;

use crate::kernel::{Chains, Proposal};
use crate::model::{Sampler, jump};
use crate::program::Outcome;
use crate::target::Target;

/// How step sizes are learned.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    /// Adam's first rate, which falls to a tenth over the run.
    pub(crate) rate: f32,
    /// Transitions of all chains.
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
}

/// What was learned.
pub(crate) struct Tuned {
    /// Step sizes by coordinate.
    pub(crate) steps: Vec<f64>,
    /// The first coordinate's on the way.
    pub(crate) path: Vec<f64>,
    /// Slopes, or for a random walk densities, that it took, of all chains.
    pub(crate) evaluations: u64,
}

/// Maximises Σᵢ ln E[jumpᵢ²] over the coordinates' step sizes, by descent on less the expected squared
/// jump with each coordinate in units of its own jumps so far. Of one coordinate that is E[jump²]; of
/// several it does not ask for their units, and no coordinate is given up for one that jumps further.
/// `proposal` is that of a round, so that paths can have random lengths. The logarithms of step sizes
/// are averaged over the second half (Polyak and Juditsky 1992).
///
/// # Errors
/// The program's own, such as a trajectory that leaves the numbers.
pub(crate) fn tune(
    chains: &mut Chains<'_>,
    target: &dyn Target,
    first: &[f32],
    proposal: impl Fn(u64) -> Proposal,
    schedule: Schedule,
) -> Outcome<Tuned> {
    const MEMORY: f64 = 0.95;
    const SLOWEST: f32 = 0.1;
    let first: Vec<f32> = first.iter().map(|step| step.ln()).collect();
    let log_steps = Parameter::new(Tensor::from_slice(&first));
    let mut trainer = Trainer::new(schedule.seed).budget(2);
    let mut jumps: Option<Vec<f64>> = None;
    let mut sums = vec![0.0; first.len()];
    let mut averaged = 0.0;
    let (mut path, mut evaluations) = (Vec::new(), 0);
    for round in 0..schedule.rounds {
        let past = round as f32 / schedule.rounds as f32;
        if round % (schedule.rounds / 10).max(1) == 0 {
            // A rule forgets what it has remembered: ten times a run is seldom enough.
            let rate = schedule.rate * SLOWEST.powf(past);
            trainer = trainer.optimizer(Adam::new(rate).betas(0.9, 0.99));
        }
        let proposal = proposal(round);
        let moved = chains.advance(proposal, &log_steps.get().exp())?;
        let jumps = jumps.get_or_insert_with(|| moved.jumps.clone());
        for (mean, jump) in jumps.iter_mut().zip(&moved.jumps) {
            *mean = MEMORY * *mean + (1.0 - MEMORY) * jump;
        }
        let rows = chains.states.rows() as f64;
        let weight = |jump: &f64| (1.0 / (jump.max(1e-30) * rows * first.len() as f64)) as f32;
        let weights: Vec<f32> = jumps.iter().map(weight).collect();
        let weights = Tensor::from_slice(&weights);
        let sampler = Sampler {
            target,
            proposal,
            log_steps: &log_steps,
        };
        let program = jump(sampler, &chains.states, &weights);
        trainer.step(&ExpectedCost::new(&program))?;
        evaluations += 2 * proposal.evaluations() as u64 * chains.states.rows() as u64;
        let now: Vec<f64> = log_steps
            .get()
            .to_vec()?
            .into_iter()
            .map(f64::from)
            .collect();
        path.push(now[0].exp());
        if 2 * round >= schedule.rounds {
            averaged += 1.0;
            sums.iter_mut().zip(now).for_each(|(sum, x)| *sum += x);
        }
    }
    Ok(Tuned {
        steps: sums.iter().map(|sum| (sum / averaged).exp()).collect(),
        path,
        evaluations,
    })
}

//! Draws of a posterior by Hamiltonian Monte Carlo over what sums leave, started and scaled by a guide.

mod chains;
mod metric;
mod step_size;
mod target;

use chains::Chains;
use metric::Metric;
use target::Target;

use crate::error::{Error, Result};
use crate::infer::objective::{Elbo, Objective};
use crate::infer::pass::Mode;
use crate::infer::posterior::{Chained, Mixing, Posterior, Record, expect_some};
use crate::model::ParamStore;
use crate::random::Key;
use crate::tensor::Holding;

/// Chains side by side, whose agreement says whether they have mixed.
const CHAINS: usize = 4;
/// Draws of the guide from which the chains start, and are scaled.
const STARTS: usize = 100;
/// Transitions of each chain before those that count, in windows; after each but the last one the metric is what the
/// chains have seen in it.
const WINDOWS: [usize; 4] = [50, 75, 100, 75];

/// `n` draws of the posterior of a bound's model by chains that start from its guide.
///
/// # Errors
/// If the model has choices that chains cannot move, or other choices in other runs, whatever goes wrong where they
/// start, and at every transition.
pub(in crate::infer) fn draw(
    objective: &Elbo<'_>,
    params: &ParamStore,
    seed: u64,
    n: usize,
) -> Result<Posterior> {
    expect_some("posterior draws", n)?;
    let _holding = Holding::start();
    let key = |step: u64| Key {
        step: u64::MAX - step,
        ..Key::new(seed)
    };
    let mut target = Target::new(objective.program(params), params, key(0));
    let mut starts = Vec::with_capacity(STARTS);
    let mut log_weights = Vec::with_capacity(STARTS);
    for step in 0..STARTS as u64 {
        let pass = objective.evaluate(key(step), params, &Mode::Draw)?;
        if pass.latents.is_empty() {
            // What is summed out is drawn exactly.
            return Posterior::draw(objective, params, seed, n);
        }
        let record = Record::of(&pass)?;
        if let Some(site) = &record.scaled {
            return Err(refused(format!(
                "the log-probability of site `{site}` does not count once, as in a plate that is a part of a larger \
                 data set, or under `scale`: chains need all data"
            )));
        }
        log_weights.push(record.log_weights);
        starts.push(target.free(&pass)?);
    }
    let metric = Metric::of(&starts);
    starts.truncate(CHAINS);
    let stream = Key::new(seed).stream("chains");
    let mut chains = Chains::new(&mut target, starts, metric, stream)?;
    for (number, transitions) in WINDOWS.into_iter().enumerate() {
        chains.warm_up(transitions, number + 1 < WINDOWS.len())?;
    }
    let each = n.div_ceil(CHAINS);
    let (mut records, mut states) = (Vec::with_capacity(n), vec![Vec::new(); CHAINS]);
    for chain in 0..CHAINS {
        for draw in 0..each.min(n - records.len()) {
            let (state, place) = chains.advance(chain)?;
            let step = (chain * each + draw) as u64;
            records.push(place.record(key(step))?);
            states[chain].push(state);
        }
    }
    let mixing = Mixing::of(&states, chains.seen());
    Posterior::of_chains(Chained {
        records,
        mixing,
        log_weights,
    })
}

/// The error of a model that chains cannot do.
fn refused(problem: String) -> Error {
    Error::Config {
        setting: "hmc",
        problem,
    }
}

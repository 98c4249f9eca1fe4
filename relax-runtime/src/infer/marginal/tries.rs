//! The states that are tried before scopes are trusted, if host code has read choices.

use std::collections::BTreeSet;

use super::search::{Search, TRIALS};
use crate::error::Result;

/// Variables with at most this many combinations are tried in all of them,
const MOST_TRIED: usize = 1 << 11;
/// and with more if all runs together take at most this much work, measured by
/// [`Graph::work`](super::graph::Graph::work) and the numbers of a trace: some 30,000 for a model of a few host
/// numbers.
const MOST_WORK: usize = 1 << 25;
/// Maximum number of rounds: each time something is found, what was tried before is tried again.
const ROUNDS: usize = 8;
/// Up to this many variables are changed one by one, starting from states in which all have their first or their last
/// value and from some random ones, in about `FLIPS` runs in all.
const MOST_FLIPPED: usize = 128;
const FLIPS: usize = 512;

/// What to try.
#[derive(Clone, Debug)]
pub(super) enum Trial {
    /// Values by variable; a variable without one takes any possible value.
    State(Vec<Option<usize>>),
    /// Values by variable, whether or not all of them are possible together: choices that they remove have no value.
    AsItIs(Vec<usize>),
}

impl Trial {
    /// Any values.
    pub(super) fn any() -> Self {
        Self::State(Vec::new())
    }
}

impl Search<'_> {
    /// What the first sum tries: all states of the variables that a term may depend on, if there are few enough;
    /// otherwise random states, and states in which all variables have their first, their last or a random value, with
    /// each changed in turn. If a choice shows at few values of the others, as in recursion, two states that differ
    /// only in that choice show it sooner than two random ones.
    pub(super) fn first_trials(&mut self) -> Vec<Trial> {
        let sizes: Vec<usize> = {
            let graph = self.shared.graph.borrow();
            graph.domains.iter().map(|domain| domain.size).collect()
        };
        let sets = self.sets_to_try(&sizes);
        let trials = match &sets {
            Some(sets) => sets.iter().flat_map(|set| states(set, &sizes)).collect(),
            None => self.flips(&sizes),
        };
        // Parameters and other choices may change the result.
        let tried = sets.filter(|_| !self.has_left);
        self.shared.graph.borrow_mut().tried = tried.unwrap_or_default();
        trials
    }

    /// The sets of variables on which terms may depend, without subsets of others; `None` if they have too many states.
    fn sets_to_try(&mut self, sizes: &[usize]) -> Option<Vec<BTreeSet<usize>>> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return None;
        }
        let graph = self.shared.graph.borrow();
        let work = graph.work() + self.elements;
        let mut all = graph.open_scopes(MOST_TRIED.max(MOST_WORK / work.max(1)))?;
        all.sort_unstable_by_key(|set| std::cmp::Reverse(set.len()));
        let mut sets: Vec<BTreeSet<usize>> = Vec::new();
        for set in all {
            if !sets.iter().any(|larger| set.is_subset(larger)) {
                sets.push(set);
            }
        }
        let states = sets.iter().fold(0_usize, |sum, set| {
            let states = set.iter().map(|&v| sizes[v]);
            sum.saturating_add(states.fold(1, usize::saturating_mul))
        });
        let is_little = states.saturating_mul(work) <= MOST_WORK;
        let has_sites = states.saturating_mul(sizes.len()) <= self.shared.sites_left.get();
        ((states <= MOST_TRIED || is_little) && has_sites).then_some(sets)
    }

    /// Random states, and changes of single values.
    fn flips(&mut self, sizes: &[usize]) -> Vec<Trial> {
        let mut trials = vec![Trial::any(); TRIALS];
        if sizes.len() > MOST_FLIPPED {
            return trials;
        }
        let last = sizes.iter().map(|size| size - 1).collect();
        let mut states = vec![vec![0; sizes.len()], last];
        let at_random = (FLIPS / sizes.len().max(1)).clamp(2, TRIALS);
        states.extend((0..at_random).map(|_| self.filled(&[]).0));
        for state in states {
            for (v, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 1) {
                let mut flipped = state.clone();
                flipped[v] = (state[v] + 1 + self.stream.below(size - 1)) % size;
                trials.push(Trial::AsItIs(flipped));
            }
            trials.push(Trial::AsItIs(state));
        }
        trials
    }

    /// Runs a trial, unless its state is known to be impossible.
    pub(super) fn try_out(&mut self, trial: &Trial) -> Result<()> {
        let state = match trial {
            // Runs that tell nothing new now may do so once scopes have grown: a few runs are all kept; of many, those
            // that matter are made again.
            Trial::AsItIs(values) => return self.add(values).map(drop),
            Trial::State(state) => state,
        };
        let (values, is_possible) = self.filled(state);
        if state.is_empty() {
            return self.add(&values).map(drop);
        }
        if is_possible {
            return self.probe(&values);
        }
        let sizes: Vec<usize> = {
            let graph = self.shared.graph.borrow();
            graph.domains.iter().map(|domain| domain.size).collect()
        };
        let chosen = state.iter().enumerate();
        let chosen = chosen.filter_map(|(v, value)| {
            let mut weights = vec![f64::NEG_INFINITY; sizes[v]];
            weights[(*value)?] = 0.0;
            Some((v, weights))
        });
        let chosen: Vec<(usize, Vec<f64>)> = chosen.collect();
        match self.supported(&chosen)? {
            Some(values) => self.probe(&values),
            None => Ok(()),
        }
    }
}

/// All states of a set of variables.
fn states(set: &BTreeSet<usize>, sizes: &[usize]) -> impl Iterator<Item = Trial> {
    let count = set.iter().map(|&v| sizes[v]).product::<usize>();
    (0..count).map(move |mut number| {
        let mut state = vec![None; sizes.len()];
        for &v in set {
            state[v] = Some(number % sizes[v]);
            number /= sizes[v];
        }
        Trial::State(state)
    })
}

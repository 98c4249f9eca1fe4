//! The states that are tried before scopes are believed, where host code has read choices.

use std::collections::BTreeSet;

use super::search::{Search, TRIALS};
use crate::error::Result;

/// Variables that have so few combinations together are tried in all of them,
const MOST_TRIED: usize = 1 << 11;
/// and in more where all runs together come to so little work, as [`Graph::work`](super::graph::Graph::work) and the
/// numbers of a record have it: some 30,000 of a model of a few host numbers.
const MOST_WORK: usize = 1 << 25;
/// So often at most: each time something is found, what was tried before is tried again.
const ROUNDS: usize = 8;
/// So many variables are changed one by one, from states in which all have their first or their last value
/// and from some at random, in so many runs in all.
const MOST_FLIPPED: usize = 128;
const FLIPS: usize = 512;

/// What to try.
#[derive(Clone, Debug)]
pub(super) enum Trial {
    /// Values by variable; what has none takes any that is possible.
    State(Vec<Option<usize>>),
    /// Values by variable, whether or not all of them can be together: choices that they unmake have none.
    AsItIs(Vec<usize>),
}

impl Trial {
    /// Any values.
    pub(super) fn any() -> Self {
        Self::State(Vec::new())
    }
}

impl Search<'_> {
    /// What the first sum tries: all states of the variables that a term may depend on, where they are few enough
    /// together, and else states at random, and states in which all variables have their first or their last value, or
    /// any, each changed in turn: where a choice shows at few values of the others, as in recursion, a state and the
    /// same but for that choice tell sooner than two at random.
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
        // What parameters and other choices make of it is another matter.
        let tried = sets.filter(|_| !self.has_left);
        self.shared.graph.borrow_mut().tried = tried.unwrap_or_default();
        trials
    }

    /// The sets of variables on which terms may depend, those inside others left out; nothing where they have too many
    /// states.
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

    /// States at random, and changes of single values.
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

    /// Runs with these values, unless a state is known to be impossible.
    pub(super) fn try_out(&mut self, trial: &Trial) -> Result<()> {
        let state = match trial {
            // Runs that tell nothing new now may do so once scopes have grown: of a few all are kept, of many those
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

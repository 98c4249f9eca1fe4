//! Settings of a variance ledger.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::estimator::{Estimator, IntoEstimator};

/// What a ledger records.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(in crate::infer) every: u64,
    pub(in crate::infer) fresh: u64,
    pub(in crate::infer) rivals: Vec<Rc<dyn Estimator>>,
}

impl Recording {
    /// An entry for every site every so many steps, with 32 fresh draws.
    ///
    /// # Errors
    /// If `steps` is 0.
    pub fn every(steps: u64) -> Result<Self> {
        const FRESH: u64 = 32;
        if steps == 0 {
            return Err(Error::Config {
                setting: "ledger",
                problem: "records every 0 steps; give at least 1".into(),
            });
        }
        Ok(Self {
            every: steps,
            fresh: FRESH,
            rivals: Vec::new(),
        })
    }

    /// How many draws, with parameters and surrogates held fixed, give the fresh variance and the
    /// fit; fewer than two leave them out.
    #[must_use]
    pub fn fresh_draws(mut self, draws: u64) -> Self {
        self.fresh = draws;
        self
    }

    /// An estimator that races beside training where it is valid: at every step it sees the
    /// training's own draws and learns from them, with surrogates of its own, but moves nothing
    /// else.
    #[must_use]
    pub fn rival(mut self, estimator: impl IntoEstimator) -> Self {
        self.rivals.push(estimator.into_estimator());
        self
    }
}

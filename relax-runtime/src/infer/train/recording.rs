//! Settings of a variance ledger.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::estimator::{Estimator, IntoEstimator};

/// What a ledger records.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(in crate::infer) every: u64,
    pub(in crate::infer) fresh: u64,
    pub(in crate::infer) floors: Option<usize>,
    pub(in crate::infer) rivals: Vec<Rc<dyn Estimator>>,
}

impl Recording {
    /// An entry for every site every so many steps, one at least, with 32 fresh draws.
    pub fn every(steps: u64) -> Self {
        const FRESH: u64 = 32;
        Self {
            every: steps,
            fresh: FRESH,
            floors: None,
            rivals: Vec::new(),
        }
    }

    /// # Errors
    /// If it records every 0 steps.
    pub(in crate::infer) fn checked(self) -> Result<Self> {
        match self.every {
            0 => Err(Error::Config {
                setting: "ledger",
                problem: "records every 0 steps; give at least 1".into(),
            }),
            _ => Ok(self),
        }
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

    /// Shows beside each variance of a discrete site by how much it exceeds its floor, what the best control
    /// variate would leave of it: the variance of the *local expectation* Σ_v ∂p(v | θ)/∂θ f(v, b₋), the
    /// gradient by a choice's parameters once all others b₋ have fallen (Titsias and Lázaro-Gredilla
    /// 2015; IndeCateR's estimate, De Smet et al. 2023), for a coin p (1 − p) (f(1, b₋) − f(0, b₋)). Any estimate
    /// from one draw whose mean is right given the others varies as much at least, whatever is
    /// subtracted from the cost. [`LedgerEntry::above_floor`](crate::report::LedgerEntry::above_floor) is the ratio.
    ///
    /// It is exact where all choices together, those of all rows one by one, have at most so many
    /// combinations, by a run of the programs for each: 2²⁰ for twenty coins take about a gigabyte of memory.
    /// Where a choice changes how later ones are drawn, what counts as fallen is their noise; that is worked out
    /// for coins without rows, and left to the draws for others. Elsewhere it is estimated from the
    /// [`fresh_draws`](Self::fresh_draws), with a standard error from pairs of them; each then takes an
    /// evaluation for every value of every choice, later choices being made again with the noise that they
    /// had. A note says where there is no floor (continuous choices, values without a last one, rows that meet
    /// in one cost, bounds of several samples), where it does not hold for the estimator (biased ones, several draws
    /// or evaluations a step), and where it is no more than a bound: with more than two values one surrogate,
    /// which is a single number, cannot take all there is from all parameters.
    ///
    /// ```
    /// use relax_runtime::infer::Recording;
    /// use relax_runtime::prelude::*;
    ///
    /// #[model]
    /// fn two_coins() {
    ///     let theta = param!(0.4);
    ///     let a = sample!(Bernoulli(logits = &theta));
    ///     let b = sample!(Bernoulli(0.3));
    ///     cost!((&a + if b { 2.0 } else { 0.0 } - 0.7).square());
    /// }
    ///
    /// let recording = Recording::every(100).floors(1 << 12);
    /// let trained = Minimize::new(&two_coins()).steps(1).record(recording).run()?;
    /// let ledger = trained.ledger().expect("a ledger");
    /// let entry = ledger.site("a").next().expect("an entry");
    /// // f(1, b) − f(0, b) is −.4, or 3.6 where b = 1; the variance of that is 16 · .3 · .7.
    /// let p = 1.0 / (1.0 + (-0.4_f64).exp());
    /// let floor = (p * (1.0 - p)).powi(2) * 16.0 * 0.3 * 0.7;
    /// assert!((entry.floor.expect("a floor") / floor - 1.0).abs() < 1e-4);
    /// println!("{ledger}");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn floors(mut self, combinations: usize) -> Self {
        self.floors = Some(combinations);
        self
    }
}

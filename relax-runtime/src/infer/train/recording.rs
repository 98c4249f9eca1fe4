//! Settings of a variance ledger.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::estimator::{Estimator, IntoEstimator};

/// What a ledger records; [`record`](crate::infer::ConfigureTraining::record) takes it.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!(&b * 0.3 + 0.2);
/// }
///
/// # fn main() -> Result<()> {
/// let recording = Recording::every(5).fresh_draws(8).rival(Reinforce::default());
/// let trained = Minimize::new(&coin()).steps(10).record(recording).run()?;
/// let ledger = trained.ledger().expect("a ledger");
/// // Steps 0 and 5, each with the site's own estimator and the rival.
/// assert_eq!(ledger.site("b").count(), 4);
/// assert!(ledger.site("b").any(|entry| entry.rival && entry.estimator == "reinforce"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Recording {
    pub(in crate::infer) every: u64,
    pub(in crate::infer) fresh: u64,
    pub(in crate::infer) floors: Option<usize>,
    pub(in crate::infer) rivals: Vec<Rc<dyn Estimator>>,
}

impl Recording {
    /// Makes an entry for every site every `steps` steps, at least 1, with 32 fresh draws.
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

    /// Number of draws, with parameters and surrogates held fixed, for the fresh variance and the fit; with fewer than
    /// two they are left out.
    #[must_use]
    pub fn fresh_draws(mut self, draws: u64) -> Self {
        self.fresh = draws;
        self
    }

    /// Adds an estimator that races during training where it is valid: at every step it sees the training's own draws
    /// and learns from them, with its own surrogates, but affects nothing else.
    #[must_use]
    pub fn rival(mut self, estimator: impl IntoEstimator) -> Self {
        self.rivals.push(estimator.into_estimator());
        self
    }

    /// Shows by how much each variance at a discrete site exceeds its floor, which the best control variate would
    /// leave: the variance of the *local expectation* Σ_v ∂p(v | θ)/∂θ f(v, b₋), the gradient with respect to a
    /// choice's parameters given all others b₋ (Titsias and Lázaro-Gredilla 2015; IndeCateR's estimate, De Smet et al.
    /// 2023), for a coin p (1 − p) (f(1, b₋) − f(0, b₋)). Any estimate from one draw whose mean is right given the
    /// others varies at least as much, whatever is subtracted from the cost.
    /// [`LedgerEntry::above_floor`](crate::report::LedgerEntry::above_floor) is the ratio.
    ///
    /// It is exact if all choices together, counting each row, have at most `combinations` combinations, by running the
    /// programs for each: 2²⁰, for twenty coins, take about a gigabyte of memory. If a choice changes how later ones
    /// are drawn, their noise is held fixed instead of their values; that is computed exactly for coins without rows,
    /// and left to the draws for others. Otherwise the floor is estimated from the [`fresh_draws`](Self::fresh_draws),
    /// with a standard error from pairs of them; each then takes an evaluation for every value of every choice,
    /// redrawing later choices with the same noise. A note says where there is no floor (continuous choices, values
    /// without a last one, rows that meet in one cost, bounds of several samples), where it does not hold for the
    /// estimator (biased, or several draws or evaluations per step), and where it is only a bound: with more than two
    /// values one surrogate, a single number, cannot remove all the variance for all parameters.
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

//! How a run ended, and where its loss was going then.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::History;

/// How a run ended.
///
/// ```
/// use relax_runtime::prelude::*;
/// use relax_runtime::report::Ending;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = &logit));
///     cost!(heads);
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&coin()).steps(50).run()?;
/// assert_eq!(trained.ending(), Ending::Steps(50));
/// assert_eq!(trained.ending().to_string(), "50 steps, as asked for");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ending {
    /// After the number of steps that was asked for.
    Steps(u64),
    /// After this many steps, once the mean loss had stopped falling at every rate.
    Settled(u64),
    /// At the ceiling of 20,000 steps, before the loss had settled at every rate.
    Ceiling(u64),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps} steps, as asked for"),
            Self::Settled(steps) => write!(f, "settled after {steps} steps"),
            Self::Ceiling(steps) => write!(
                f,
                "not settled after {steps} steps; go on with `trainer_from(fit.into_trainer())`, without `steps`"
            ),
        }
    }
}

/// Where the loss was going at the end: the last quarter of the steps, up to 1,000, compared with as many
/// before.
///
/// ```
/// use relax_runtime::prelude::*;
/// use relax_runtime::report::Trend;
///
/// #[model]
/// fn parabola() {
///     let x = param!(3.0);
///     cost!(x.square());
/// }
///
/// # fn main() -> Result<()> {
/// // At Adam's rate of 0.01, 200 steps do not get from 3 to 0.
/// let trained = Minimize::new(&parabola()).steps(200).run()?;
/// assert!(matches!(trained.trend(), Trend::Falling { steps: 50, .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Trend {
    /// The mean loss was no lower than before, beyond what chance explains, by 10⁻⁴ (1 + |loss|) or 0.01, whichever is
    /// less, or by the rounding of a large loss, 2·10⁻⁶ of it.
    Flat,
    /// It was lower.
    Falling {
        /// By how much it was lower.
        gain: f64,
        /// Number of steps that were compared with as many before.
        steps: usize,
    },
    /// There were fewer than 100 steps.
    Unknown,
}

impl Trend {
    /// The trend at the end of a run.
    pub(crate) fn of(history: &History) -> Self {
        /// Number of steps whose mean is looked at.
        const WINDOW: RangeInclusive<usize> = 25..=1_000;
        let losses: Vec<f64> = history.steps.iter().map(|report| report.loss).collect();
        let steps = (losses.len() / 4).min(*WINDOW.end());
        if steps < *WINDOW.start() {
            return Self::Unknown;
        }
        let (others, last) = losses.split_at(losses.len() - steps);
        let before = Level::of(&others[others.len() - steps..]);
        let last = Level::of(last);
        match last.is_below(before) {
            true => Self::Falling {
                gain: before.mean - last.mean,
                steps,
            },
            false => Self::Flat,
        }
    }
}

/// The mean loss of some steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    mean: f64,
    /// Variance of the mean.
    variance: f64,
}

impl Level {
    /// The level of at least two losses.
    pub(crate) fn of(losses: &[f64]) -> Self {
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let square = |x: &f64| (x - mean).powi(2);
        Self {
            mean,
            variance: losses.iter().map(square).sum::<f64>() / (count * (count - 1.0)),
        }
    }

    /// Whether it is lower than the one before by more than chance and rounding.
    pub(crate) fn is_below(self, before: Self) -> bool {
        /// What is not worth going on for: a share of 1 plus the loss's size, or an amount, in nats if it is a bound.
        const SHARE: f64 = 1e-4;
        const AMOUNT: f64 = 0.01;
        /// What single precision leaves of a loss's digits, as a share of its size.
        const ROUNDING: f64 = 2e-6;
        /// Number of standard errors of the difference that may be chance.
        const CHANCE: f64 = 2.0;
        let chance = CHANCE * (self.variance + before.variance).sqrt();
        let size = self.mean.abs();
        let nothing = (SHARE * (1.0 + size)).min(AMOUNT).max(ROUNDING * size);
        before.mean - self.mean > chance.max(nothing)
    }
}

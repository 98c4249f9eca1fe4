//! How a run ended, and where its loss was going then.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::History;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ending {
    /// After the number of steps that was asked for.
    Steps(u64),
    /// After so many, when the mean loss of 1,000 steps, at a rate lowered twice, had not fallen any more.
    Settled(u64),
    /// At the ceiling of 20,000 steps, before it had settled at all rates.
    Ceiling(u64),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps} steps, as asked for"),
            Self::Settled(steps) => write!(f, "settled after {steps} steps"),
            Self::Ceiling(steps) => write!(
                f,
                "not settled after {steps} steps; give more with `steps`, or a larger learning rate"
            ),
        }
    }
}

/// What the last steps say of the loss: the last quarter of them, up to 1,000, against as many before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Trend {
    /// The mean loss was no lower than before, beyond what chance makes of it.
    Flat,
    /// It was lower.
    Falling {
        /// By so much.
        gain: f64,
        /// Than in so many steps before.
        steps: usize,
    },
    /// There were fewer than 100 steps.
    Unknown,
}

impl Trend {
    /// The trend at the end of a run.
    pub(crate) fn of(history: &History) -> Self {
        /// Steps whose mean is looked at.
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
    /// Of the mean.
    variance: f64,
}

impl Level {
    /// Of at least two losses.
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
        /// What is not worth going on, as a share of 1 plus the loss's size.
        const NOTHING: f64 = 1e-4;
        /// So many standard errors of the difference may be chance.
        const CHANCE: f64 = 2.0;
        let chance = CHANCE * (self.variance + before.variance).sqrt();
        before.mean - self.mean > chance.max(NOTHING * (1.0 + self.mean.abs()))
    }
}

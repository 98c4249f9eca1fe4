//! Sets of numbers: where the draws of a law lie, and which values its parameters may have.

use super::checks::all_hold;
use crate::error::Result;
use crate::tensor::Tensor;

/// A set of finite numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// All finite numbers.
    Real,
    /// Those above 0.
    Positive,
    /// Those of at least 0.
    NonNegative,
    /// Those between 0 and 1, without the ends.
    Unit,
    /// An interval whose ends are the law's own.
    Interval,
}

impl Support {
    /// The set in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Real => "the real numbers",
            Self::Positive => "the positive numbers",
            Self::NonNegative => "the numbers from 0 on",
            Self::Unit => "the numbers between 0 and 1",
            Self::Interval => "the numbers between its ends",
        }
    }

    /// The advice for a number outside the set.
    pub(super) const fn demand(self) -> &'static str {
        match self {
            Self::Real | Self::Interval => "it must be a finite number; look at what computes it",
            Self::Positive => {
                "it must be positive and finite; `param!(.., positive)` is, and `.exp()` of any number"
            }
            Self::NonNegative => "it must be finite and not negative; look at what computes it",
            Self::Unit => "it must lie between 0 and 1; `param!(.., unit)` does",
        }
    }

    /// Whether all numbers of a tensor lie in the set.
    ///
    /// # Errors
    /// If the tensor carries an error.
    pub(crate) fn holds_all(self, numbers: &Tensor) -> Result<bool> {
        let infinite = |x: &Tensor| x * 0.0;
        match self {
            Self::Real | Self::Interval => all_hold(numbers, f32::is_finite, infinite),
            Self::Positive => all_hold(
                numbers,
                |x| x.is_finite() & (x > 0.0),
                |x| infinite(x) + x.le(0.0),
            ),
            Self::NonNegative => all_hold(
                numbers,
                |x| x.is_finite() & (x >= 0.0),
                |x| infinite(x) + x.lt(0.0),
            ),
            Self::Unit => all_hold(
                numbers,
                |x| (x > 0.0) & (x < 1.0),
                |x| infinite(x) + x.le(0.0) + x.ge(1.0),
            ),
        }
    }

    /// Whether the number lies in the set.
    pub fn contains(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Self::Real | Self::Interval => true,
                Self::Positive => x > 0.0,
                Self::NonNegative => x >= 0.0,
                Self::Unit => x > 0.0 && x < 1.0,
            }
    }
}

//! Sets that parameters stay in, and the transforms from all real numbers to them.

use serde::{Deserialize, Serialize};

use super::family::LEAST_SHARE;
use crate::dist::noise::each::LARGEST as BELOW_ONE;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// How far the numbers of a simplex may sum from one before it is an error rather than rounding.
const SUM_TOLERANCE: f32 = 1e-4;

/// A set that a parameter's values lie in, with the transform onto it from unconstrained numbers: what
/// `param!(init, positive)` names.
///
/// The transforms are those of the Stan Reference Manual, chapter "Constraint Transforms", except for the
/// simplex, which is the softmax of numbers of which the last is 0. Vectors lie along the last axis,
/// matrices along the last two.
///
/// ```
/// # use relax_runtime::{Result, Tensor, dist::Constraint};
/// # fn main() -> Result<()> {
/// let shares = Tensor::from_slice(&[0.2, 0.3, 0.5]);
/// let free = Constraint::Simplex.free(&shares)?;
/// assert_eq!(free.len(), 2);
/// let back = Constraint::Simplex.value(&free).to_vec()?;
/// assert!((back[1] - 0.3).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Constraint {
    /// Numbers above 0: eᶻ.
    Positive,
    /// Numbers between 0 and 1: σ(z).
    Unit,
    /// Numbers between two others: low + (high − low) σ(z).
    Interval(f64, f64),
    /// Vectors of positive numbers whose sum is 1, one number longer than z.
    Simplex,
    /// Vectors of increasing numbers: z₀, z₀ + e^z₁, ..
    Ordered,
    /// Vectors of increasing positive numbers: e^z₀, e^z₀ + e^z₁, ..
    PositiveOrdered,
    /// Lower triangular matrices with a positive diagonal; z holds the logarithm of the diagonal, and what
    /// lies above the diagonal is ignored.
    LowerCholesky,
}

impl Constraint {
    /// Its name in `param!`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Positive => "positive".into(),
            Self::Unit => "unit".into(),
            Self::Interval(low, high) => format!("interval({low}, {high})"),
            Self::Simplex => "simplex".into(),
            Self::Ordered => "ordered".into(),
            Self::PositiveOrdered => "positive_ordered".into(),
            Self::LowerCholesky => "lower_cholesky".into(),
        }
    }

    /// Maps unconstrained numbers to a value of the set; differentiable.
    pub fn value(self, free: &Tensor) -> Tensor {
        match self {
            Self::Positive => exp(free),
            Self::Unit => sigmoid(free),
            Self::Interval(low, high) => sigmoid(free) * (high - low) + low,
            Self::Simplex => with_last(free)
                .softmax(-1)
                .kept_within(LEAST_SHARE as f32, 1.0),
            Self::Ordered => increments(free, |first| first.clone()).cumsum(-1),
            Self::PositiveOrdered => exp(free).cumsum(-1),
            Self::LowerCholesky => {
                let diagonal = exp(&free.diagonal()).unsqueeze(-1);
                free.tril(-1) + diagonal * identity(free)
            }
        }
    }

    /// Maps a value of the set to unconstrained numbers, a constant.
    ///
    /// # Errors
    /// [`Error::Config`] if the value is not in the set.
    pub fn free(self, value: &Tensor) -> Result<Tensor> {
        self.check(value)?;
        let value = value.detach();
        let last = || value.shape().last().copied().unwrap_or(0);
        let steps = || value.slice(-1, 1..last()) - value.slice(-1, 0..last() - 1);
        let free = match self {
            Self::Positive => value.ln(),
            Self::Unit => value.logit(),
            Self::Interval(low, high) => ((&value - low) / (high - low))
                .kept_within(LEAST_SHARE as f32, BELOW_ONE)
                .logit(),
            Self::Simplex => {
                let logs = value.ln();
                logs.slice(-1, 0..last() - 1) - logs.slice(-1, last() - 1..last())
            }
            Self::Ordered => Tensor::concat(&[&value.slice(-1, 0..1), &steps().ln()], -1),
            Self::PositiveOrdered => Tensor::concat(&[&value.slice(-1, 0..1), &steps()], -1).ln(),
            Self::LowerCholesky => {
                let diagonal = value.diagonal().ln().unsqueeze(-1);
                value.tril(-1) + diagonal * identity(&value)
            }
        };
        free.check().cloned()
    }

    /// ln |∂ value/∂ free|, which a density over values gains as one over unconstrained numbers: one number
    /// per number, vector or matrix.
    pub fn log_jacobian(self, free: &Tensor) -> Tensor {
        let ln_slope = |z: &Tensor| z.log_sigmoid() + (-z).log_sigmoid();
        match self {
            Self::Positive => free.clone(),
            Self::Unit => ln_slope(free),
            Self::Interval(low, high) => ln_slope(free) + (high - low).ln(),
            Self::Simplex => self.value(free).ln().sum(-1),
            Self::Ordered => increments(free, Tensor::ones_like).ln().sum(-1),
            Self::PositiveOrdered => free.sum(-1),
            Self::LowerCholesky => free.diagonal().sum(-1),
        }
    }

    /// Checks that a value is in the set.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not, or the set is empty.
    pub fn check(self, value: &Tensor) -> Result<()> {
        let shape = value.check()?.shape();
        let refuse = |problem: String| {
            Err(Error::Config {
                setting: "value of a parameter",
                problem: format!("a parameter declared `{}` {problem}", self.name()),
            })
        };
        let within = |low: f64, high: f64, wanted: &str| {
            let inside = |x: f32| f64::from(x) > low && f64::from(x) < high;
            let wrong = value.with_values(|values| values.iter().copied().find(|x| !inside(*x)))?;
            match wrong {
                None => Ok(()),
                Some(x) => refuse(format!("holds {x}; give {wanted}")),
            }
        };
        let positive = "finite numbers above 0";
        let vectors = |wanted: &str| match shape.last() {
            Some(1..) => Ok(()),
            _ => refuse(format!("has shape {shape}; give {wanted}")),
        };
        match self {
            Self::Positive => within(0.0, f64::INFINITY, positive),
            Self::Unit => within(0.0, 1.0, "numbers between 0 and 1"),
            Self::Interval(low, high) if low < high && (high - low).is_finite() => {
                within(low, high, &format!("numbers between {low} and {high}"))
            }
            Self::Interval(..) => {
                refuse("has no numbers; give two finite ends, the lower first".into())
            }
            Self::Simplex => {
                const WANTED: &str = "vectors of positive numbers whose sum is 1";
                vectors(WANTED)?;
                within(0.0, f64::INFINITY, WANTED)?;
                let sums = value.detach().sum(-1);
                let far = |x: &f32| (x - 1.0).abs() > SUM_TOLERANCE;
                match sums.with_values(|sums| sums.iter().copied().find(far))? {
                    None => Ok(()),
                    Some(sum) => refuse(format!("has the sum {sum}; give {WANTED}")),
                }
            }
            Self::Ordered | Self::PositiveOrdered => {
                const WANTED: &str = "vectors of increasing numbers";
                vectors(WANTED)?;
                match self {
                    Self::Ordered => within(f64::NEG_INFINITY, f64::INFINITY, WANTED)?,
                    _ => within(0.0, f64::INFINITY, positive)?,
                }
                let len = shape.last().copied().unwrap_or(1);
                let falls = |row: &[f32]| row.windows(2).any(|pair| pair[0] >= pair[1]);
                match value.with_values(|values| values.chunks(len).any(falls))? {
                    false => Ok(()),
                    true => refuse(format!("does not increase; give {WANTED}")),
                }
            }
            Self::LowerCholesky => {
                const WANTED: &str = "lower triangular matrices with a positive diagonal";
                let (rows, columns) = match shape[..] {
                    [.., m, n] => (m, n),
                    _ => (0, 1),
                };
                if rows != columns || rows == 0 {
                    return refuse(format!("has shape {shape}; give {WANTED}"));
                }
                within(f64::NEG_INFINITY, f64::INFINITY, "finite numbers")?;
                let right = |(i, x): (usize, &f32)| {
                    let (row, column) = (i / columns % rows, i % columns);
                    (column != row || *x > 0.0) && (column <= row || *x == 0.0)
                };
                match value.with_values(|values| values.iter().enumerate().all(right))? {
                    true => Ok(()),
                    false => refuse(format!("is not one; give {WANTED}")),
                }
            }
        }
    }
}

/// eᶻ, kept where f32 can hold it, and sums of several.
fn exp(z: &Tensor) -> Tensor {
    z.kept_within(-87.0, 80.0).exp()
}

/// σ(z), kept below 1 in f32.
fn sigmoid(z: &Tensor) -> Tensor {
    z.sigmoid().kept_within(LEAST_SHARE as f32, BELOW_ONE)
}

/// The unconstrained numbers of a simplex, with the 0 appended.
pub(super) fn with_last(free: &Tensor) -> Tensor {
    let last = free.slice(-1, 0..1).zeros_like();
    Tensor::concat(&[free, &last], -1)
}

/// A first number, followed by e^z of the others.
fn increments(z: &Tensor, first: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let len = z.shape().last().copied().unwrap_or(0);
    let start = first(&z.slice(-1, 0..1));
    Tensor::concat(&[&start, &exp(&z.slice(-1, 1..len.max(1)))], -1)
}

fn identity(matrix: &Tensor) -> Tensor {
    let side = matrix.shape().last().copied().unwrap_or(0);
    Tensor::eye(side, &matrix.device())
}

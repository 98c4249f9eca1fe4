//! How all real numbers are mapped onto the support of a continuous law.

use super::constraint::with_last;
use super::family::{LEAST, LEAST_SHARE};
use super::{Constraint, PerParameter};
use crate::dist::noise::each::LARGEST as BELOW_ONE;
use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// A smooth one-to-one map from unconstrained numbers u onto the support of a law. Guides over
/// unconstrained numbers draw through it (Kucukelbir, Tran, Ranganath, Gelman, Blei, "Automatic
/// Differentiation Variational Inference", JMLR 2017). Unlike those of a [`Constraint`], both directions
/// are differentiable, and the ends may be tensors.
///
/// ```
/// # use relax_runtime::{Result, Tensor, dist::Bijection};
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[0.5, 2.0]);
/// let u = Bijection::Positive.free(&x);
/// let back = Bijection::Positive.value(&u).to_vec()?;
/// assert!((back[1] - 2.0).abs() < 1e-6);
/// // dx/du = x.
/// assert_eq!(Bijection::Positive.log_volume(&u).to_vec()?, x.ln().to_vec()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Bijection {
    /// All real numbers: u itself.
    Real,
    /// Numbers above 0: eᵘ.
    Positive,
    /// Numbers above an end: end + eᵘ.
    Above(Tensor),
    /// Numbers below an end: end − eᵘ.
    Below(Tensor),
    /// Numbers between 0 and 1: σ(u).
    Unit,
    /// Numbers between two ends: low + (high − low) σ(u).
    Interval(Tensor, Tensor),
    /// Vectors of positive numbers whose sum is 1, along the last axis: the softmax of one number fewer,
    /// with a 0 appended.
    Simplex,
}

impl Bijection {
    /// Maps unconstrained numbers to values of the support.
    pub fn value(&self, free: &Tensor) -> Tensor {
        match self {
            Self::Real => free.clone(),
            Self::Positive => Constraint::Positive.value(free),
            Self::Above(low) => low + Constraint::Positive.value(free),
            Self::Below(high) => high - Constraint::Positive.value(free),
            Self::Unit => Constraint::Unit.value(free),
            Self::Interval(low, high) => low + (high - low) * Constraint::Unit.value(free),
            Self::Simplex => Constraint::Simplex.value(free),
        }
    }

    /// Maps values of the support to unconstrained numbers.
    pub fn free(&self, value: &Tensor) -> Tensor {
        let ln = |x: Tensor| x.kept_within(LEAST as f32, f32::MAX).ln();
        match self {
            Self::Real => value.clone(),
            Self::Positive => ln(value.clone()),
            Self::Above(low) => ln(value - low),
            Self::Below(high) => ln(high - value),
            Self::Unit => value.kept_within(LEAST_SHARE as f32, BELOW_ONE).logit(),
            Self::Interval(low, high) => {
                let share = (value - low) / (high - low);
                share.kept_within(LEAST_SHARE as f32, BELOW_ONE).logit()
            }
            Self::Simplex => {
                let len = value.shape().last().copied().unwrap_or(1);
                let logs = ln(value.clone());
                logs.slice(-1, 0..len - 1) - logs.slice(-1, len - 1..len)
            }
        }
    }

    /// ln |∂value/∂free| of each number, or of each vector of a simplex.
    pub fn log_volume(&self, free: &Tensor) -> Tensor {
        let unit = |u: &Tensor| u.log_sigmoid() + (-u).log_sigmoid();
        match self {
            Self::Real => free.zeros_like(),
            Self::Positive | Self::Above(_) | Self::Below(_) => free.clone(),
            Self::Unit => unit(free),
            Self::Interval(low, high) => unit(free) + (high - low).ln(),
            // Including values too small for f32: such numbers are as likely as their density says.
            Self::Simplex => with_last(free).log_softmax(-1).sum(-1),
        }
    }

    /// The shape of the unconstrained numbers for values of this shape.
    pub fn free_shape(&self, value: Shape) -> Shape {
        match (self, value.last()) {
            (Self::Simplex, Some(&len)) => value.with_axis(value.rank() - 1, len.saturating_sub(1)),
            _ => value,
        }
    }

    /// The ends, where they are tensors.
    pub(crate) fn ends(&self) -> PerParameter<Tensor> {
        match self {
            Self::Above(end) | Self::Below(end) => [end.clone()].into_iter().collect(),
            Self::Interval(low, high) => [low.clone(), high.clone()].into_iter().collect(),
            Self::Real | Self::Positive | Self::Unit | Self::Simplex => PerParameter::new(),
        }
    }

    /// Whether this and another map have the same image.
    ///
    /// # Errors
    /// Those that the ends carry.
    pub(crate) fn has_values_of(&self, other: &Self) -> Result<bool> {
        let (ends, others) = (self.ends(), other.ends());
        let is_same_kind = std::mem::discriminant(self) == std::mem::discriminant(other);
        let mut is_same = is_same_kind && ends.len() == others.len();
        for (end, other) in ends.iter().zip(&others) {
            is_same &= end.with_values(|end| other.with_values(|other| end == other))??;
        }
        Ok(is_same)
    }

    /// The same map with other ends, as many as [`ends`](Self::ends) returns.
    pub(crate) fn with_ends(&self, ends: &[Tensor]) -> Self {
        match (self, ends) {
            (Self::Above(_), [low]) => Self::Above(low.clone()),
            (Self::Below(_), [high]) => Self::Below(high.clone()),
            (Self::Interval(..), [low, high]) => Self::Interval(low.clone(), high.clone()),
            _ => self.clone(),
        }
    }
}

//! The numbers in which elementwise formulas are written, once for `f32`, in passes over CPU memory, and for
//! tensors, on any device.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Tensor;
use super::native::math;

/// `pointwise!([x, y], |[x, y]| formula(x, y))`: a constant tensor, the formula applied to each element of operands
/// of one shape. The formula calls functions that are generic over [`Element`], or operators: its text is
/// expanded both for `f32`, whose own methods would take precedence over those of the trait, and for tensors.
macro_rules! pointwise {
    ($operands:expr, |$x:pat_param| $formula:expr) => {
        $crate::tensor::Tensor::pointwise(
            $operands,
            #[inline(always)]
            move |$x| $formula,
            move |$x| $formula,
        )
    };
}

/// A number of an elementwise formula: an `f32`, or a [`Tensor`] that stands for each of its elements.
pub(crate) trait Element:
    Clone
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f32, Output = Self>
    + Mul<f32, Output = Self>
{
    /// eˣ.
    fn exp(&self) -> Self;
    /// eˣ − 1, accurate near 0.
    fn exp_m1(&self) -> Self;
    /// Natural logarithm.
    fn ln(&self) -> Self;
    /// ln x where x is not negative and ln(x + 1) elsewhere, both accurate near 0: the logarithm of a number in
    /// (0, 1) that is known modulo 1.
    fn ln_modulo_one(&self) -> Self;
    /// ln x − ln(1 − x).
    fn logit(&self) -> Self;
    /// 1/(1 + e⁻ˣ).
    fn sigmoid(&self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(&self) -> Self;
    /// max(x, 0).
    fn relu(&self) -> Self;
    /// √x.
    fn sqrt(&self) -> Self;
    /// |x|.
    fn abs(&self) -> Self;
    /// x clamped to [low, high].
    fn clamp(&self, low: f32, high: f32) -> Self;
    /// x with the sign of another number.
    fn with_sign_of(&self, other: &Self) -> Self;
    /// 0 in place of subnormal numbers, with which the processor is slow.
    fn flushed(self) -> Self;
    /// 1 where x is above the bound, 0 elsewhere.
    fn above(&self, bound: f32) -> Self;
    /// `then` where x is 1, `otherwise` where it is 0.
    fn choose(&self, then: Self, otherwise: Self) -> Self;
    /// ∂ log p(b | l)/∂l = b − σ(l) for a coin b with logit l; without cancellation where the coin is all but certain.
    fn coin_score(&self, b: &Self) -> Self;

    /// 1 − x.
    #[inline(always)]
    fn one_minus(self) -> Self {
        -self + 1.0
    }
}

impl Element for f32 {
    #[inline(always)]
    fn exp(&self) -> Self {
        math::exp(*self)
    }
    #[inline(always)]
    fn exp_m1(&self) -> Self {
        f32::exp_m1(*self)
    }
    #[inline(always)]
    fn ln(&self) -> Self {
        math::ln(*self)
    }
    #[inline(always)]
    fn ln_modulo_one(&self) -> Self {
        math::ln_modulo_one(*self)
    }
    #[inline(always)]
    fn logit(&self) -> Self {
        math::logit(*self)
    }
    #[inline(always)]
    fn sigmoid(&self) -> Self {
        math::sigmoid(*self)
    }
    #[inline(always)]
    fn tanh(&self) -> Self {
        math::tanh(*self)
    }
    #[inline(always)]
    fn relu(&self) -> Self {
        math::relu(*self)
    }
    #[inline(always)]
    fn sqrt(&self) -> Self {
        f32::sqrt(*self)
    }
    #[inline(always)]
    fn abs(&self) -> Self {
        f32::abs(*self)
    }
    #[inline(always)]
    fn clamp(&self, low: f32, high: f32) -> Self {
        math::clamp(*self, low, high)
    }
    #[inline(always)]
    fn with_sign_of(&self, other: &Self) -> Self {
        self.copysign(*other)
    }
    #[inline(always)]
    fn flushed(self) -> Self {
        if f32::abs(self) < f32::MIN_POSITIVE {
            0.0
        } else {
            self
        }
    }
    #[inline(always)]
    fn above(&self, bound: f32) -> Self {
        if *self > bound { 1.0 } else { 0.0 }
    }
    #[inline(always)]
    fn choose(&self, then: Self, otherwise: Self) -> Self {
        if *self > 0.5 { then } else { otherwise }
    }
    #[inline(always)]
    fn coin_score(&self, b: &Self) -> Self {
        math::coin_score(*b, *self)
    }
}

impl Element for Tensor {
    fn exp(&self) -> Self {
        Tensor::exp(self)
    }
    fn exp_m1(&self) -> Self {
        Tensor::exp_m1(self)
    }
    fn ln(&self) -> Self {
        Tensor::ln(self)
    }
    fn ln_modulo_one(&self) -> Self {
        let above = self.clamp(f32::MIN_POSITIVE, f32::MAX).ln();
        let below = self.clamp(-1.0, 0.0).ln_1p();
        self.lt(0.0).select_where(&below, &above)
    }
    fn logit(&self) -> Self {
        Tensor::logit(self)
    }
    fn sigmoid(&self) -> Self {
        Tensor::sigmoid(self)
    }
    fn tanh(&self) -> Self {
        Tensor::tanh(self)
    }
    fn relu(&self) -> Self {
        Tensor::relu(self)
    }
    fn sqrt(&self) -> Self {
        Tensor::sqrt(self)
    }
    fn abs(&self) -> Self {
        Tensor::abs(self)
    }
    fn clamp(&self, low: f32, high: f32) -> Self {
        Tensor::clamp(self, low, high)
    }
    fn with_sign_of(&self, other: &Self) -> Self {
        let size = Tensor::abs(self);
        // The reciprocal tells −0 from 0.
        let is_negative = Tensor::recip(other).lt(0.0);
        is_negative.select_where(&-&size, &size)
    }
    fn flushed(self) -> Self {
        self
    }
    fn above(&self, bound: f32) -> Self {
        self.gt(bound)
    }
    fn choose(&self, then: Self, otherwise: Self) -> Self {
        self.select_where(&then, &otherwise)
    }
    fn coin_score(&self, b: &Self) -> Self {
        Tensor::coin_score(self, b)
    }
}

//! The numbers in which formulas of densities and draws are written, once for the host and for tensors.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::double::{Smooth, in_double};
use super::excluded::{numbers_of, ruled_out};
use super::{Join, Number, Numbers, SiteValue, Support};
use crate::error::Result;
use crate::special;
use crate::tensor::native::pointwise::all;
use crate::tensor::{Device, Shape, Tensor};

/// A real number of a law: an `f64`, or a [`Tensor`], whose operations are elementwise, broadcasting and
/// differentiable.
pub trait Real:
    Numbers
    + SiteValue
    + Debug
    + Into<Number>
    + Join<Self, Joined = Self>
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
    /// eˣ.
    fn exp(&self) -> Self;
    /// eˣ − 1, accurate near 0.
    fn exp_m1(&self) -> Self;
    /// ln x.
    fn ln(&self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn ln_1p(&self) -> Self;
    /// ln(1 + eˣ), without overflow.
    fn softplus(&self) -> Self;
    /// 1/(1 + e⁻ˣ).
    fn sigmoid(&self) -> Self;
    /// √x.
    fn sqrt(&self) -> Self;
    /// 1/x.
    fn recip(&self) -> Self;
    /// x².
    fn square(&self) -> Self;
    /// |x|.
    fn abs(&self) -> Self;
    /// ln Γ(x).
    fn lgamma(&self) -> Self;
    /// The error of Stirling's formula for ln Γ(x), as [`Tensor::stirling_error`].
    fn stirling_error(&self) -> Self;
    /// x − 1 − ln x, as [`Tensor::unit_deviance`].
    fn unit_deviance(&self) -> Self;
    /// x clamped to [low, high].
    fn kept_within(&self, low: f64, high: f64) -> Self;
    /// `then` where x is above a bound, and `otherwise` elsewhere.
    fn where_above(&self, bound: f64, then: &Self, otherwise: f64) -> Self;
    /// 0 where x equals the other number, and −∞ elsewhere: a constant, which does not cut derivatives off. Host
    /// numbers are equal where they are the same in single precision, in which laws draw.
    fn ruled_out_unless(&self, other: &Self) -> Self;
    /// ln(x/α), where x is the quantile of Gamma(α, 1), α being this number, at uniform noise modulo 1, as
    /// [`noise`](super::noise): differentiable in α. For small α only the logarithm is representable.
    fn ln_gamma_ratio(&self, noise: &Self) -> Self;
    /// A smooth function of numbers, computed in double precision.
    fn smooth<const N: usize>(operands: [&Self; N], f: &impl Smooth<N>) -> Self;
    /// Whether a condition holds for all numbers; this does not count as a read by the host.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn all(&self, holds: impl Fn(f64) -> bool + Sync) -> Result<bool>;
    /// Whether all numbers lie in a set; this does not count as a read by the host.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn all_in(&self, set: Support) -> Result<bool>;
    /// The number as a tensor.
    fn tensor(&self) -> Tensor;
    /// Numbers from `next`, one after the other, in this shape, which a host number ignores.
    ///
    /// # Errors
    /// If no memory could hold the shape.
    fn noise(shape: Shape, device: &Device, next: impl FnMut() -> f64) -> Result<Self>;
}

/// ln u and ln(1 − u) of noise modulo 1.
pub(super) fn logarithms(noise: f64) -> (f64, f64) {
    match noise < 0.0 {
        true => (noise.ln_1p(), (-noise).ln()),
        false => (noise.ln(), (-noise).ln_1p()),
    }
}

impl Real for f64 {
    fn exp(&self) -> Self {
        f64::exp(*self)
    }
    fn exp_m1(&self) -> Self {
        f64::exp_m1(*self)
    }
    fn ln(&self) -> Self {
        f64::ln(*self)
    }
    fn ln_1p(&self) -> Self {
        f64::ln_1p(*self)
    }
    fn softplus(&self) -> Self {
        self.max(0.0) + f64::ln_1p(f64::exp(-f64::abs(*self)))
    }
    fn sigmoid(&self) -> Self {
        1.0 / (1.0 + f64::exp(-self))
    }
    fn sqrt(&self) -> Self {
        f64::sqrt(*self)
    }
    fn recip(&self) -> Self {
        f64::recip(*self)
    }
    fn square(&self) -> Self {
        self * self
    }
    fn abs(&self) -> Self {
        f64::abs(*self)
    }
    fn lgamma(&self) -> Self {
        special::lgamma(*self)
    }
    fn stirling_error(&self) -> Self {
        special::stirling_error(0, *self)
    }
    fn unit_deviance(&self) -> Self {
        special::unit_deviance(*self)
    }
    fn kept_within(&self, low: f64, high: f64) -> Self {
        self.clamp(low, high)
    }
    fn where_above(&self, bound: f64, then: &Self, otherwise: f64) -> Self {
        if *self > bound { *then } else { otherwise }
    }
    fn ruled_out_unless(&self, other: &Self) -> Self {
        let rounded = [*self as f32, *other as f32];
        let is_same_rounded = rounded[0].is_finite() && rounded[0] == rounded[1];
        match self == other || is_same_rounded {
            true => 0.0,
            false => f64::NEG_INFINITY,
        }
    }
    fn ln_gamma_ratio(&self, noise: &Self) -> Self {
        let (ln_u, ln_v) = logarithms(*noise);
        special::ln_gamma_ratio(*self, ln_u, ln_v)
    }
    fn smooth<const N: usize>(operands: [&Self; N], f: &impl Smooth<N>) -> Self {
        f.value(operands.map(|x| *x))
    }
    fn all(&self, holds: impl Fn(f64) -> bool + Sync) -> Result<bool> {
        Ok(holds(*self))
    }
    fn all_in(&self, set: Support) -> Result<bool> {
        Ok(set.contains(*self))
    }
    fn tensor(&self) -> Tensor {
        Tensor::scalar(*self as f32)
    }
    fn noise(_: Shape, _: &Device, mut next: impl FnMut() -> f64) -> Result<Self> {
        Ok(next())
    }
}

impl Real for Tensor {
    fn exp(&self) -> Self {
        Tensor::exp(self)
    }
    fn exp_m1(&self) -> Self {
        Tensor::exp_m1(self)
    }
    fn ln(&self) -> Self {
        Tensor::ln(self)
    }
    fn ln_1p(&self) -> Self {
        Tensor::ln_1p(self)
    }
    fn softplus(&self) -> Self {
        Tensor::softplus(self)
    }
    fn sigmoid(&self) -> Self {
        Tensor::sigmoid(self)
    }
    fn sqrt(&self) -> Self {
        Tensor::sqrt(self)
    }
    fn recip(&self) -> Self {
        Tensor::recip(self)
    }
    fn square(&self) -> Self {
        Tensor::square(self)
    }
    fn abs(&self) -> Self {
        Tensor::abs(self)
    }
    fn lgamma(&self) -> Self {
        Tensor::lgamma(self)
    }
    fn stirling_error(&self) -> Self {
        Tensor::stirling_error(self)
    }
    fn unit_deviance(&self) -> Self {
        // So that its derivative, 1 − 1/x, is a number, too.
        Tensor::unit_deviance(&Tensor::kept_within(self, 1e-37, 1e37))
    }
    fn kept_within(&self, low: f64, high: f64) -> Self {
        Tensor::kept_within(self, low as f32, high as f32)
    }
    fn where_above(&self, bound: f64, then: &Self, otherwise: f64) -> Self {
        let otherwise = self.full_like(otherwise as f32);
        self.gt(bound as f32).select_where(then, &otherwise)
    }
    fn ruled_out_unless(&self, other: &Self) -> Self {
        ruled_out(&(1.0 - numbers_of(self).eq(&numbers_of(other))))
    }
    fn ln_gamma_ratio(&self, noise: &Self) -> Self {
        let of = |alpha: f32, noise: f32| (f64::from(alpha), logarithms(f64::from(noise)));
        self.expanded(
            noise,
            |alpha, noise| {
                let (alpha, (ln_u, ln_v)) = of(alpha, noise);
                special::ln_gamma_ratio(alpha, ln_u, ln_v)
            },
            |alpha, noise| {
                let (alpha, (ln_u, ln_v)) = of(alpha, noise);
                special::ln_gamma_ratio_slopes(alpha, ln_u, ln_v)
            },
        )
    }
    fn smooth<const N: usize>(operands: [&Self; N], f: &impl Smooth<N>) -> Self {
        in_double(operands, f)
    }
    fn all(&self, holds: impl Fn(f64) -> bool + Sync) -> Result<bool> {
        self.tells(|values| all(values, |x: f32| holds(f64::from(x))))
    }
    fn all_in(&self, set: Support) -> Result<bool> {
        set.holds_all(self)
    }
    fn tensor(&self) -> Tensor {
        self.clone()
    }
    fn noise(shape: Shape, device: &Device, mut next: impl FnMut() -> f64) -> Result<Self> {
        let shape = shape.in_memory("noise")?;
        let values = (0..shape.numel()).map(|_| next() as f32).collect();
        Tensor::from_vec(values, shape, device)
    }
}

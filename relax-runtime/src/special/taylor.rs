//! Numbers with their first and second derivatives.

use std::ops::{Add, Div, Mul, Sub};

/// A function's value and first two derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taylor(pub(super) [f64; 3]);

/// What series are summed over: numbers, with or without their derivatives.
pub(super) trait Scalar:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// A constant.
    fn constant(x: f64) -> Self;
    /// The value, or the largest of value and derivatives, regardless of sign.
    fn size(self) -> f64;
}

impl Scalar for f64 {
    fn constant(x: f64) -> Self {
        x
    }
    fn size(self) -> f64 {
        self.abs()
    }
}

impl Scalar for Taylor {
    fn constant(x: f64) -> Self {
        Self([x, 0.0, 0.0])
    }
    fn size(self) -> f64 {
        self.0.iter().fold(0.0, |most, x| most.max(x.abs()))
    }
}

impl Taylor {
    /// The number that derivatives are taken with respect to.
    pub(super) fn variable(x: f64) -> Self {
        Self([x, 1.0, 0.0])
    }

    /// A function of it with value and derivatives `f`.
    fn through(self, f: [f64; 3]) -> Self {
        let [_, d, dd] = self.0;
        Self([f[0], f[1] * d, f[2] * d * d + f[1] * dd])
    }

    pub(super) fn ln(self) -> Self {
        let x = self.0[0];
        self.through([x.ln(), 1.0 / x, -1.0 / (x * x)])
    }

    /// ln(1 − eˣ) for x below 0.
    pub(super) fn ln_1m_exp(self) -> Self {
        let x = self.0[0];
        let rest = -x.exp_m1();
        let odds = x.exp() / rest;
        self.through([rest.ln(), -odds, -odds / rest])
    }
}

impl Add for Taylor {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Taylor {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

impl Mul for Taylor {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let ([a, da, dda], [b, db, ddb]) = (self.0, other.0);
        Self([a * b, da * b + a * db, dda * b + 2.0 * da * db + a * ddb])
    }
}

impl Div for Taylor {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let ([a, da, dda], [b, db, ddb]) = (self.0, other.0);
        let q = a / b;
        let dq = (da - q * db) / b;
        Self([q, dq, (dda - 2.0 * dq * db - q * ddb) / b])
    }
}

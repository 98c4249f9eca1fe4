//! Shared items of the files of continuous laws.

pub(super) use std::f64::consts::{LN_2, PI};

pub(super) use super::continuous::parameters;
pub(super) use super::location_scale::location_scale;
pub(super) use super::{
    Bijection, Continuous, Join, JoinThree, MeanField, Operand, PerParameter, Real, Standard,
    Support, log_normal_guide, normal_guide,
};
pub(super) use crate::error::Result;
pub(super) use crate::random::Stream;
pub(super) use crate::special::HALF_LN_TAU;
pub(super) use crate::tensor::Tensor;

/// Least value of a draw, so that f32 holds draws as positive numbers.
pub(super) const LEAST: f64 = f32::MIN_POSITIVE as f64;
/// Largest value of a draw, so that f32 holds their derivatives, too.
pub(super) const MOST: f64 = 1e30;
/// As [`LEAST`], for shares of 1: so that f32 holds sums of their derivatives, too.
pub(super) const LEAST_SHARE: f64 = 1e-30;
/// The largest distance of a draw from its center in a law with a scale, as a logarithm.
pub(super) const FARTHEST: f64 = 69.0;

//! What the files of continuous laws use.

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

/// What draws stay within, so that f32 holds them as positive numbers.
pub(super) const LEAST: f64 = f32::MIN_POSITIVE as f64;
/// As [`LEAST`], above: so that f32 holds their derivatives, too.
pub(super) const MOST: f64 = 1e30;
/// As [`LEAST`], of shares of 1: so that f32 holds sums of derivatives by them, too.
pub(super) const LEAST_SHARE: f64 = 1e-30;
/// The same of how far from their centre, as a logarithm, draws of a law with a scale are.
pub(super) const FARTHEST: f64 = 69.0;

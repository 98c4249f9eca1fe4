//! Counts of which some have a mass of exactly 0, since a logit of θ stands for certainty.

use super::CountFamily;
use crate::dist::excluded::{CERTAINTY, POLE, numbers_of, ruled_out};
use crate::tensor::Tensor;
use crate::tensor::native::pointwise::all;

/// Whether a logit stands for a probability of 0 or 1.
pub(in crate::dist) fn is_certain(logit: f64) -> bool {
    logit.abs() >= f64::from(CERTAINTY)
}

/// −1 where a logit stands for a probability of 0, 1 where for one of 1, and 0 elsewhere; `None` if all are
/// probabilities between.
pub(in crate::dist) fn certainties(logits: &Tensor) -> Option<Tensor> {
    let are_open = |x: &[f32]| all(x, |x| x.abs() < CERTAINTY);
    if let Ok(true) = logits.tells_in_all_cases(are_open) {
        return None;
    }
    let numbers = numbers_of(logits);
    Some(numbers.ge(CERTAINTY) - numbers.le(-CERTAINTY))
}

/// Logits at which a probability is 0 or 1 in f32, in place of those that stand for certainty: relaxed values, which
/// lie between, get log-masses of a moderate size.
pub(in crate::dist) fn near_certain(logits: &Tensor) -> Tensor {
    certain_at(logits, POLE)
}

/// Where guides start: at the law's own logits, except that certain ones are moved to where every value has a chance.
pub(super) fn open(logits: &Tensor) -> Tensor {
    const LARGEST: f32 = 4.0;
    certain_at(logits, LARGEST)
}

/// Logits with those that stand for certainty at ±`size`.
fn certain_at(logits: &Tensor, size: f32) -> Tensor {
    match certainties(logits) {
        None => logits.clone(),
        Some(certain) => certain.square().select_where(&(certain * size), logits),
    }
}

/// 1 where the numbers of a value are at least those of a bound, and 0 elsewhere.
pub(in crate::dist) fn at_least(value: &Tensor, bound: f32) -> Tensor {
    numbers_of(value).ge(bound)
}

/// 1 where the numbers of a value are at most one less than those of a bound, even if that rounds to the bound, and 0
/// elsewhere.
pub(in crate::dist) fn below(value: &Tensor, bound: &Tensor) -> Tensor {
    let (value, bound) = (numbers_of(value), numbers_of(bound));
    value.le(&(&bound - 1.0)) * value.lt(&bound)
}

/// The log-mass, −∞ at values of a mass of exactly 0.
pub(super) fn log_mass<F: CountFamily>(family: &F, [theta, fixed, value]: [&Tensor; 3]) -> Tensor {
    let log_mass = family.log_mass(theta, fixed, value);
    match family.excludes(theta, fixed, value) {
        None => log_mass,
        Some(excluded) => log_mass + ruled_out(&excluded),
    }
}

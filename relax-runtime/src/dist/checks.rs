//! Checks of parameters and values that every distribution makes.

use super::{SiteValue, Support, Value};
use crate::error::{Error, Result};
use crate::tensor::native::pointwise::all;
use crate::tensor::{Device, Shape, Tensor};

/// The advice for probabilities outside [0, 1].
pub(super) const PROBS: &str = "probabilities lie between 0 and 1; give `logits`, which may be any numbers, or `param!(.., unit)`";

/// Broadcasts a parameter's leading axes to the sizes of the plates that enclose its site.
///
/// A scalar is repeated for every row (`event_rank` is 1 for vector parameters); otherwise each
/// leading axis must be the plate's size or 1, so that a parameter's meaning never depends on
/// whether two sizes happen to be equal.
///
/// # Errors
/// [`Error::Parameter`] if they are neither.
pub fn expand_parameter(
    distribution: &'static str,
    parameter: &'static str,
    tensor: &Tensor,
    plates: &[usize],
    event_rank: usize,
) -> Result<Tensor> {
    let shape = tensor.check()?.shape();
    if plates.is_empty() {
        return Ok(tensor.clone());
    }
    let fits = shape.rank() >= plates.len() + event_rank
        && shape
            .iter()
            .zip(plates)
            .all(|(&axis, &size)| axis == size || axis == 1);
    if !fits && (shape.rank() > 0 || event_rank > 0) {
        return Err(Error::Parameter {
            distribution,
            parameter,
            problem: format!(
                "has shape {shape} inside plates of sizes {plates:?}; its leading axes must be \
                 those sizes or 1 (a vector shared by all rows is reshaped to [1, length])"
            ),
        });
    }
    let mut target = plates.to_vec();
    target.extend(shape.iter().skip(plates.len()));
    Ok(tensor.broadcast_to(Shape::try_from(&target[..])?))
}

/// Checks that one draw has the value's shape, or that a draw can be repeated for the value's further
/// elements. A column against a row, which would make a matrix, is a mistake.
///
/// # Errors
/// [`Error::Parameter`] if it is neither.
pub fn check_fit(distribution: &'static str, draw: Shape, value: &Tensor) -> Result<()> {
    check_event_fit(distribution, draw, 0, value)
}

/// As [`check_fit`], where the last `events` axes are an event, whose numbers are not repeated.
///
/// # Errors
/// As [`check_fit`].
pub fn check_event_fit(
    distribution: &'static str,
    draw: Shape,
    events: usize,
    value: &Tensor,
) -> Result<()> {
    let value = value.check()?.shape();
    let joined = || draw.broadcast(&value);
    let one_event = || {
        let [draw, value] = [&draw, &value].map(|shape| shape.iter().rev().take(events));
        draw.eq(value)
    };
    let fits = || joined().is_some_and(|joined| joined == draw || joined == value);
    if draw == value || (fits() && one_event()) {
        return Ok(());
    }
    Err(Error::Parameter {
        distribution,
        parameter: "value",
        problem: format!("of shape {value} does not fit draws of shape {draw}; reshape one"),
    })
}

/// Whether a condition holds for all numbers. For a tensor that is not on the CPU, `broken`, which must be 0 where it
/// holds and nonzero elsewhere, is summed on the device, and one number comes back.
///
/// # Errors
/// If the tensor carries an error.
pub(crate) fn all_hold(
    tensor: &Tensor,
    holds: impl Fn(f32) -> bool + Copy + Sync,
    broken: impl FnOnce(&Tensor) -> Tensor,
) -> Result<bool> {
    if tensor.check()?.device() == Device::cpu() {
        return tensor.tells(|values| all(values, holds));
    }
    Ok(broken(&tensor.detach()).abs().sum_all().peek_item()? == 0.0)
}

/// Checks that a parameter's values lie in a set.
///
/// # Errors
/// As [`check_values`].
pub(crate) fn check_within(
    distribution: &'static str,
    parameter: &'static str,
    tensor: &Tensor,
    set: Support,
    problem: &str,
) -> Result<()> {
    if set.holds_all(tensor)? {
        return Ok(());
    }
    let valid = |x: f32| set.contains(f64::from(x));
    check_values(distribution, parameter, tensor, valid, problem)
}

/// Checks a parameter's values; this does not count as a read by the host.
///
/// # Errors
/// [`Error::Parameter`], naming the first value that is not `valid`.
pub fn check_values(
    distribution: &'static str,
    parameter: &'static str,
    tensor: &Tensor,
    valid: impl Fn(f32) -> bool + Sync,
    problem: &str,
) -> Result<()> {
    if tensor.tells(|values| all(values, &valid))? {
        return Ok(());
    }
    let wrong = tensor.with_values(|values| values.iter().copied().find(|&x| !valid(x)))?;
    match wrong {
        None => Ok(()),
        Some(x) => Err(parameter_error(
            distribution,
            parameter,
            f64::from(x),
            problem,
        )),
    }
}

/// The advice for ends the first of which is not below the second.
pub(super) const SMALLER_FIRST: &str = "`high` is not above `low`; give the smaller end first";

/// The error for two ends with no law between them.
pub(super) fn ends_error<P: SiteValue>(
    distribution: &'static str,
    low: &P,
    high: &P,
    problem: &str,
) -> Error {
    let [low, high] = [low, high].map(|end| match end.clone().into_value() {
        Value::Real(x) => format!("{x:?}"),
        tensor => tensor.to_string(),
    });
    Error::Parameter {
        distribution,
        parameter: "low",
        problem: format!("is {low}, and high {high}: {problem}"),
    }
}

/// The error for a number that cannot be a distribution's parameter.
pub fn parameter_error(
    distribution: &'static str,
    parameter: &'static str,
    value: f64,
    problem: &str,
) -> Error {
    Error::Parameter {
        distribution,
        parameter,
        problem: format!("is {value}; {problem}"),
    }
}

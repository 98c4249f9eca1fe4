//! Other values of a draw, reached by counting on from it.

use super::Problem;
use crate::dist::Relaxation;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// Why the values of some sites cannot be summed over.
pub(super) const ENDLESS: &str =
    "its values have no last one, or are too many to sum over; use `relax` or `rloo`";

/// The events of one row, and how many values each of them has.
pub(super) struct Events<'a> {
    pub(super) values: usize,
    pub(super) count: usize,
    shape: Vec<usize>,
    relaxation: &'a dyn Relaxation,
}

impl<'a> Events<'a> {
    /// # Errors
    /// If their values have no last one.
    pub(super) fn of(problem: &Problem<'a>) -> Result<Self> {
        let row = &problem.theta.shape()[problem.plates..];
        let relaxation = problem.relaxation;
        let (values, count) = relaxation.values_and_events(row);
        if values == usize::MAX {
            return Err(Error::Enumeration(ENDLESS.into()));
        }
        let shape = row[..row.len() - relaxation.event_rank()].to_vec();
        Ok(Self {
            values,
            count,
            shape,
            relaxation,
        })
    }

    /// Number of values that the events of a row have together, `usize::MAX` if there are more.
    pub(super) fn together(&self) -> usize {
        let count = u32::try_from(self.count);
        count.map_or(usize::MAX, |count| self.values.saturating_pow(count))
    }

    /// The draw with event e moved on by `by[e]` values, wrapping around after the last.
    pub(super) fn shifted(&self, b: &Tensor, by: &[usize]) -> Result<Tensor> {
        let by = self.tensor(by.iter().map(|&by| by as f32).collect(), b)?;
        Ok(self.relaxation.shifted(b, &by).check()?.clone())
    }

    /// One number per event as a tensor that broadcasts against numbers of all rows' events.
    pub(super) fn tensor(&self, numbers: Vec<f32>, like: &Tensor) -> Result<Tensor> {
        Tensor::from_vec(numbers, Shape::try_from(&self.shape[..])?, &like.device())
    }

    /// One number per event, reshaped to multiply tensors of θ's shape.
    pub(super) fn spread(&self, numbers: &Tensor) -> Tensor {
        self.relaxation.over_event(numbers)
    }
}

//! Other values of a draw, reached by counting on from it.

use super::Problem;
use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// The events of one row, and the values that each of them has.
pub(super) struct Events {
    pub(super) values: usize,
    pub(super) count: usize,
    shape: Vec<usize>,
    one_hot: bool,
}

impl Events {
    pub(super) fn of(problem: &Problem<'_>) -> Self {
        let row = &problem.theta.shape()[problem.plates..];
        let one_hot = problem.relaxation.event_rank() == 1;
        let (values, count) = problem.relaxation.values_and_events(row);
        let shape = row[..row.len() - usize::from(one_hot)].to_vec();
        Self {
            values,
            count,
            shape,
            one_hot,
        }
    }

    /// How many values the events of a row have together, `usize::MAX` where there are more.
    pub(super) fn together(&self) -> usize {
        let count = u32::try_from(self.count);
        count.map_or(usize::MAX, |count| self.values.saturating_pow(count))
    }

    /// The draw with event e moved on by `by[e]` values, back to the first after the last.
    pub(super) fn shifted(&self, b: &Tensor, by: &[usize]) -> Result<Tensor> {
        let by = self.tensor(by.iter().map(|&by| by as f32).collect(), b)?;
        let values = self.values as f32;
        let index = if self.one_hot {
            b.argmax(-1)
        } else {
            b.clone()
        };
        let moved = index + by;
        let index = &moved - moved.ge(values) * values;
        let draw = if self.one_hot {
            index.one_hot(self.values)
        } else {
            index
        };
        Ok(draw.check()?.clone())
    }

    /// A number an event as a tensor that broadcasts against numbers of all rows' events.
    pub(super) fn tensor(&self, numbers: Vec<f32>, like: &Tensor) -> Result<Tensor> {
        Tensor::from_vec(numbers, Shape::try_from(&self.shape[..])?, &like.device())
    }

    /// A number an event, shaped to multiply tensors of θ's shape.
    pub(super) fn spread(&self, numbers: &Tensor) -> Tensor {
        if self.one_hot {
            numbers.unsqueeze(-1)
        } else {
            numbers.clone()
        }
    }
}

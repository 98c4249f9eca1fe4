//! Reading a tensor's shape and numbers on the host.

use std::panic::Location;

use super::{Device, Shape, Tensor, lose, native};
use crate::error::{Error, Result};

/// Reading.
impl Tensor {
    /// `self`, or the error that it carries.
    ///
    /// # Errors
    /// The error of the first wrong operation that the tensor was computed from.
    pub fn check(&self) -> Result<&Self> {
        self.inner().map(|_| self)
    }

    /// Lengths of the axes; `[0]` for a poisoned tensor.
    pub fn shape(&self) -> Shape {
        self.0.as_ref().map_or(Shape::from(0), |inner| inner.shape)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(1, |inner| inner.shape.rank())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.shape.numel())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the first axis; 1 for a single number.
    pub fn rows(&self) -> usize {
        self.shape().first().copied().unwrap_or(1)
    }

    /// Where the numbers are; the CPU for a poisoned tensor.
    pub fn device(&self) -> Device {
        self.0
            .as_ref()
            .map_or(Device::cpu(), |inner| inner.device())
    }

    /// The numbers in row-major order. Counts as a read of the random sites that they came from.
    ///
    /// # Errors
    /// The error carried by a poisoned tensor.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        let values = self.peek()?;
        self.mark_read();
        Ok(values)
    }

    /// The number of a tensor with one element. Counts as a read.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one element; the error carried by a poisoned tensor.
    #[track_caller]
    pub fn item(&self) -> Result<f32> {
        let value = self.only("item")?;
        self.mark_read();
        Ok(value)
    }

    /// Whether the number of a tensor with one element is above 0.5. Counts as a read.
    ///
    /// # Errors
    /// As [`item`](Self::item).
    #[track_caller]
    pub fn to_bool(&self) -> Result<bool> {
        let value = self.only("to_bool")?;
        self.mark_read();
        Ok(value > 0.5)
    }

    /// The number of a tensor with one element, rounded to an index. Counts as a read.
    ///
    /// # Errors
    /// As [`item`](Self::item), and [`Error::Shape`] for a negative or NaN number.
    #[track_caller]
    pub fn to_index(&self) -> Result<usize> {
        let value = self.only("to_index")?;
        self.mark_read();
        if value.round() >= 0.0 && value.is_finite() {
            return Ok(value.round() as usize);
        }
        Err(self.misfit("to_index", format!("{value} is not an index")))
    }

    /// As [`to_vec`](Self::to_vec), but does not count as a read: for distributions and estimators,
    /// whose reads are not the model's. What a model does must not depend on it.
    ///
    /// # Errors
    /// If the tensor carries an error.
    pub fn peek(&self) -> Result<Vec<f32>> {
        self.with_values(<[f32]>::to_vec)
    }

    /// Applies `look` to the numbers, in row-major order; like [`peek`](Self::peek), this does not count as a
    /// read. The numbers are copied where they belong to another engine than this project's own.
    ///
    /// # Errors
    /// If the tensor carries an error.
    #[inline(always)]
    pub fn with_values<R>(&self, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
        let inner = self.inner()?;
        if inner.cases.is_some() {
            lose();
        }
        match inner.data.native() {
            Some(buffer) => Ok(look(native::slice(buffer))),
            None => self.copied().map(|values| look(&values)),
        }
    }

    #[cold]
    fn copied(&self) -> Result<Vec<f32>> {
        #[cfg(all(test, feature = "dfdx"))]
        super::engine::note_read(self.len());
        dispatch!(read(self.inner()?))
    }

    /// As [`item`](Self::item), but does not count as a read: for estimators, whose reads are not
    /// the model's.
    #[track_caller]
    pub(crate) fn peek_item(&self) -> Result<f32> {
        self.only("item")
    }

    #[track_caller]
    fn only(&self, op: &'static str) -> Result<f32> {
        let only = self.with_values(|values| match values {
            [value] => Some(*value),
            _ => None,
        })?;
        match only {
            Some(value) => Ok(value),
            // Not in a closure, which would become the caller.
            None => Err(self.misfit(op, "needs exactly one element".into())),
        }
    }

    /// The error for an operation that `self` has the wrong shape for.
    #[track_caller]
    pub(super) fn misfit(&self, op: &'static str, problem: String) -> Error {
        Error::Shape {
            op,
            problem,
            shapes: vec![self.shape()],
            location: Location::caller(),
        }
    }

    /// Records that the host has read the random sites that the numbers came from.
    pub(crate) fn mark_read(&self) {
        if let Ok(Some(provenance)) = self.0.as_ref().map(|inner| &inner.provenance) {
            provenance.mark_read();
        }
    }
}

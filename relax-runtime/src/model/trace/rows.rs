//! Whether what a site holds has the rows of the plates around it.

use super::Entry;
use crate::dist::{AnyDistribution, Number, Value};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

impl Entry {
    /// Checks that a number has one row per plate member.
    pub(crate) fn per_row(&self, number: Number) -> Result<Number> {
        // Compares iterators: comparing empty slices takes as long as a whole operation if the address of one is
        // invalid.
        let has_rows = |t: &Tensor| {
            let sizes = self.plates.iter().map(|plate| plate.size);
            t.shape().iter().copied().eq(sizes)
        };
        match &number {
            Number::Host(_) if self.plates.is_empty() => Ok(number),
            Number::Tensor(t) if has_rows(t.check()?) => Ok(number),
            Number::Host(x) => Err(Error::Plates(format!(
                "a host number, {x}, inside a plate: a plate's rows are computed together, so give \
                 a Tensor whose first axis is the plate's size, or use a `for` loop"
            ))),
            Number::Tensor(t) => Err(Error::Plates(format!(
                "inside a plate the leading axes of rows must be the plates': those around this site have \
                 sizes {:?}, but its rows have shape {}",
                self.sizes(),
                t.shape()
            ))),
        }
    }

    /// Checks that an observed tensor has a row for each member of the plates. A single number applies to all.
    pub(in crate::model) fn expect_observed_rows(&self) -> Result<()> {
        let Value::Tensor(value) = &self.value else {
            return Ok(());
        };
        let (shape, sizes) = (value.check()?.shape(), self.sizes());
        match shape.rank() == 0 || shape.starts_with(&sizes) {
            true => Ok(()),
            false => Err(Error::Plates(format!(
                "the observed value has shape {shape} inside plates of sizes {sizes:?}; its leading axes must be \
                 the plates', with a row for each member, or it must be a single number, the same in all"
            ))),
        }
    }

    /// Checks that an observed tensor is not observed with parameters of fewer axes that have the plates' sizes and also
    /// fit its last axes: these could belong to rows as well as to columns.
    ///
    /// # Errors
    /// If they could.
    pub(in crate::model) fn expect_one_reading<D: AnyDistribution>(&self, dist: &D) -> Result<()> {
        let (Value::Tensor(value), sizes) = (&self.value, self.sizes()) else {
            return Ok(());
        };
        let shape = value.check()?.shape();
        let mut further = shape.windows(sizes.len().max(1)).skip(1);
        if sizes.is_empty() || !further.any(|axes| *axes == *sizes) {
            return Ok(());
        }
        let law = AnyDistribution::law(dist)?;
        let (of, events) = match law.relaxation() {
            Some(relaxation) => (law.parameters().remove(0).shape(), relaxation.event_rank()),
            None => (law.draw_shape(), law.event_rank()),
        };
        let own = of.leading(of.rank().saturating_sub(events));
        let all = shape.leading(shape.rank().saturating_sub(law.event_rank()));
        let is_open = own.rank() < all.rank() && own.starts_with(&sizes) && all.ends_with(&own);
        match is_open {
            false => Ok(()),
            true => Err(Error::Plates(format!(
                "the parameters, of shape {own}, could belong to the rows or to the columns of the observed value, \
                 of shape {all}, inside plates of sizes {sizes:?}; give them all its axes: `.unsqueeze(-1)` for one \
                 per row, `.unsqueeze(0)` for one per column"
            ))),
        }
    }
}

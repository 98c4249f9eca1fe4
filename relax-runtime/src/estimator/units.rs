//! Costs in units of their own spread.

use super::Cost;
use crate::error::Result;
use crate::tensor::Tensor;

/// A cost divided by a number that does not depend on the draw: what a surrogate learns of it has
/// no scale, so that one rate of learning suits costs of any size.
pub(super) struct InUnits<'a> {
    pub(super) cost: &'a dyn Cost,
    pub(super) unit: f32,
}

impl Cost for InUnits<'_> {
    fn hard(&self, b: &Tensor) -> Result<Tensor> {
        Ok(self.cost.hard(b)? / self.unit)
    }

    fn drawn(&self, b: &Tensor) -> Result<Tensor> {
        Ok(self.cost.drawn(b)? / self.unit)
    }

    fn with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
        let (cost, slope) = self.cost.with_slope(b)?;
        Ok((cost / self.unit, slope / self.unit))
    }

    fn relaxed(&self, draw: &Tensor, temperature: &Tensor) -> Result<Tensor> {
        Ok(self.cost.relaxed(draw, temperature)? / self.unit)
    }
}

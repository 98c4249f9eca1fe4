//! Costs in units of their spread.

use super::{Cost, Estimate, SiteState};
use crate::error::Result;
use crate::tensor::Tensor;

/// An estimate made from a site's cost in units of past costs' spread: a network has no scale of its
/// own, and in these units one learning rate and one initial output suit costs of any size.
///
/// Until there is a unit the surrogate learns nothing: what Adam remembered of gradients in another one
/// would slow it down for a long time.
///
/// # Errors
/// Those of `estimate`.
pub(super) fn in_units(
    cost: &dyn Cost,
    state: &SiteState,
    estimate: impl FnOnce(&dyn Cost) -> Result<Estimate>,
) -> Result<Estimate> {
    let known = state.unit();
    let unit = known.unwrap_or(1.0);
    let mut estimate = estimate(&InUnits { cost, unit })?;
    if known.is_none() {
        estimate.variance_gradient = estimate.variance_gradient.zeroed();
    }
    estimate.cost = estimate.cost * unit;
    estimate.gradient = estimate.gradient * unit;
    Ok(estimate)
}

/// One number per row that is computed from a site's cost in its units, such as a surrogate's value.
///
/// # Errors
/// Those of `value`.
pub(super) fn value_in_units(
    cost: &dyn Cost,
    state: &SiteState,
    value: impl FnOnce(&dyn Cost) -> Result<Tensor>,
) -> Result<Tensor> {
    let unit = state.unit().unwrap_or(1.0);
    Ok(value(&InUnits { cost, unit })? * unit)
}

/// A cost divided by a number that does not depend on the draw.
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

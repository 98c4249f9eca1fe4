//! RELAX with a network alone.

use super::residual::Residual;
use super::{Cost, Estimate, Problem, SiteState, relax, small};
use crate::error::Result;
use crate::tensor::Tensor;

/// The RELAX estimate with a site's network, which has no scale of its own: it learns what the
/// site's quadratic form, if there is one, leaves of the cost, in units of the costs' spread.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
pub(super) fn free_form(
    problem: Problem<'_>,
    cost: &dyn Cost,
    state: &SiteState,
) -> Result<Estimate> {
    match small::estimate(problem, cost, state)? {
        Some(estimate) => Ok(estimate),
        None => of_tensors(problem, cost, state),
    }
}

/// The same for sites of any size.
pub(super) fn of_tensors(
    problem: Problem<'_>,
    cost: &dyn Cost,
    state: &SiteState,
) -> Result<Estimate> {
    let Some(quadratic) = state.quadratic() else {
        return in_units(problem, cost, state);
    };
    let rest = Residual::new(problem, cost, quadratic, state);
    let mut estimate = in_units(problem, &rest, state)?;
    estimate.gradient = estimate.gradient + rest.gradient_of_mean()?;
    estimate.cost = rest.drawn_cost().unwrap_or(estimate.cost);
    Ok(estimate)
}

/// Before there is a unit the network learns nothing: what Adam remembered of gradients in another
/// one would slow it down for long.
fn in_units(problem: Problem<'_>, cost: &dyn Cost, state: &SiteState) -> Result<Estimate> {
    let known = state.unit();
    let unit = known.unwrap_or(1.0);
    let mut estimate = relax(problem, &InUnits { cost, unit }, state.surrogate())?;
    if known.is_none() {
        estimate.variance_gradient = estimate.variance_gradient.zeroed();
    }
    estimate.cost = estimate.cost * unit;
    estimate.gradient = estimate.gradient * unit;
    Ok(estimate)
}

/// A cost divided by a number that does not depend on the draw: what a surrogate learns of it has
/// no scale, so that one rate of learning suits costs of any size.
struct InUnits<'a> {
    cost: &'a dyn Cost,
    unit: f32,
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

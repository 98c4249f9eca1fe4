//! RELAX with a network alone.

use super::residual::Residual;
use super::{plain, relax};
use crate::error::Result;
use crate::estimator::units::in_units;
use crate::estimator::{Cost, Estimate, Problem, SiteState};

/// The RELAX estimate with a site's network, which has no scale of its own: it learns what the
/// site's quadratic form, if there is one, leaves of the cost, in units of the costs' spread.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub(super) fn free_form(
    problem: Problem<'_>,
    cost: &dyn Cost,
    state: &SiteState,
) -> Result<Estimate> {
    match plain::estimate(problem, cost, state)? {
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
        return in_units(cost, state, |cost| relax(problem, cost, state.surrogate()));
    };
    let rest = Residual::new(problem, cost, quadratic, state);
    let mut estimate = in_units(&rest, state, |rest| relax(problem, rest, state.surrogate()))?;
    estimate.gradient = estimate.gradient + rest.gradient_of_mean()?;
    estimate.cost = rest.drawn_cost().unwrap_or(estimate.cost);
    Ok(estimate)
}

//! MuProp (Gu, Levine, Sutskever, Mnih 2016): a first-order Taylor expansion as control variate.

use super::class::{SiteClass, expect_relaxable};
use super::problem::{pull, slope};
use super::site::{Estimator, SiteState, SiteTask};
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;

/// The estimate (f(b) − f(μ) − f′(μ)ᵀ(b − μ)) ∂log p(b | θ)/∂θ + (∂μ/∂θ)ᵀ f′(μ) with μ the mean of
/// b (Gu et al. 2016).
///
/// Two evaluations, one of them at the mean, where later choices are relaxed at `temperature`: what
/// they make of the cost may be wrong without a bias, since μ does not depend on the draw.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
pub fn muprop(problem: Problem<'_>, cost: &dyn Cost, temperature: f32) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let relaxation = problem.relaxation;
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let mean = |theta: &_| problem.mean(theta);
    let (at_mean, slope) = slope(cost, &mean(&theta), temperature)?;
    let linear = (&slope * (&b - mean(&theta))).sum_from(problem.plates);
    let score = relaxation.score(&theta, &b);
    let gradient = problem.spread(&(&f - at_mean - linear))? * score + pull(&mean, &theta, &slope)?;
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

/// MuProp.
#[derive(Clone, Copy, Debug)]
pub struct MuProp {
    /// Temperature of later choices where the cost is evaluated at the mean.
    pub temperature: f32,
}

impl Default for MuProp {
    fn default() -> Self {
        Self { temperature: 0.5 }
    }
}

impl Estimator for MuProp {
    fn name(&self) -> &'static str {
        "muprop"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxable(
            class,
            "MuProp is for discrete sites whose cost can be evaluated at their mean; use `relax`",
        )?;
        Ok("discrete, cost differentiable at its mean: Taylor expansion there".into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    /// Those beyond the first are of the surrogate.
    fn above_floor(&self, _: SiteClass) -> std::result::Result<(), String> {
        Ok(())
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        muprop(task.problem, cost, self.temperature)
    }
}

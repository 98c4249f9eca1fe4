//! MuProp (Gu, Levine, Sutskever, Mnih 2016): a first-order Taylor expansion as control variate.

use super::class::{SiteClass, expect_relaxable};
use super::problem::{pull, slope};
use super::site::{Estimator, SiteTask, check_temperature};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;

/// The estimate (f(b) − f(μ) − f′(μ)ᵀ(b − μ)) ∂log p(b | θ)/∂θ + (∂μ/∂θ)ᵀ f′(μ) with μ the mean of
/// b (Gu et al. 2016).
///
/// Two evaluations, one of them at the mean, where later choices are relaxed at `temperature`. That may
/// distort the cost there without causing bias, since μ does not depend on the draw.
///
/// [`differentiable`](super::differentiable) has an example; [`MuProp`] is the estimator for sites of
/// models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
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

/// The MuProp estimator.
///
/// ```
/// use relax_runtime::estimator::MuProp;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn switches() {
///     let logits = param!([0.0, 0.0]);
///     let on = sample!(Bernoulli(logits = &logits));
///     cost!((on * Tensor::from_slice(&[1.0, -1.0])).sum(0));
/// }
///
/// # fn main() -> Result<()> {
/// let mut trainer = Trainer::new(1).estimator(MuProp::default());
/// let estimate = trainer.gradients(&ExpectedCost::new(&switches()), Key::new(1))?;
/// // The Taylor expansion of a linear cost is exact: ±p (1 − p), whatever the draw.
/// let gradient = estimate.parameters[0].1.to_vec()?;
/// assert!((gradient[0] - 0.25).abs() < 1e-5 && (gradient[1] + 0.25).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
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

    /// Evaluations beyond the first are the surrogate's.
    fn above_floor(&self, _: SiteClass, _: Option<&SiteState>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        check_temperature(self.temperature)?;
        Ok(SiteState::new())
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        muprop(task.problem, cost, self.temperature)
    }
}

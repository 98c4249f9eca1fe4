//! MuProp (Gu, Levine, Sutskever, Mnih 2016): a first-order Taylor expansion as control variate.

use super::class::{SiteClass, expect_relaxable};
use super::nvil::{baseline_state, without_baseline};
use super::problem::{pull, slope};
use super::site::{Estimator, SiteTask, check_temperature};
use super::state::SiteState;
use super::units::in_units;
use super::{Cost, Estimate, Problem, Relax};
use crate::error::Result;
use crate::surrogate::Surrogate;

/// The estimate (f(b) − f(μ) − f′(μ)ᵀ(b − μ) − c(h)) ∂log p(b | θ)/∂θ + (∂μ/∂θ)ᵀ f′(μ) with μ the mean
/// of b, and a baseline c that reads what came before the choice (Gu et al. 2016): `baseline` at z = 0, where
/// it sees θ and the context alone, as in [`nvil`](super::nvil()). [`Zero`](crate::surrogate::Zero) is no
/// baseline.
///
/// Two evaluations, one of them at the mean, where later choices are relaxed at `temperature`. That may
/// distort the cost there without causing bias, since μ does not depend on the draw.
///
/// The baseline learns to predict what the expansion leaves: the estimate's `variance_gradient` is the
/// gradient of the mean square of what is left over rows.
///
/// [`differentiable`](super::differentiable) has an example; [`MuProp`] is the estimator for sites of
/// models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn muprop(
    problem: Problem<'_>,
    cost: &dyn Cost,
    temperature: f32,
    baseline: &dyn Surrogate,
) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    let relaxation = problem.relaxation;
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let mean = |theta: &_| problem.mean(theta);
    let (at_mean, slope) = slope(cost, &mean(&theta), temperature)?;
    let linear = (&slope * (&b - mean(&theta))).sum_from(problem.plates);
    let (left, variance_gradient) =
        without_baseline(problem, cost, &(&f - at_mean - linear), baseline)?;
    let score = relaxation.score(&theta, &b);
    let gradient = problem.spread(&left)? * score + pull(&mean, &theta, &slope)?;
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient,
        evaluations: 2 + baseline.evaluations(),
    })
}

/// The MuProp estimator, with a network trained online as baseline of what the expansion leaves.
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
#[derive(Clone, Debug)]
pub struct MuProp {
    /// Temperature of later choices where the cost is evaluated at the mean.
    pub temperature: f32,
    /// Settings of the baseline's network.
    pub network: Relax,
}

impl Default for MuProp {
    fn default() -> Self {
        Self {
            temperature: 0.5,
            network: Relax::free_form(),
        }
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
        Ok(
            "discrete, cost differentiable at its mean: Taylor expansion there, with a network of what came before"
                .into(),
        )
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    /// Evaluations beyond the first are the surrogate's.
    fn above_floor(&self, _: SiteClass, _: Option<&SiteState>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        check_temperature(self.temperature)?;
        baseline_state(&self.network, task)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        in_units(cost, state, |cost| {
            muprop(task.problem, cost, self.temperature, state.surrogate())
        })
    }
}

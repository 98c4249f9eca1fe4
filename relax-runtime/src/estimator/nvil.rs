//! NVIL: a network on what came before the choice as baseline (Mnih and Gregor 2014).

use super::class::{SiteClass, expect_relaxed};
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::units::in_units;
use super::{Cost, Estimate, Problem, Relax, SurrogateKind};
use crate::error::Result;
use crate::surrogate::{Surrogate, VarianceGradient};
use crate::tensor::{Parameter, Tensor, grad};

/// The estimate (f(b) − c(h)) ∂log p(b | θ)/∂θ with a baseline c that reads what came before the
/// choice: `baseline` at z = 0, where it sees θ and the context alone (Mnih and Gregor 2014).
/// Their division by a running deviation of the cost, which rescales the step rather
/// than the estimator, is left to the optimizer.
///
/// The baseline learns to predict the cost: the estimate's `variance_gradient` is the gradient of
/// the mean of (f(b) − c(h))² over rows. [`Nvil`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn nvil(problem: Problem<'_>, cost: &dyn Cost, baseline: &dyn Surrogate) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    let relaxation = problem.relaxation;
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let (left, variance_gradient) = without_baseline(problem, cost, &f, baseline)?;
    let gradient = problem.spread(&left)? * relaxation.score(&theta, &b);
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient,
        evaluations: 1 + baseline.evaluations(),
    })
}

/// What a baseline of what came before the choice leaves of a signal, as a constant, and the gradient by the baseline's
/// parameters of the mean square of that over rows. `theta` of the problem is a constant.
pub(super) fn without_baseline(
    problem: Problem<'_>,
    cost: &dyn Cost,
    signal: &Tensor,
    baseline: &dyn Surrogate,
) -> Result<(Tensor, VarianceGradient)> {
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = baseline.value(&problem.theta.zeros_like(), problem.surroundings(&relaxed))?;
    let left = (signal - &c).check()?.detach();
    let leaves: Vec<Tensor> = baseline.parameters().iter().map(Parameter::get).collect();
    if leaves.is_empty() {
        return Ok((left, VarianceGradient::default()));
    }
    let falls = &left * (-2.0 / left.len().max(1) as f32);
    let by_baseline = grad(&[(&c, Some(&falls))], &leaves.iter().collect::<Vec<_>>())?;
    Ok((left, by_baseline.into()))
}

/// The state of an estimator with a network of what came before the choice.
pub(super) fn baseline_state(network: &Relax, task: &SiteTask<'_>) -> Result<SiteState> {
    let network = Relax {
        surrogate: SurrogateKind::FreeForm,
        ..network.clone()
    };
    Ok(SiteState::holding(network.surrogate(task)?))
}

/// NVIL, with a network trained online.
///
/// ```
/// use relax_runtime::estimator::Nvil;
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
/// let nvil = Nvil { network: Relax { hidden: vec![8], ..Relax::free_form() } };
/// let trained = Minimize::new(&switches()).steps(100).estimator(nvil).run()?;
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Nvil {
    /// The network's settings.
    pub network: Relax,
}

impl Default for Nvil {
    fn default() -> Self {
        Self {
            network: Relax::free_form(),
        }
    }
}

impl Estimator for Nvil {
    fn name(&self) -> &'static str {
        "nvil"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxed(class, "NVIL is for discrete sites; use `reinforce`")?;
        Ok("discrete: score function with a network of what came before".into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        baseline_state(&self.network, task)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        in_units(cost, state, |cost| {
            nvil(task.problem, cost, state.surrogate())
        })
    }
}

//! REINFORCE, the score-function estimator (Williams 1992).

use super::class::SiteClass;
use super::law::drawn;
use super::problem::spread;
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, LawEstimate, LawTask, Problem};
use crate::dist::Law;
use crate::error::Result;
use crate::surrogate::VarianceGradient;
use crate::tensor::{Tensor, grad};

/// The estimate (f(b) − `baseline`) ∂log p(b | θ)/∂θ.
///
/// [`Problem`] has an example; [`Reinforce`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn reinforce(problem: Problem<'_>, cost: &dyn Cost, baseline: f32) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let b = problem
        .relaxation
        .hard(&problem.relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let score = problem.relaxation.score(&theta, &b);
    let gradient = problem.spread(&(&f - baseline))? * score;
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 1,
    })
}

/// `weight`, one number per row, times ∂log p(value)/∂parameter for each parameter of any law,
/// continuous ones included. For a law with a relaxation whose parameter has the draw's shape, no graph
/// is needed.
///
/// # Errors
/// If shapes do not fit.
pub fn score_function(law: &dyn Law, value: &Tensor, weight: &Tensor) -> Result<Vec<Tensor>> {
    let value = value.detach();
    if let (Some(relaxation), [theta]) = (law.relaxation(), &law.parameters()[..]) {
        let (theta, b) = (theta.detach(), law.to_vertex(&value));
        if theta.shape() == b.shape() {
            let weight = spread(&weight.detach(), theta.rank())?;
            let score = relaxation.score(&theta, &b) * weight;
            return Ok(vec![score.check()?.clone()]);
        }
    }
    let parameters: Vec<Tensor> = law.parameters().iter().map(|p| p.detach().leaf()).collect();
    let density = law.with_parameters(&parameters).log_density(&value);
    let weight = spread(&weight.detach(), density.rank())?;
    let cotangent = density.zeros_like() + weight;
    grad(
        &[(&density, Some(&cotangent))],
        &parameters.iter().collect::<Vec<_>>(),
    )
}

/// REINFORCE, by default with a moving average of past costs as baseline.
///
/// It needs nothing but the cost of the draw, which may be computed by host code:
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = &logit));
///     cost!(if heads.to_bool()? { 1.0 } else { 0.0 });
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&coin()).steps(100).estimator(Reinforce::default()).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 1);
/// assert!(trained.param("logit")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reinforce {
    baseline: bool,
}

impl Default for Reinforce {
    fn default() -> Self {
        Self { baseline: true }
    }
}

impl Reinforce {
    /// Plain REINFORCE, without variance reduction.
    pub fn without_baseline() -> Self {
        Self { baseline: false }
    }
}

impl Estimator for Reinforce {
    fn name(&self) -> &'static str {
        if self.baseline {
            "reinforce"
        } else {
            "reinforce-without-baseline"
        }
    }

    fn valid_for(&self, _: SiteClass) -> std::result::Result<String, String> {
        Ok(if self.baseline {
            "score function with moving-average baseline"
        } else {
            "score function"
        }
        .into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    fn centred(&self) -> bool {
        self.baseline
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        reinforce(task.problem, cost, 0.0)
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &SiteState,
    ) -> Result<LawEstimate> {
        let (b, cost) = drawn(task.problem, cost)?;
        Ok(LawEstimate {
            gradients: score_function(task.problem.law, &b, &cost)?,
            cost,
            variance_gradient: VarianceGradient::default(),
            evaluations: 1,
        })
    }
}

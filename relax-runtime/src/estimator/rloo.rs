//! REINFORCE with a leave-one-out baseline (Kool, van Hoof, Welling 2019; Salimans and Knowles
//! 2014).

use super::class::{DrawKind, SiteClass};
use super::law::drawn;
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, LawEstimate, LawProblem, LawTask, Problem, score_function};
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The estimate 1/(k − 1) Σᵢ (f(bᵢ) − f̄) ∂log p(bᵢ | θ)/∂θ over k independent draws, f̄ their mean
/// cost: each draw's baseline is the mean of the others (Kool et al. 2019).
///
/// Unbiased for every law and cost. The first draw comes from the noise u, the others from the further
/// noise, so k is one more than its length. [`Rloo`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, or there is no further noise.
pub fn rloo(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    problem.constant_theta()?;
    leave_one_out(problem, cost, &problem.draws())
}

/// As [`rloo`], for any law whose density is differentiable in its parameters.
///
/// # Errors
/// As [`rloo`].
pub fn rloo_of_law(problem: LawProblem<'_>, cost: &dyn Cost) -> Result<LawEstimate> {
    let (first, f) = drawn(problem, cost)?;
    if problem.further.is_empty() {
        return Err(too_few());
    }
    let (mut draws, mut costs) = (vec![first], vec![f]);
    for noise in problem.further {
        let b = problem.draw(noise);
        costs.push(cost.hard(&b)?);
        draws.push(b);
    }
    let mean = mean_of(&costs);
    let share = 1.0 / (draws.len() - 1) as f32;
    let mut gradients: Option<Vec<Tensor>> = None;
    for (b, f) in draws.iter().zip(&costs) {
        let scores = score_function(problem.law, b, &((f - &mean) * share))?;
        gradients = Some(match gradients {
            None => scores,
            Some(sums) => sums.iter().zip(&scores).map(|(a, b)| a + b).collect(),
        });
    }
    let gradients = gradients.unwrap_or_default();
    gradients.iter().try_for_each(|g| g.check().map(drop))?;
    Ok(LawEstimate {
        cost: costs.swap_remove(0),
        gradients,
        variance_gradient: VarianceGradient::default(),
        evaluations: draws.len(),
    })
}

/// 1/(n − 1) Σᵢ (f(bᵢ) − f̄) ∂log p(bᵢ | θ)/∂θ, whatever the joint law of the draws; the first draw is
/// the one already made.
pub(super) fn leave_one_out(
    problem: Problem<'_>,
    cost: &dyn Cost,
    draws: &[Tensor],
) -> Result<Estimate> {
    let [first, others @ ..] = draws else {
        return Err(too_few());
    };
    if others.is_empty() {
        return Err(too_few());
    }
    let mut costs = vec![cost.drawn(first)?];
    for b in others {
        costs.push(cost.hard(b)?);
    }
    let gradient = centred_scores(problem, draws, &costs)?;
    gradient.check()?;
    Ok(Estimate {
        cost: costs.swap_remove(0),
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: draws.len(),
    })
}

/// 1/(n − 1) Σᵢ (fᵢ − f̄) ∂log p(bᵢ | θ)/∂θ for costs fᵢ of n draws bᵢ.
pub(super) fn centred_scores(
    problem: Problem<'_>,
    draws: &[Tensor],
    costs: &[Tensor],
) -> Result<Tensor> {
    let mean = mean_of(costs);
    let mut gradient = problem.theta.zeros_like().detach();
    for (b, f) in draws.iter().zip(costs) {
        let score = problem.relaxation.score(problem.theta, b);
        gradient = gradient + problem.spread(&(f - &mean))? * score;
    }
    Ok(gradient / (draws.len() - 1) as f32)
}

/// The mean of at least one cost.
fn mean_of(costs: &[Tensor]) -> Tensor {
    let zero = costs[0].zeros_like();
    costs.iter().fold(zero, |sum, f| sum + f) / costs.len() as f32
}

/// The costs of at least two draws and their slopes there; the first is the one already made.
pub(super) fn costs_and_slopes(
    cost: &dyn Cost,
    draws: &[Tensor],
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let ([first, others @ ..], 2..) = (draws, draws.len()) else {
        return Err(too_few());
    };
    let mut found = vec![cost.drawn_with_slope(first)?];
    for b in others {
        found.push(cost.with_slope(b)?);
    }
    Ok(found.into_iter().unzip())
}

fn too_few() -> Error {
    Error::Config {
        setting: "draws",
        problem: "a leave-one-out baseline needs at least two; give further noise".into(),
    }
}

/// Checks that a number of draws leaves others when one is left out.
///
/// # Errors
/// If there are fewer than two.
pub(super) fn at_least_two(draws: usize) -> Result<usize> {
    match draws {
        0 | 1 => Err(too_few()),
        _ => Ok(draws),
    }
}

/// REINFORCE with a leave-one-out baseline: for every law and cost.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn orders() {
///     let log_rate = param!(1.0);
///     let n = sample!(Poisson(log_rate = &log_rate));
///     cost!((n - 10.0).square());
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&orders()).steps(100).estimator(Rloo::new(8)?).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 8);
/// // The mean cost λ + (λ − 10)² is least at λ = 9.5, far above the first rate e.
/// assert!(trained.param("log_rate")?[0] > 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rloo {
    draws: usize,
}

impl Default for Rloo {
    fn default() -> Self {
        Self { draws: 4 }
    }
}

impl Rloo {
    /// RLOO with the given number of draws, each of which takes an evaluation of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        at_least_two(draws).map(|draws| Self { draws })
    }
}

impl Estimator for Rloo {
    fn name(&self) -> &'static str {
        "rloo"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        let kind = match class.draws {
            DrawKind::Pathwise => "continuous",
            DrawKind::Opaque => "continuous without a derivative of its draws",
            DrawKind::Discrete => "discrete without a relaxation",
            _ => "discrete",
        };
        Ok(format!(
            "{kind}: leave-one-out baseline of {} draws",
            self.draws
        ))
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        self.draws
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.draws - 1
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        rloo(task.problem, cost)
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &SiteState,
    ) -> Result<LawEstimate> {
        rloo_of_law(task.problem, cost)
    }
}

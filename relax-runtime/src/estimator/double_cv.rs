//! Double control variates for the leave-one-out estimator (Titsias and Shi 2022).

use super::class::{SiteClass, expect_relaxable};
use super::problem::pull;
use super::rloo::{at_least_two, centred_scores, costs_and_slopes};
use super::site::{Estimator, SiteTask, WITH_SLOPE};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// The leave-one-out estimate of f − α l, plus α times the exact gradient of E\[l\]: with μ the mean
/// of b, lᵢ(b) = sᵢᵀ(b − μ) is a Taylor expansion whose slope sᵢ is the mean of f′ at the other
/// draws. One weight α serves both control variates, as in the authors' code, where it has the
/// opposite sign (Titsias and Shi 2022).
///
/// Unbiased for every α; `variance_gradient` holds one tensor, for α. The draws are those of
/// [`rloo`](super::rloo()); each needs one evaluation, for the cost and its slope. [`DoubleCv`] is the
/// estimator for sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, or there is no further noise.
pub fn double_cv(problem: Problem<'_>, cost: &dyn Cost, alpha: f32) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let draws = problem.draws();
    let (mut costs, slopes) = costs_and_slopes(cost, &draws)?;
    let zero = theta.zeros_like();
    let sum = slopes.iter().fold(zero, |sum, slope| sum + slope);
    let others = means_of_others(&slopes);
    let mean = |theta: &Tensor| problem.mean(theta);
    let mu = mean(&theta);
    let expansions: Vec<Tensor> = draws
        .iter()
        .zip(&others)
        .map(|(b, slope)| (slope * (b - &mu)).sum_from(problem.plates))
        .collect();
    let exact = pull(&mean, &theta, &(sum / draws.len() as f32))?;
    let by_alpha = exact - centred_scores(problem, &draws, &expansions)?;
    let gradient = centred_scores(problem, &draws, &costs)? + &by_alpha * alpha;
    gradient.check()?;
    let by_alpha = (&gradient * by_alpha).sum_all() * (2.0 / gradient.len().max(1) as f32);
    Ok(Estimate {
        cost: costs.swap_remove(0),
        gradient,
        variance_gradient: vec![by_alpha].into(),
        evaluations: draws.len(),
    })
}

/// For each of several tensors the mean of the others, whose rounding does not depend on that tensor
/// either.
fn means_of_others(all: &[Tensor]) -> Vec<Tensor> {
    let zero = all[0].zeros_like();
    let mut sums = Vec::with_capacity(all.len());
    let mut before = zero.clone();
    for x in all {
        sums.push(before.clone());
        before = before + x;
    }
    let mut after = zero;
    for (sum, x) in sums.iter_mut().zip(all).rev() {
        *sum = (&*sum + &after) / (all.len() - 1) as f32;
        after = after + x;
    }
    sums
}

/// Double control variates, with the weight α learned online.
///
/// ```
/// use relax_runtime::estimator::DoubleCv;
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
/// let trained = Minimize::new(&switches()).steps(100).estimator(DoubleCv::new(4)?).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 4);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DoubleCv {
    draws: usize,
    /// Initial weight α.
    pub alpha: f32,
}

impl Default for DoubleCv {
    fn default() -> Self {
        Self {
            draws: 3,
            alpha: 0.0,
        }
    }
}

impl DoubleCv {
    /// The estimator with the given number of draws, each of which takes an evaluation of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        Ok(Self {
            draws: at_least_two(draws)?,
            ..Self::default()
        })
    }
}

impl Estimator for DoubleCv {
    fn name(&self) -> &'static str {
        "double-cv"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxable(
            class,
            "double control variates are for discrete sites whose cost can be differentiated by \
             the draw; use `rloo` or `relax`",
        )?;
        Ok(format!(
            "discrete, cost differentiable at the draw: {} draws with Taylor expansions",
            self.draws
        ))
    }

    fn time(&self, _: SiteClass) -> f64 {
        1.0 + WITH_SLOPE * (self.draws - 1) as f64
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        self.draws
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.draws - 1
    }

    fn needs_slope(&self) -> bool {
        true
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let alpha = Tensor::full([], self.alpha, &task.problem.theta.device());
        let alpha = Parameter::new(alpha).named(&task.parameter_name("alpha"));
        Ok(SiteState::with_parameters(vec![alpha]))
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        let alpha = match state.parameters() {
            [alpha] => alpha.get().peek_item()?,
            _ => self.alpha,
        };
        double_cv(task.problem, cost, alpha)
    }
}

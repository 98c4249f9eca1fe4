//! Double control variates for the leave-one-out estimator (Titsias and Shi 2022).

use super::problem::{pull, slope};
use super::rloo::{centred_scores, too_few};
use super::site::{Estimator, SiteClass, SiteState, SiteTask, check_temperature};
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::Constant;
use crate::tensor::Tensor;

/// The leave-one-out estimate of f − α l, plus α times the exact gradient of E\[l\]: with μ the mean
/// of b, lᵢ(b) = sᵢᵀ(b − μ) is a Taylor expansion whose slope sᵢ is the mean of f′ at the other
/// draws (after Titsias and Shi 2022, with one weight for both control variates).
///
/// Unbiased for every α; `variance_gradient` holds one tensor, for α. The draws are those of
/// [`rloo`](super::rloo()); each needs two evaluations, one of them for the slope there, where later
/// choices are relaxed at `temperature`.
///
/// # Errors
/// The cost's own, shapes that do not fit, or no further noise.
pub fn double_cv(
    problem: Problem<'_>,
    cost: &dyn Cost,
    alpha: f32,
    temperature: f32,
) -> Result<Estimate> {
    let (relaxation, theta) = (problem.relaxation, problem.theta.detach());
    let noise = std::iter::once(&problem.noise.u).chain(&problem.noise.further);
    let draws: Vec<Tensor> = noise
        .map(|u| relaxation.hard(&relaxation.relaxed(&theta, u)))
        .collect();
    let others = match draws.len() {
        0 | 1 => return Err(too_few()),
        n => (n - 1) as f32,
    };
    let (mut costs, mut slopes) = (Vec::new(), Vec::new());
    for (i, b) in draws.iter().enumerate() {
        costs.push(if i == 0 {
            cost.drawn(b)?
        } else {
            cost.hard(b)?
        });
        slopes.push(slope(cost, b, temperature)?.1);
    }
    let mean = |theta: &Tensor| problem.mean(theta);
    let (mu, sum) = (mean(&theta), sum(&slopes));
    let expansions: Vec<Tensor> = draws
        .iter()
        .zip(&slopes)
        .map(|(b, own)| ((&sum - own) / others * (b - &mu)).sum_from(problem.plates))
        .collect();
    let exact = pull(&mean, &theta, &(sum / draws.len() as f32))?;
    let by_alpha = exact - centred_scores(problem, &draws, &expansions)?;
    let gradient = centred_scores(problem, &draws, &costs)? + &by_alpha * alpha;
    gradient.check()?;
    let by_alpha = (&gradient * by_alpha).sum_all() * (2.0 / gradient.len().max(1) as f32);
    Ok(Estimate {
        cost: costs.swap_remove(0),
        gradient,
        variance_gradient: vec![by_alpha],
        evaluations: 2 * draws.len(),
    })
}

fn sum(tensors: &[Tensor]) -> Tensor {
    tensors[1..]
        .iter()
        .fold(tensors[0].clone(), |sum, t| sum + t)
}

/// Double control variates, the weight α learned online.
#[derive(Clone, Copy, Debug)]
pub struct DoubleCv {
    draws: usize,
    /// First weight α.
    pub alpha: f32,
    /// Temperature of later choices where the cost is differentiated.
    pub temperature: f32,
}

impl Default for DoubleCv {
    fn default() -> Self {
        Self {
            draws: 2,
            alpha: 0.5,
            temperature: 0.5,
        }
    }
}

impl DoubleCv {
    /// With the given number of draws, each two evaluations of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        match draws {
            0 | 1 => Err(too_few()),
            _ => Ok(Self {
                draws,
                ..Self::default()
            }),
        }
    }
}

impl Estimator for DoubleCv {
    fn name(&self) -> &'static str {
        "double-cv"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.discrete && class.relaxable {
            return Ok(format!(
                "discrete, cost differentiable at the draw: {} draws with Taylor expansions",
                self.draws
            ));
        }
        Err(
            "double control variates are for discrete sites whose cost can be differentiated by \
             the draw; use `rloo` or `relax`"
                .into(),
        )
    }

    fn further_noise(&self) -> usize {
        self.draws - 1
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        check_temperature(self.temperature)?;
        let alpha = Constant::new(self.alpha, &task.problem.theta.device());
        Ok(SiteState::with_surrogate(Box::new(
            alpha.named(&task.parameter_name("alpha")),
        )))
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        let learned = state.surrogate().parameters();
        let alpha = match &learned[..] {
            [alpha] => alpha.get().peek_item()?,
            _ => self.alpha,
        };
        double_cv(task.problem, cost, alpha, self.temperature)
    }
}

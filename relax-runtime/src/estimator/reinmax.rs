//! ReinMax, a straight-through estimator of second order, biased (Liu, Dong, Liu, Yu, Gao 2023).

use super::class::{DrawKind, SiteClass};
use super::gumbel_softmax::relaxable;
use super::problem::slope;
use super::site::{Estimator, SiteState, SiteTask, check_temperature};
use super::{Cost, Estimate, Problem};
use crate::dist::Form;
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The slope w of the cost at the hard draw, brought to θ as 2 J(π₁) w − ½ J(π₀) w, where π₀ is the
/// mean, π₁ = ½ (π₀ + b), and J(π) the Jacobian of σ or softmax at the point where its value is π:
/// π (1 − π) of coins, diag π − π πᵀ of one-hot vectors
/// (Liu et al. 2023). Biased, except where the cost is quadratic in each choice.
///
/// Two evaluations: the cost at the draw, and its slope there with later choices relaxed at
/// `temperature`.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
pub fn reinmax(problem: Problem<'_>, cost: &dyn Cost, temperature: f32) -> Result<Estimate> {
    let (theta, relaxation) = (problem.constant_theta()?, problem.relaxation);
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let (_, slope) = slope(cost, &b, temperature)?;
    let mean = problem.mean(&theta);
    let between = (&mean + b) * 0.5;
    let by_coin = |mean: &Tensor, w: &Tensor| mean * (1.0 - mean) * w;
    let by_vector = |mean: &Tensor, w: &Tensor| mean * (w - (mean * w).sum_keepdim(-1));
    let gradient = match relaxation.form() {
        Form::Coins => by_coin(&between, &slope) * 2.0 - by_coin(&mean, &slope) * 0.5,
        Form::Categories => by_vector(&between, &slope) * 2.0 - by_vector(&mean, &slope) * 0.5,
        Form::Other => {
            let problem = "`reinmax` is for coins and one-hot vectors; use `relax` or `rloo`";
            return Err(Error::Estimator(problem.into()));
        }
    };
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

/// ReinMax; biased.
#[derive(Clone, Copy, Debug)]
pub struct ReinMax {
    /// Temperature of later choices where the cost is differentiated.
    pub temperature: f32,
}

impl Default for ReinMax {
    fn default() -> Self {
        Self { temperature: 0.5 }
    }
}

impl Estimator for ReinMax {
    fn name(&self) -> &'static str {
        "reinmax"
    }

    fn biased(&self) -> bool {
        true
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.draws {
            DrawKind::Coins | DrawKind::Categories => relaxable("ReinMax", class),
            _ => Err("ReinMax is for coins and one-hot vectors; use `relax` or `rloo`".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        check_temperature(self.temperature)?;
        Ok(SiteState::new())
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        reinmax(task.problem, cost, self.temperature)
    }
}

//! ReinMax, a second-order straight-through estimator, biased (Liu, Dong, Liu, Yu, Gao 2023).

use super::class::{DrawKind, SiteClass};
use super::gumbel_softmax::relaxable;
use super::problem::slope;
use super::site::{Estimator, SiteTask, check_temperature};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::dist::Form;
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The slope w of the cost at the hard draw, brought to θ as 2 J(π₁) w − ½ J(π₀) w, where π₀ is the
/// mean, π₁ = ½ (π₀ + b), and J(π) the Jacobian of σ or softmax at the point where its value is π:
/// π (1 − π) for coins, diag π − π πᵀ for one-hot vectors
/// (Liu et al. 2023). Biased, except where the cost is quadratic in each choice.
///
/// Two evaluations: the cost at the draw, and its slope there with later choices relaxed at
/// `temperature`. [`ReinMax`] is the estimator for sites of models.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, differentiable, reinmax};
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// // Two rows of a fair coin, one of either value.
/// let theta = Tensor::from_slice(&[0.0, 0.0]);
/// let noise = Noise::coupled(Tensor::from_slice(&[0.25, 0.75]));
/// let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
/// let cost = differentiable(|b: &Tensor| Ok((b - 0.45).square()));
/// // The mean over both values is exact for a quadratic cost: (f(1) − f(0))/4.
/// let gradient = reinmax(problem, &cost, 0.5)?.gradient;
/// assert!((gradient.mean_all().item()? - 0.025).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the cost fails, or shapes do not fit.
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
        Form::Gapped | Form::Other => {
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

/// The ReinMax estimator; biased.
///
/// ```
/// use relax_runtime::estimator::ReinMax;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!((b - 0.2).square());
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&coin()).steps(100).estimator(ReinMax::default()).run()?;
/// assert!(trained.plan().entries[0].biased);
/// // 0 costs 0.04, and 1 costs 0.64.
/// assert!(trained.param("logit")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
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

    fn weighs_rows(&self) -> bool {
        false
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

//! The Concrete or Gumbel-softmax relaxation in place of the choice, biased (Jang, Gu, Poole 2017;
//! Maddison, Mnih, Teh 2017).

use super::class::{SiteClass, expect_relaxable};
use super::problem::{pull, slope};
use super::site::{Estimator, SiteTask, check_temperature};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The derivative ∂f(σ(z(θ, u)/λ))/∂θ of the cost at the relaxed sample, λ the temperature (Jang et
/// al. 2017). Biased: it is the gradient of another objective, which tends to f's own
/// as λ falls, while its variance grows.
///
/// Two evaluations, one of them at the hard draw for its cost. [`GumbelSoftmax`] is the estimator for
/// sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn gumbel_softmax(problem: Problem<'_>, cost: &dyn Cost, temperature: f32) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let (relaxation, u) = (problem.relaxation, &problem.noise.u);
    let f = cost.drawn(&relaxation.hard(&relaxation.relaxed(&theta, u)))?;
    let soft = soft(problem, temperature);
    let (_, slope) = slope(cost, &soft(&theta), temperature)?;
    let gradient = pull(&soft, &theta, &slope)?;
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

/// σ(z(θ, u)/λ) as a function of θ.
pub(super) fn soft(problem: Problem<'_>, temperature: f32) -> impl Fn(&Tensor) -> Tensor {
    let (relaxation, u) = (problem.relaxation, problem.noise.u.clone());
    let temperature = Tensor::full([], temperature, &u.device());
    move |theta| relaxation.squash(&relaxation.relaxed(theta, &u), &temperature)
}

/// The Concrete or Gumbel-softmax estimator; biased.
///
/// ```
/// use relax_runtime::estimator::GumbelSoftmax;
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
/// let relaxed = GumbelSoftmax { temperature: 0.7 };
/// let trained = Minimize::new(&switches()).steps(100).estimator(relaxed).run()?;
/// assert!(trained.plan().entries[0].biased);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GumbelSoftmax {
    /// The temperature λ.
    pub temperature: f32,
}

impl Default for GumbelSoftmax {
    fn default() -> Self {
        Self { temperature: 0.5 }
    }
}

impl Estimator for GumbelSoftmax {
    fn name(&self) -> &'static str {
        "gumbel-softmax"
    }

    fn biased(&self) -> bool {
        true
    }

    fn weighs_rows(&self) -> bool {
        false
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        relaxable("the Gumbel-softmax estimator", class)
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        check_temperature(self.temperature)?;
        Ok(SiteState::new())
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        gumbel_softmax(task.problem, cost, self.temperature)
    }
}

/// Checks that the cost has a derivative by the draw, which biased estimators rely on.
pub(super) fn relaxable(name: &str, class: SiteClass) -> std::result::Result<String, String> {
    let wanted = "is for discrete sites whose cost can be differentiated by the draw; use `relax`";
    expect_relaxable(class, &format!("{name} {wanted}"))?;
    Ok("discrete, cost differentiable in its relaxation".into())
}

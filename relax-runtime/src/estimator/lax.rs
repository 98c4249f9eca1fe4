//! LAX (Grathwohl, Choi, Wu, Roeder, Duvenaud 2018): continuous choices before a black box.

use super::class::{DrawKind, SiteClass};
use super::law::drawn;
use super::site::Estimator;
use super::state::SiteState;
use super::units::InUnits;
use super::{Cost, LawEstimate, LawProblem, LawTask, Relax, score_function};
use crate::error::Result;
use crate::surrogate::Surrogate;
use crate::tensor::Tensor;

/// The LAX estimate (f(b) − c(b)) ∂log p(b | θ)/∂θ + ∂c(b)/∂θ with b = T(θ, ε) (Grathwohl et al.
/// 2018, equation 5).
///
/// Unbiased for every surrogate c; with c = 0 it is the score function, with c = f the pathwise
/// gradient. It takes one evaluation besides those of c. [`Lax`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn lax(
    problem: LawProblem<'_>,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
) -> Result<LawEstimate> {
    let (b, f) = drawn(problem, cost)?;
    let theta = problem.theta()?;
    let between = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.linearize(&b, problem.surroundings(&theta, &between))?;
    let scores = score_function(problem.law, &b, &(&f - &c.value))?;
    let paths = problem.pull(&c.gradient)?;
    let gradients: Vec<Tensor> = scores.iter().zip(&paths).map(|(s, p)| s + p).collect();
    gradients.iter().try_for_each(|g| g.check().map(drop))?;

    let count: usize = gradients.iter().map(Tensor::len).sum();
    let twice_mean = 2.0 / count.max(1) as f32;
    let v: Vec<Tensor> = gradients.iter().map(|g| g * twice_mean).collect();
    let (along, weight) = problem.push(&v);
    Ok(LawEstimate {
        cost: f,
        gradients,
        variance_gradient: c.variance_gradient(&along, &weight)?,
        evaluations: 1 + surrogate.evaluations(),
    })
}

/// LAX, with a network on the draw trained online: for continuous choices whose cost is a black box.
///
/// ```
/// use relax_runtime::estimator::Lax;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn threshold() {
///     let mu = param!(0.0);
///     let x = sample!(Normal(&mu, 1.0));
///     cost!(if x.item()? > 0.0 { 1.0 } else { 0.0 });
/// }
///
/// # fn main() -> Result<()> {
/// let program = threshold();
/// let training = Minimize::new(&program).site_estimator("x", Lax::default());
/// let trained = training.steps(100).run()?;
/// assert_eq!(trained.plan().entries[0].estimator, "lax");
/// assert!(trained.param("mu")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lax {
    /// The network's settings.
    pub network: Relax,
}

impl Default for Lax {
    fn default() -> Self {
        Self {
            network: Relax::free_form(),
        }
    }
}

impl Estimator for Lax {
    fn name(&self) -> &'static str {
        "lax"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.draws {
            DrawKind::Pathwise => Ok("continuous, cost a black box: network on the draw".into()),
            DrawKind::Opaque => Err(
                "LAX needs draws that are differentiable in their parameters; use `rloo`".into(),
            ),
            DrawKind::Discrete => Err("LAX is for continuous sites; use `rloo`".into()),
            _ => Err("LAX is for continuous sites; use `relax`".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    fn law_state(&self, task: &LawTask<'_>) -> Result<SiteState> {
        let LawProblem {
            law,
            noise,
            plates,
            context,
            ..
        } = task.problem;
        let numbers = |x: &Tensor| x.shape().iter().skip(plates).product::<usize>();
        let latent = numbers(&law.draw(noise));
        // Each parameter beyond the first is context, too.
        let theta = numbers(&task.problem.theta()?);
        let further = theta.saturating_sub(latent);
        let context = further + context.map_or(0, numbers);
        let network = self.network.network(task, latent, context, &law.device())?;
        Ok(SiteState::with_surrogate(Box::new(network)))
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<LawEstimate> {
        let known = state.unit();
        let unit = known.unwrap_or(1.0);
        let mut estimate = lax(task.problem, &InUnits { cost, unit }, state.surrogate())?;
        if known.is_none() {
            estimate.variance_gradient = estimate.variance_gradient.zeroed();
        }
        estimate.cost = estimate.cost * unit;
        estimate.gradients.iter_mut().for_each(|g| *g = &*g * unit);
        Ok(estimate)
    }
}

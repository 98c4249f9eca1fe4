//! REBAR (Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein 2017): RELAX with the relaxed cost alone.

use super::class::{SiteClass, expect_relaxable};
use super::relax::surrogate_at_z;
use super::site::{Coupling, Estimator, SiteTask, check_relaxed_cost};
use super::state::SiteState;
use super::{Cost, Estimate, Problem, relax};
use crate::error::Result;
use crate::surrogate::RelaxedCost;
use crate::tensor::Tensor;

/// The REBAR estimate: [`relax`](super::relax()) with c(z) = η f(σ(z/λ)).
///
/// [`Noise`](super::Noise) has an example; [`Rebar`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn rebar(problem: Problem<'_>, cost: &dyn Cost, surrogate: &RelaxedCost) -> Result<Estimate> {
    relax(problem, cost, surrogate)
}

/// REBAR, with scale and temperature learned online.
///
/// ```
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
/// let rebar = Rebar { temperature: 0.7, ..Rebar::default() };
/// let trained = Minimize::new(&switches()).steps(100).estimator(rebar).run()?;
/// // The cost of the draw, and the relaxed cost.
/// assert_eq!(trained.plan().entries[0].evaluations, 2);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rebar {
    /// How z̃ is drawn.
    pub coupling: Coupling,
    /// Initial temperature.
    pub temperature: f32,
    /// Initial scale.
    pub eta: f32,
}

impl Default for Rebar {
    fn default() -> Self {
        Self {
            coupling: Coupling::Coupled,
            temperature: 0.5,
            eta: 1.0,
        }
    }
}

impl Estimator for Rebar {
    fn name(&self) -> &'static str {
        "rebar"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxable(
            class,
            "REBAR is for discrete sites whose cost can be evaluated at a relaxed draw; use `relax`",
        )?;
        Ok("discrete, cost differentiable in its relaxation: relaxed cost".into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        match self.coupling {
            Coupling::Coupled => 2,
            Coupling::Independent => 3,
        }
    }

    /// Evaluations beyond the first are the surrogate's.
    fn above_floor(&self, _: SiteClass, _: Option<&SiteState>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn coupling(&self) -> Coupling {
        self.coupling
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        check_relaxed_cost(self.eta, self.temperature)?;
        let device = task.problem.theta.device();
        let surrogate = RelaxedCost::new(self.eta, self.temperature, &device);
        Ok(SiteState::with_surrogate(Box::new(
            surrogate.named(&task.parameter_name("relaxed_cost")),
        )))
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Option<Tensor>> {
        surrogate_at_z(task.problem, cost, state.surrogate()).map(Some)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        relax(task.problem, cost, state.surrogate())
    }
}

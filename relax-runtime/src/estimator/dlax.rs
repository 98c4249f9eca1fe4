//! DLAX: the score functions of the hard and of the relaxed sample, in one estimator (Grathwohl,
//! Choi, Wu, Roeder, Duvenaud 2018, talk).

use super::class::SiteClass;
use super::problem::{pull, push};
use super::relax::{surrogate_at_z, twice_mean};
use super::site::{Coupling, Estimator, SiteTask};
use super::state::SiteState;
use super::units::{in_units, value_in_units};
use super::{Cost, Estimate, Problem, Relax, SurrogateKind};
use crate::error::Result;
use crate::surrogate::Surrogate;
use crate::tensor::Tensor;

/// The estimate f(b) ∂log p(b | θ)/∂θ − c(z) ∂log p(z | θ)/∂θ + ∂c(z)/∂θ: the expectations of the last
/// two terms cancel for every surrogate c. Unlike RELAX it needs no conditional sample, and its variance
/// does not vanish where c fits f. [`Dlax`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn dlax(problem: Problem<'_>, cost: &dyn Cost, surrogate: &dyn Surrogate) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    let (relaxation, u) = (problem.relaxation, &problem.noise.u);
    let z = |theta: &Tensor| relaxation.relaxed(theta, u);
    let b = relaxation.hard(&z(&theta));
    let f = cost.drawn(&b)?;
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.linearize(&z(&theta), problem.surroundings(&relaxed))?;
    let relaxed_score = relaxation.relaxed_score(&theta, u);
    let gradient = problem.spread(&f)? * relaxation.score(&theta, &b)
        - problem.spread(&c.value)? * &relaxed_score
        + pull(&z, &theta, &c.gradient)?;
    gradient.check()?;

    let v = twice_mean(&gradient);
    let weight = (&v * relaxed_score).sum_from(problem.plates);
    let variance_gradient = c.variance_gradient(&push(&z, &theta, &v), &weight)?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient,
        evaluations: 1 + surrogate.evaluations(),
    })
}

/// DLAX, with a surrogate trained online.
///
/// ```
/// use relax_runtime::estimator::Dlax;
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
/// let dlax = Dlax { surrogate: Relax::free_form() };
/// let trained = Minimize::new(&switches()).steps(100).estimator(dlax).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 1);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Dlax {
    /// The surrogate's settings.
    pub surrogate: Relax,
}

impl Dlax {
    /// The surrogate as published, as in RELAX with independent noise.
    fn published(&self) -> Relax {
        Relax {
            coupling: Coupling::Independent,
            ..self.surrogate.clone()
        }
    }
}

impl Estimator for Dlax {
    fn name(&self) -> &'static str {
        "dlax"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        let reason = self.published().valid_for(class);
        reason.map_err(|problem| problem.replace("RELAX", "DLAX"))
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        match self.published().kind(class) {
            SurrogateKind::FreeForm => 1,
            _ => 2,
        }
    }

    /// Evaluations beyond the first are the surrogate's.
    fn above_floor(&self, _: SiteClass, _: Option<&SiteState>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        Ok(SiteState::holding(self.published().surrogate(task)?))
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Option<Tensor>> {
        value_in_units(cost, state, |cost| {
            surrogate_at_z(task.problem, cost, state.surrogate())
        })
        .map(Some)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        in_units(cost, state, |cost| {
            dlax(task.problem, cost, state.surrogate())
        })
    }
}

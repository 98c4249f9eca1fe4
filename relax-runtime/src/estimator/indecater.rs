//! IndeCateR: one choice summed out at a time (De Smet, Sansone, Zuidberg Dos Martires 2023).

use super::class::{SiteClass, expect_relaxed};
use super::enumerate::{NOT_SEPARATE, expected};
use super::shift::{ENDLESS, Events};
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;

/// For each choice d of a row the sum Σ_v ∂p(v | θ_d)/∂θ_d f(v, b₋d) over its values, with the other
/// choices b₋d as drawn (De Smet et al. 2023; the local expectation gradient of Titsias
/// and Lázaro-Gredilla 2015).
///
/// Valid where the cost of each row depends on that row's draw alone: all rows change a choice at
/// once. It takes 1 + D (K − 1) evaluations for D choices of K values. [`IndeCateR`] is the estimator
/// for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn indecater(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let (relaxation, events) = (problem.relaxation, Events::of(&problem)?);
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let mut gradient = theta.zeros_like();
    let mut evaluations = 1;
    for event in 0..events.count {
        for by in 1..events.values {
            let mut shift = vec![0; events.count];
            shift[event] = by;
            let other = events.shifted(&b, &shift)?;
            let mut here = vec![0.0; events.count];
            here[event] = 1.0;
            let mass = relaxation.log_mass(&theta, &other).exp() * events.tensor(here, &b)?;
            // With the draw's own cost as baseline, the draw itself adds nothing.
            let difference = || {
                let difference = problem.spread(&(cost.hard(&other)? - &f))?;
                Ok(match relaxation.event_rank() {
                    0 => difference,
                    _ => difference.squeeze(-1),
                })
            };
            let Some(expected) = expected(&mass, difference)? else {
                continue;
            };
            let score = relaxation.score(&theta, &other);
            gradient = gradient + events.spread(&expected) * score;
            evaluations += 1;
        }
    }
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations,
    })
}

/// The IndeCateR estimator, for discrete sites of not too many values.
///
/// ```
/// use relax_runtime::estimator::IndeCateR;
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
/// let mut trainer = Trainer::new(1).estimator(IndeCateR);
/// let estimate = trainer.gradients(&ExpectedCost::new(&switches()), Key::new(1))?;
/// // Exact, as neither coin's part of the cost depends on the other.
/// let gradient = estimate.parameters[0].1.to_vec()?;
/// assert!((gradient[0] - 0.25).abs() < 1e-5 && (gradient[1] + 0.25).abs() < 1e-5);
/// assert_eq!(trainer.plan().entries[0].evaluations, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct IndeCateR;

impl Estimator for IndeCateR {
    fn name(&self) -> &'static str {
        "indecater"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxed(class, "IndeCateR is for discrete sites; use `pathwise`")?;
        match (class.changes, class.separate) {
            (usize::MAX, _) => Err(ENDLESS.into()),
            (_, true) => Ok("discrete: each choice summed out, the others as drawn".into()),
            (_, false) => Err(NOT_SEPARATE.into()),
        }
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        class.changes.saturating_add(1)
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        indecater(task.problem, cost)
    }
}

//! IndeCateR: one choice summed out at a time (De Smet, Sansone, Zuidberg Dos Martires 2023).

use super::class::{SiteClass, expect_relaxed};
use super::enumerate::{NOT_SEPARATE, expected};
use super::shift::{ENDLESS, Events};
use super::site::{Estimator, SiteState, SiteTask};
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;

/// For each choice d of a row the sum Σ_v ∂p(v | θ_d)/∂θ_d f(v, b₋d) over its values, the other
/// choices b₋d as drawn (De Smet et al. 2023; the local expectation gradient of Titsias
/// and Lázaro-Gredilla 2015).
///
/// Valid where the cost of each row depends on that row's draw alone: all rows change a choice at
/// once. 1 + D (K − 1) evaluations for D choices of K values.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
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
            // The draw's own cost is a baseline: with it the draw itself adds nothing.
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

/// IndeCateR.
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

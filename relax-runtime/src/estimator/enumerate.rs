//! The exact gradient at a site of few values: the sum over all of them.

use super::class::{SiteClass, expect_relaxed};
use super::shift::Events;
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// Maximum number of values of a row that are summed over, whatever is asked for: as many evaluations
/// of the cost as anybody would wait for.
pub const MOST_VALUES: usize = 1 << 20;

/// The sum Σ_b p(b | θ) f(b) ∂log p(b | θ)/∂θ over all values b of a row's events: without variance
/// of its own (Rao-Blackwellization over the site; Titsias and Lázaro-Gredilla 2015).
///
/// Valid where the cost of each row depends on that row's draw alone: all rows take a value at
/// once. It takes as many evaluations as a row has values; values of probability 0 are left out.
/// [`Enumerate`] is the estimator for sites of models.
///
/// # Errors
/// If a row has more than [`MOST_VALUES`] values, the cost fails, or shapes do not fit.
pub fn enumerate(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let (relaxation, events) = (problem.relaxation, Events::of(&problem)?);
    if events.together() > MOST_VALUES {
        return Err(Error::Enumeration(format!(
            "{} choices of {} values each have more than {MOST_VALUES} values together; use \
             `relax`, or `indecater`, which sums over one choice at a time",
            events.count, events.values
        )));
    }
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let mut gradient = theta.zeros_like();
    let mut shift = vec![0; events.count];
    let mut evaluations = 1;
    while advance(&mut shift, events.values) {
        let other = events.shifted(&b, &shift)?;
        let mass = relaxation
            .log_mass(&theta, &other)
            .sum_from(problem.plates)
            .exp();
        // With the draw's own cost as baseline, the draw itself adds nothing.
        let Some(weight) = expected(&mass, || Ok(cost.hard(&other)? - &f))? else {
            continue;
        };
        let weight = problem.spread(&weight)?;
        gradient = gradient + weight * relaxation.score(&theta, &other);
        evaluations += 1;
    }
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations,
    })
}

/// Mass times cost, 0 where the mass is 0; `None` where it is 0 everywhere, and the cost is not evaluated
/// at all.
pub(super) fn expected(
    mass: &Tensor,
    cost: impl FnOnce() -> Result<Tensor>,
) -> Result<Option<Tensor>> {
    let zeros = mass.with_values(|mass| mass.iter().filter(|&&mass| mass == 0.0).count())?;
    if zeros == mass.len() {
        return Ok(None);
    }
    let cost = cost()?;
    Ok(Some(match zeros {
        0 => mass * cost,
        _ => mass
            .gt(0.0)
            .select_where(&(mass * &cost), &mass.zeros_like()),
    }))
}

/// Counts up by one; false after the last combination.
fn advance(digits: &mut [usize], base: usize) -> bool {
    for digit in digits {
        *digit += 1;
        if *digit < base {
            return true;
        }
        *digit = 0;
    }
    false
}

/// Exact enumeration.
///
/// Where every choice of the programs has this estimator and few combinations of them are possible,
/// a [`Trainer`](crate::infer::Trainer) runs the programs once for each combination and follows the
/// exact gradient of everything, so that nothing is random. Rows of a plate take a combination
/// together, and count as one. Elsewhere it sums over one site at a time, with the other sites as
/// drawn.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn both() {
///     let logits = param!([0.0, 0.0]);
///     let on = sample!(Bernoulli(logits = &logits));
///     cost!(on.index(0, 0) * on.index(0, 1));
/// }
///
/// # fn main() -> Result<()> {
/// let mut trainer = Trainer::new(1).estimator(Enumerate::default());
/// let exact = trainer.gradients(&ExpectedCost::new(&both()), Key::new(1))?;
/// // Both are on with probability ¼, whose derivative by a logit is ½ · ¼.
/// assert!((exact.loss - 0.25).abs() < 1e-6);
/// let gradient = exact.parameters[0].1.to_vec()?;
/// assert!(gradient.iter().all(|&g| (g - 0.125).abs() < 1e-6));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Enumerate {
    /// Maximum number of values of a site, and of combinations of all choices that are summed over
    /// together; beyond [`MOST_VALUES`] it makes no difference.
    pub largest: usize,
}

impl Default for Enumerate {
    fn default() -> Self {
        Self { largest: 64 }
    }
}

impl Estimator for Enumerate {
    fn name(&self) -> &'static str {
        "enumerate"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        let largest = &self.largest.min(MOST_VALUES);
        expect_relaxed(
            class,
            "only discrete sites can be enumerated; use `pathwise`",
        )?;
        match class.values {
            _ if !class.separate => Err(NOT_SEPARATE.into()),
            values if values <= *largest => Ok(format!("discrete: exact sum over {values} values")),
            _ => Err(format!(
                "the site has more than {largest} values; use `relax`, or `indecater`, which sums \
                 over one choice at a time"
            )),
        }
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        class.values
    }

    fn joint(&self) -> Option<usize> {
        Some(self.largest.min(MOST_VALUES))
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        enumerate(task.problem, cost)
    }
}

/// Why a sum over values is not valid where rows meet.
pub(super) const NOT_SEPARATE: &str = "its rows meet outside their plate, so that they cannot be \
    summed over row by row; use `rloo` or `relax`";

//! The estimate as a function of explicit noise.

use crate::error::Result;
use crate::estimator::problem::{pull, push};
use crate::estimator::{Cost, Estimate, Problem};
use crate::surrogate::{Surrogate, VarianceGradient};
use crate::tensor::{Element, Tensor};

/// The RELAX estimate (f(b) − c(z̃)) ∂log p(b | θ)/∂θ + ∂c(z)/∂θ − ∂c(z̃)/∂θ.
///
/// Unbiased for every surrogate c. With coupled noise z̃ = z, the direct dependence of c on θ
/// cancels, and what is left is (f(b) − c(z)) ∂log p(b | θ)/∂θ + κ ∂c(z)/∂z with
/// κ = 1 − ∂z̃/∂θ: one evaluation of the surrogate instead of two.
///
/// [`RelaxedCost`](crate::surrogate::RelaxedCost) has an example; [`Relax`](crate::estimator::Relax) is
/// the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn relax(problem: Problem<'_>, cost: &dyn Cost, surrogate: &dyn Surrogate) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    match problem.noise.v.clone() {
        None => coupled(problem, cost, surrogate),
        Some(v) => independent(problem, &v, cost, surrogate),
    }
}

fn coupled(problem: Problem<'_>, cost: &dyn Cost, surrogate: &dyn Surrogate) -> Result<Estimate> {
    let Problem {
        relaxation,
        theta,
        noise,
        ..
    } = problem;
    let z = relaxation.relaxed(theta, &noise.u);
    let b = relaxation.hard(&z);
    let f = cost.drawn(&b)?;
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.linearize(&z, problem.surroundings(&relaxed))?;
    let score = relaxation.score(theta, &b);
    let kappa = relaxation.kappa(theta, &noise.u, &b);
    let pulled = relaxation.pull(theta, &kappa, &c.gradient);
    let fused = Tensor::fused([&f, &c.value, &score, &pulled], |[f, c, score, pulled]| {
        of_coupled(f - c, score, pulled)
    });
    let gradient = match fused {
        Some(gradient) => gradient,
        None => of_coupled(problem.spread(&(&f - &c.value))?, score.clone(), pulled),
    };

    let v = twice_mean(&gradient);
    let along = relaxation.push(theta, &kappa, &v);
    let weight = pointwise!([&v, &score], |[v, score]| v * score).sum_from(problem.plates);
    let variance_gradient = c.variance_gradient(&along, &weight)?;
    finish(f, gradient, variance_gradient, 1 + surrogate.evaluations())
}

/// The estimate of each number under coupled noise: what the surrogate leaves of the cost times
/// ∂log p(b | θ)/∂θ, plus κ ∂c(z)/∂z.
#[inline(always)]
pub(super) fn of_coupled<E: Element>(rest: E, score: E, pulled: E) -> E {
    rest * score + pulled
}

fn independent(
    problem: Problem<'_>,
    v: &Tensor,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
) -> Result<Estimate> {
    let Problem {
        relaxation,
        theta,
        noise,
        ..
    } = problem;
    let z = |theta: &Tensor| relaxation.relaxed(theta, &noise.u);
    let b = relaxation.hard(&z(theta));
    let z_tilde = |theta: &Tensor| relaxation.conditional(theta, v, &b);
    let f = cost.drawn(&b)?;
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let around = problem.surroundings(&relaxed);
    let (at_z, at_z_tilde) = (
        surrogate.linearize(&z(theta), around)?,
        surrogate.linearize(&z_tilde(theta), around)?,
    );
    let score = relaxation.score(theta, &b);
    let gradient = problem.spread(&(&f - &at_z_tilde.value))? * &score
        + pull(&z, theta, &at_z.gradient)?
        - pull(&z_tilde, theta, &at_z_tilde.gradient)?;

    let v = twice_mean(&gradient);
    let weight = (&v * score).sum_from(problem.plates);
    let by_z = at_z.variance_gradient(&push(&z, theta, &v), &weight.zeros_like())?;
    let by_z_tilde = at_z_tilde.variance_gradient(&-push(&z_tilde, theta, &v), &weight)?;
    let pairs = by_z.into_iter().zip(by_z_tilde);
    let variance_gradient = pairs.map(|(a, b)| a + b).collect();
    finish(
        f,
        gradient,
        variance_gradient,
        1 + 2 * surrogate.evaluations(),
    )
}

/// c(z), one number per row.
pub(in crate::estimator) fn surrogate_at_z(
    problem: Problem<'_>,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
) -> Result<Tensor> {
    let z = problem
        .relaxation
        .relaxed(&problem.theta.detach(), &problem.noise.u);
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.value(&z, problem.surroundings(&relaxed))?;
    Ok(c.check()?.detach())
}

/// The derivative of the mean square of a gradient estimate by the estimate.
pub(in crate::estimator) fn twice_mean(gradient: &Tensor) -> Tensor {
    let factor = 2.0 / gradient.len().max(1) as f32;
    pointwise!([gradient], |[g]| g * factor)
}

fn finish(
    cost: Tensor,
    gradient: Tensor,
    variance_gradient: VarianceGradient,
    evaluations: usize,
) -> Result<Estimate> {
    gradient.check()?;
    Ok(Estimate {
        cost,
        gradient,
        variance_gradient,
        evaluations,
    })
}

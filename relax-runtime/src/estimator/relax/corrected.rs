//! RELAX with a relaxed cost that is corrected, choice by choice, for what the others' relaxation
//! does to it.

use super::twice_mean;
use crate::dist::{noise, squash_pull};
use crate::error::{Error, Result};
use crate::estimator::{Cost, Estimate, Problem};
use crate::surrogate::{Extent, RelaxedCost, Seen, Surrogate};
use crate::tensor::{Rounding, Tensor, grad};

/// Temperature of the choice that a surrogate belongs to.
const OWN: f32 = 0.5;

/// Temperature of later choices that depend on this one. At a higher one, their distance from their hard
/// values, which is left in the estimate, is larger; the slope through them, which is what varies most
/// late in training, is smaller (`docs/relax-default.md`).
const LATER: f32 = 0.7;

/// The estimate (f(b) − cᵢ(z)) ∂log p(b | θ)/∂θᵢ + κᵢ ∂cᵢ(z)/∂zᵢ with a surrogate of its own for
/// each choice i: cᵢ(z) = η [f(s) + Σ over j ≠ i of ∂f(s)/∂sⱼ (bⱼ − sⱼ) + ∂f(s)/∂sᵢ (wᵢ − sᵢ)] + r(z),
/// where s = σ(z/λ), w = σ(2z), and r is `network`.
///
/// A surrogate of choice i may look at the hard values of all others: it only has to be continuous
/// in zᵢ. With η f(s) alone, most of the remaining variance comes from the *other* choices' distance
/// from their hard values; the sum removes it to first order. That allows the choice itself a higher
/// temperature, at which its slope varies less.
///
/// One evaluation of f with a tangent t gives f(s), its slope, and H t for its second derivatives
/// H. The derivative of cᵢ needs Σ over j ≠ i of Hᵢⱼ (bⱼ − sⱼ) + Hᵢᵢ (wᵢ − sᵢ), of which
/// 2 (1 − mᵢ) (H t)ᵢ with t = m (2 (b − s) − (w − s)) + (1 − m) (w − s) is an unbiased estimate for
/// independent fair coins m, one per choice, from `noise.further[0]`.
///
/// Later choices that depend on this one are relaxed in f(s), at temperature 0.7.
///
/// The slope must not jump: the derivative of cᵢ would miss what happens there. So kinks such as
/// that of max(x, 0) are rounded off in f(s), at a width proportional to how far x moved from
/// relaxed to hard values in past evaluations ([`RelaxedCost::learn_from_last`]): the same function
/// in other units is rounded alike. The width does not depend on the current draw, so cᵢ is a
/// continuous function of zᵢ and the estimate unbiased, as with any such surrogate. Where f has a
/// kink of which nothing is known yet, or one that is not rounded off, such as that of the largest
/// element, f(s) is left uncorrected. As noise is coupled, `noise.v` is ignored.
///
/// The sum is large where f bends strongly between relaxed and hard values, and may then do harm. The
/// estimates with cᵢ, with η f(s) + r(z), and with r(z) alone have the same expectation. Which one is
/// returned depends on their past mean squares, from which `relaxed` learns, too; until it has, it is
/// the first.
///
/// `variance_gradient` is for η, for λ, which is not trained, and for the network.
///
/// # Errors
/// If the cost fails, shapes do not fit, or there is no further noise.
pub fn corrected(
    problem: Problem<'_>,
    cost: &dyn Cost,
    relaxed: &RelaxedCost,
    network: &dyn Surrogate,
) -> Result<Estimate> {
    let Problem {
        relaxation,
        noise,
        plates,
        ..
    } = problem;
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    let z = relaxation.relaxed(&theta, &noise.u);
    let b = relaxation.hard(&z);
    let f = cost.drawn(&b)?;
    let (eta, temperature) = relaxed.scale_and_temperature();
    let s = relaxation.squash(&z, &temperature).detach();
    let own = temperature.full_like(OWN);
    let (others, itself) = (&b - &s, relaxation.squash(&z, &own).detach() - &s);
    let coin = problem.coin_a_choice()?;
    let direction = &coin * (&others - &itself) * 2.0 + &itself;
    let rounding = relaxed.rounding(theta.shape().leading(plates), &theta.device())?;
    let later = temperature.full_like(LATER);
    let here = Expansion::new(cost, &s, &direction, &later, &rounding)?;

    let score = relaxation.score(&theta, &b);
    let kappa = relaxation.kappa(&theta, &noise.u, &b);
    // What a surrogate adds to the estimate: c, shaped to multiply tensors of θ's shape, and its
    // slope by z.
    let added = |c: &Tensor, by_z: &Tensor| relaxation.pull(&theta, &kappa, by_z) - c * &score;
    let pull = |temperature: &Tensor, w: &Tensor| squash_pull(relaxation, &z, temperature, w);
    let f_s = problem.spread(&here.value)?;
    let plain = added(&f_s, &pull(&temperature, &here.slope)?);
    let best = if rounding.is_smooth() {
        let all = problem.spread(&here.slope.dot_from(&others, plates))?;
        let swapped = problem.by_event(&(&here.slope * (itself - others)));
        let bend = (1.0 - coin) * here.bend * 2.0;
        let by_z = pull(&own, &here.slope)? + pull(&temperature, &bend)?;
        added(&(f_s + all + swapped), &by_z)
    } else {
        plain.clone()
    };
    let at = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let rest = network.linearize(&z, problem.surroundings(&at))?;
    let alone = problem.spread(&(&f - &rest.value))? * &score
        + relaxation.pull(&theta, &kappa, &rest.gradient);

    // The estimates of each extent, in the order of `Extent::ALL`.
    let estimates = [&alone + &best * &eta, &alone + &plain * &eta, alone];
    let extent = relaxed.extent();
    let term = match extent {
        Extent::Corrected => best,
        Extent::Relaxed => plain,
        Extent::Nothing => best.zeros_like(),
    };
    let gradient = estimates[extent as usize].check()?.clone();
    let squares = estimates.map(|g| g.square().mean_all().reshape(1));
    relaxed.see(Seen {
        moved: rounding.met(),
        squares: Tensor::concat(&squares.each_ref(), 0),
    });

    let v = twice_mean(&gradient);
    let by_eta = v.dot_from(&term, 0);
    let along = relaxation.push(&theta, &kappa, &v);
    let weight = (v * score).sum_from(plates);
    let mut variance_gradient = vec![by_eta, temperature.zeros_like()];
    variance_gradient.extend(rest.variance_gradient(&along, &weight)?);
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: variance_gradient.into(),
        evaluations: 1 + relaxed.evaluations() + network.evaluations(),
    })
}

/// A cost around a point, its kinks rounded off.
struct Expansion {
    /// One number per row.
    value: Tensor,
    slope: Tensor,
    /// Second derivatives, times the direction.
    bend: Tensor,
}

impl Expansion {
    fn new(
        cost: &dyn Cost,
        at: &Tensor,
        direction: &Tensor,
        temperature: &Tensor,
        rounding: &Rounding,
    ) -> Result<Self> {
        let (s, t) = (at.rounded(rounding).leaf(), direction.leaf());
        let value = cost.relaxed(&s.with_tangent(&t), temperature)?;
        // The tangent is linear in t: its reverse pass gives both the slope and what H does to t.
        let rate = value.tangent().unwrap_or_else(|| value.zeros_like());
        let mut by_point = grad(&[(&rate, None)], &[&s, &t])?;
        let (slope, bend) = (by_point.remove(1), by_point.remove(0));
        Ok(Self {
            value: value.check()?.detach().unrounded(),
            slope: slope.unrounded(),
            bend: bend.unrounded(),
        })
    }
}

impl Problem<'_> {
    /// A fair coin, 0 or 1, for each choice, shaped to multiply tensors of θ's shape.
    fn coin_a_choice(&self) -> Result<Tensor> {
        let u = self.noise.further.first().ok_or_else(|| {
            Error::Autodiff("the corrected relaxed cost needs further noise".into())
        })?;
        let u = match self.relaxation.event_rank() {
            0 => u.clone(),
            _ => u.slice(-1, 0..1),
        };
        Ok(noise::uniform(&u).gt(0.5))
    }

    /// Sums over each event, shaped to multiply tensors of θ's shape.
    fn by_event(&self, x: &Tensor) -> Tensor {
        match self.relaxation.event_rank() {
            0 => x.clone(),
            _ => x.sum_keepdim(-1),
        }
    }
}

//! RELAX with a relaxed cost that is corrected, choice by choice, for what the others' relaxation
//! does to it.

use super::twice_mean;
use crate::dist::squash_pull;
use crate::error::{Error, Result};
use crate::estimator::{Cost, Estimate, Problem};
use crate::surrogate::{Extent, RelaxedCost, Seen, Surrogate};
use crate::tensor::{Rounding, Tensor, grad};

/// Temperature of the choice that a surrogate belongs to.
const OWN: f32 = 1.0;

/// Temperature of later choices that depend on this one. At a higher one, their distance from their hard
/// values, which is left in the estimate, is larger; the slope through them, which is what varies most
/// late in training, is smaller (`docs/relax-default.md`).
const LATER: f32 = 0.7;

/// The estimate (f(b) − cᵢ(z)) ∂log p(b | θ)/∂θᵢ + κᵢ ∂cᵢ(z)/∂zᵢ with a surrogate of its own for
/// each choice i: cᵢ(z) = η [f(s) + Σ over j of ∂f(s)/∂sⱼ dⱼ + ½ hⱼ dⱼ²] + aᵢ + r(z), where dⱼ is
/// bⱼ − sⱼ for the others and wᵢ − sᵢ for the choice itself, s = σ(z/λ), w = σ(z), h and a are constants
/// learned from past draws, and r is `rest`, or 0 without one.
///
/// A surrogate of choice i may look at the hard values of all others: it only has to be continuous
/// in zᵢ. With η f(s) alone, most of the remaining variance comes from the *other* choices' distance
/// from their hard values; the sum removes it to first order, and most of it to second order. That
/// allows the choice itself a higher temperature, at which its slope varies less.
///
/// One evaluation of f with a tangent t gives f(s), its slope, and H t for its second derivatives
/// H. The derivative of cᵢ needs gᵢ = Σ over j ≠ i of Hᵢⱼ (bⱼ − sⱼ) + (Hᵢᵢ − hᵢ) (wᵢ − sᵢ), of which
/// (1 + εᵢ/αᵢ) (H t − h t)ᵢ with t = b − s + ε α (w − b) is an unbiased estimate for independent
/// random signs ε, one per choice, from `noise.further[0]`, and any amplitudes α. The slope gᵢ only
/// counts where sᵢ is between its values, so α is the square root of twice a choice's distance from
/// its hard value, at least 1/√n in a row of n choices and at most 1: settled choices disturb the
/// others less. Where s does not depend on λ, as with counts, α is 1.
///
/// h stands for the diagonal of H: it is what fits past t best, Σ (H t)ᵢ tᵢ / Σ tᵢ², one for each
/// number of a row ([`RelaxedCost::learn_from_last`]). It makes up for most of the difference that
/// curvature makes between f(b) and its first-order expansion, and for most of the choice's own
/// slope ∂sᵢ/∂zᵢ, which is large where λ is low. aᵢ is a baseline: that with which the estimates of the
/// past would have had the least squares, Σ gᵢ tᵢ / Σ tᵢ² with tᵢ = ∂log p/∂θᵢ. Of the aᵢ tᵢ of a category's
/// logits, whose gradient has mean 0, the mean is left out.
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
/// estimates with cᵢ, with η f(s) + aᵢ + r(z), and with aᵢ + r(z), each with its own aᵢ, have the same
/// expectation. Which one is returned depends on their past mean squares, from which `relaxed` learns, too;
/// until it has, it is the first.
///
/// `variance_gradient` is for η, for λ, which is not trained, and for `rest`.
///
/// # Errors
/// If the cost fails, shapes do not fit, or there is no further noise.
pub fn corrected(
    problem: Problem<'_>,
    cost: &dyn Cost,
    relaxed: &RelaxedCost,
    rest: Option<&dyn Surrogate>,
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
    let own = temperature.full_like(OWN);
    let points = Points::new(problem, &z, b, &temperature, &own)?;
    let rounding = relaxed.rounding(theta.shape().leading(plates), &theta.device())?;
    let later = temperature.full_like(LATER);
    let here = Expansion::new(cost, &points, &later, &rounding)?;

    let score = relaxation.score(&theta, &points.b);
    let kappa = relaxation.kappa(&theta, &noise.u, &points.b);
    // What a surrogate adds to the estimate: c, shaped to multiply tensors of θ's shape, and its
    // slope by z.
    let added = |c: &Tensor, by_z: &Tensor| relaxation.pull(&theta, &kappa, by_z) - c * &score;
    let pull = |temperature: &Tensor, w: &Tensor| squash_pull(relaxation, &z, temperature, w);
    let f_s = problem.spread(&here.value)?;
    let plain = added(&f_s, &pull(&temperature, &here.slope)?);
    let best = if rounding.is_smooth() {
        let h = relaxed.curvature(theta.shape().trailing(plates), &theta.device())?;
        let h = h.broadcast_to(theta.shape());
        let all = problem.spread(&points.all(&here, &h).sum_from(plates))?;
        let swapped = problem.by_event(&points.swapped(&here, &h));
        let by_z =
            pull(&own, &points.by_w(&here, &h))? + pull(&temperature, &points.by_s(&here, &h))?;
        added(&(f_s + all + swapped), &by_z)
    } else {
        plain.clone()
    };
    let at = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let rest_at_z = match rest {
        Some(rest) => Some(rest.linearize(&z, problem.surroundings(&at))?),
        None => None,
    };
    let mut alone = problem.spread(&f)? * &score;
    if let Some(r) = &rest_at_z {
        alone = alone + added(&problem.spread(&r.value)?, &r.gradient);
    }

    // The estimates of each extent, in the order of `Extent::ALL`.
    let estimates = [&alone + &best * &eta, &alone + &plain * &eta, alone];
    let scored = problem.fits(&estimates.each_ref(), &score);
    let baselines = relaxed.baselines(theta.shape().trailing(plates), &theta.device())?;
    let estimates = [0, 1, 2].map(|i| &estimates[i] - problem.centred(&baselines[i] * &score));
    let extent = relaxed.extent();
    let term = match extent {
        Extent::Corrected => best,
        Extent::Relaxed => plain,
        Extent::Nothing => best.zeros_like(),
    };
    let gradient = estimates[extent as usize].check()?.clone();
    let squares = estimates.map(|g| g.square().mean_all().reshape(1));
    relaxed.see(Seen {
        bent: rounding
            .is_smooth()
            .then(|| problem.fits(&[&here.bend], &points.direction)),
        scored,
        rows: theta.shape()[..plates].iter().product(),
        moved: rounding.met(),
        squares: Tensor::concat(&squares.each_ref(), 0),
    });

    let v = twice_mean(&gradient);
    let mut variance_gradient = vec![v.dot_from(&term, 0), temperature.zeros_like()];
    if let Some(r) = rest_at_z {
        let along = relaxation.push(&theta, &kappa, &v);
        let weight = (v * score).sum_from(plates);
        variance_gradient.extend(r.variance_gradient(&along, &weight)?);
    }
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: variance_gradient.into(),
        evaluations: 1 + relaxed.evaluations() + rest.map_or(0, Surrogate::evaluations),
    })
}

/// Where surrogates look at the cost.
struct Points {
    /// Hard values.
    b: Tensor,
    /// The relaxed ones of all choices.
    s: Tensor,
    /// The relaxed ones that each choice has in its own surrogate.
    w: Tensor,
    /// b − s.
    others: Tensor,
    /// ε α of each choice, shaped to multiply the rest.
    probe: Tensor,
    /// t.
    direction: Tensor,
}

impl Points {
    fn new(
        problem: Problem<'_>,
        z: &Tensor,
        b: Tensor,
        temperature: &Tensor,
        own: &Tensor,
    ) -> Result<Self> {
        let s = problem.relaxation.squash(z, temperature).detach();
        let w = problem.relaxation.squash(z, own).detach();
        let others = &b - &s;
        let probe = problem.probe(&others)?;
        let operands = [&others, &w, &b, &probe];
        let direction = pointwise!(operands, |[others, w, b, probe]| others + (w - b) * probe);
        Ok(Self {
            b,
            s,
            w,
            others,
            probe,
            direction,
        })
    }

    /// What c gains, number by number, where all choices are at b in place of s.
    fn all(&self, here: &Expansion, h: &Tensor) -> Tensor {
        let operands = [&here.slope, &self.others, h];
        pointwise!(operands, |[slope, others, h]| each::all(slope, others, h))
    }

    /// What it gains further where a choice is at w in place of b.
    fn swapped(&self, here: &Expansion, h: &Tensor) -> Tensor {
        let operands = [&here.slope, &self.w, &self.b, &self.s, h];
        pointwise!(operands, |[slope, w, b, s, h]| each::swapped(
            slope, w, b, s, h
        ))
    }

    /// ∂c/∂w.
    fn by_w(&self, here: &Expansion, h: &Tensor) -> Tensor {
        let operands = [&here.slope, &self.w, &self.s, h];
        pointwise!(operands, |[slope, w, s, h]| slope + h * (w - s))
    }

    /// An estimate of ∂c/∂s.
    fn by_s(&self, here: &Expansion, h: &Tensor) -> Tensor {
        let operands = [&here.bend, &self.direction, h, &self.probe];
        pointwise!(operands, |[bend, t, h, probe]| (bend - t * h)
            * (probe.recip() + 1.0))
    }
}

/// A cost around s, its kinks rounded off.
struct Expansion {
    /// One number per row.
    value: Tensor,
    slope: Tensor,
    /// Second derivatives, times t.
    bend: Tensor,
}

impl Expansion {
    fn new(
        cost: &dyn Cost,
        points: &Points,
        temperature: &Tensor,
        rounding: &Rounding,
    ) -> Result<Self> {
        let s = points.s.rounded(rounding).leaf();
        let t = points.direction.leaf();
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
    /// ε α of each choice, shaped to multiply tensors of θ's shape, where `others` is b − s.
    fn probe(&self, others: &Tensor) -> Result<Tensor> {
        let u = self.noise.further.first().ok_or_else(|| {
            Error::Autodiff("the corrected relaxed cost needs further noise".into())
        })?;
        let u = match self.relaxation.event_rank() {
            0 => u.clone(),
            _ => u.slice(-1, 0..1),
        };
        if self.relaxation.scale().is_some() {
            return Ok(pointwise!([&u], |[u]| each::sign(u)));
        }
        let distance = match self.relaxation.event_rank() {
            0 => pointwise!([others], |[o]| o.abs() * 2.0),
            _ => others.abs().sum_keepdim(-1),
        };
        let row = &self.theta.shape()[self.plates..];
        let (_, choices) = self.relaxation.values_and_events(row);
        let least = 1.0 / choices.max(1) as f32;
        Ok(pointwise!([&u, &distance], |[u, distance]| each::probe(
            u, distance, least
        )))
    }

    /// For each number of a row, the sums of yᵢ xᵢ over rows for each y, and last those of xᵢ².
    fn fits(&self, ys: &[&Tensor], x: &Tensor) -> Tensor {
        let numbers: usize = self.theta.shape()[self.plates..].iter().product();
        let rows = self.theta.len() / numbers.max(1);
        let columns = |y: &&Tensor| (*y * x).reshape([rows, numbers]).sum(0);
        let sums: Vec<Tensor> = ys.iter().chain([&x]).map(columns).collect();
        Tensor::concat(&sums.iter().collect::<Vec<_>>(), 0)
    }

    /// The numbers of an event less their mean, where its gradient has none: that of a term with expectation 0 is
    /// only noise.
    fn centred(&self, x: Tensor) -> Tensor {
        if !self.relaxation.ignores_shifts() {
            return x;
        }
        let numbers = x.shape().last().map_or(1.0, |&n| n as f32);
        &x - x.sum_keepdim(-1) / numbers
    }

    /// Sums over each event, shaped to multiply tensors of θ's shape.
    fn by_event(&self, x: &Tensor) -> Tensor {
        match self.relaxation.event_rank() {
            0 => x.clone(),
            _ => x.sum_keepdim(-1),
        }
    }
}

/// The per-element functions.
mod each {
    use crate::dist::noise;
    use crate::tensor::Element;

    /// g (b − s) + ½ h (b − s)².
    #[inline(always)]
    pub(super) fn all<E: Element>(slope: E, others: E, h: E) -> E {
        (slope + h * others.clone() * 0.5) * others
    }

    /// g (w − b) + ½ h ((w − s)² − (b − s)²).
    #[inline(always)]
    pub(super) fn swapped<E: Element>(slope: E, w: E, b: E, s: E, h: E) -> E {
        let middle = (w.clone() + b.clone()) * 0.5;
        (slope + h * (middle - s)) * (w - b)
    }

    /// ε.
    #[inline(always)]
    pub(super) fn sign<E: Element>(u: E) -> E {
        noise::each::uniform(u).above(0.5) * 2.0 + -1.0
    }

    /// ε α.
    #[inline(always)]
    pub(super) fn probe<E: Element>(u: E, distance: E, least: f32) -> E {
        sign(u) * distance.clamp(least, 1.0).sqrt()
    }
}

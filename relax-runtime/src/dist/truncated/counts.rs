//! Truncated counts: those of another law between two ends.

use super::count_sums::{LITTLE, MOST_TERMS};
use super::{NAME, NO_MASS, Truncatable};
use crate::dist::checks::{SMALLER_FIRST, ends_error};
use crate::dist::counts::{CountFamily, CountOperand, Counts, Place};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Counts of another law between two ends, which are included: its mass divided by the probability
/// between them. [`Truncated::new`](super::Truncated::new) makes one from any law of counts.
pub type TruncatedCounts<F, P> = Counts<TruncatedFamily<F>, P>;

/// The family of [`TruncatedCounts`]: θ is the other family's.
#[derive(Clone, Copy, Debug)]
pub struct TruncatedFamily<F> {
    pub(super) base: F,
    pub(super) low: f64,
    /// Infinite where the base's own last value is the end.
    pub(super) high: f64,
}

/// An end of counts: a whole number, or `f64::INFINITY` for none.
pub trait CountEnd {
    /// The number.
    fn end(self) -> f64;
}

impl CountEnd for usize {
    fn end(self) -> f64 {
        self as f64
    }
}

impl CountEnd for f64 {
    fn end(self) -> f64 {
        self
    }
}

impl<F: CountFamily, P: CountOperand, L: CountEnd, H: CountEnd> Truncatable<L, H> for Counts<F, P>
where
    Counts<F, P>: crate::dist::Distribution,
{
    type Truncated = TruncatedCounts<F, P>;

    fn truncated(self, low: L, high: H) -> Result<Self::Truncated> {
        let (base, theta, fixed) = self.into_parts();
        let refuse = |parameter: &'static str, problem: String| {
            Err(Error::Parameter {
                distribution: NAME,
                parameter,
                problem,
            })
        };
        let (low, mut high) = (low.end(), high.end());
        for (parameter, end, none) in [("low", low, -f64::INFINITY), ("high", high, f64::INFINITY)]
        {
            // No comparison holds for NaN.
            let is_whole = end >= 0.0 && end.fract() == 0.0;
            if end != none && !is_whole {
                return refuse(
                    parameter,
                    format!(
                        "is {end}; ends of counts are whole numbers from 0 on, or infinite for none"
                    ),
                );
            }
        }
        let low = low.max(base.first());
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        P::each_event(&theta, &fixed, base.width(), |_, fixed| {
            least = least.min(base.last(fixed));
            most = most.max(base.last(fixed));
        })?;
        if high >= most {
            high = f64::INFINITY;
        } else if high >= least {
            return refuse(
                "high",
                format!(
                    "is {high}, which cuts off some rows but not others: their last values are {least} to {most}"
                ),
            );
        }
        if low > high.min(least) {
            return Err(ends_error(NAME, &low, &high.min(least), SMALLER_FIRST));
        }
        let family = TruncatedFamily { base, low, high };
        let is_short = family.summed().is_some();
        let (mut is_left, mut is_summed) = (true, true);
        P::each_event(&theta, &fixed, family.width(), |theta, fixed| {
            let left = family.between(theta, fixed);
            is_left &= left > LEAST_MASS;
            let is_little = !family.high.is_finite() && left < LITTLE;
            is_summed &= !is_little || family.terms_left(theta, fixed).is_some();
        })?;
        if !is_short || (is_left && !is_summed) {
            return refuse(
                "low",
                format!(
                    "and `high` leave or cut off more than {MOST_TERMS} values, too many to sum over"
                ),
            );
        }
        match is_left {
            true => Ok(Counts::of_theta(family, theta, fixed)),
            false => Err(ends_error(NAME, &low, &high, NO_MASS)),
        }
    }
}

/// Less probability between the ends counts as none: the range of double precision ends nearby.
const LEAST_MASS: f64 = 1e-250;

impl<F: CountFamily> TruncatedFamily<F> {
    /// F and 1 − F of the base at any whole number.
    fn base_tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64) {
        match (k < self.base.first(), k >= self.base.last(fixed)) {
            (true, _) => (0.0, 1.0),
            (_, true) => (1.0, 0.0),
            _ => self.base.tails(theta, fixed, k),
        }
    }

    /// The base's probability above one whole number, up to and including another.
    pub(super) fn above_up_to(&self, theta: &[f64], fixed: f64, from: f64, to: f64) -> f64 {
        let (lower, upper) = self.base_tails(theta, fixed, from);
        let (lower_end, upper_end) = self.base_tails(theta, fixed, to);
        // From the tail in which both lie.
        match lower < upper_end {
            true => lower_end - lower,
            false => upper - upper_end,
        }
    }

    /// The base's probability between the ends.
    pub(super) fn between(&self, theta: &[f64], fixed: f64) -> f64 {
        self.above_up_to(theta, fixed, self.low - 1.0, self.last(fixed))
    }
}

impl<F: CountFamily> CountFamily for TruncatedFamily<F> {
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = "the whole numbers between its ends";

    fn parameters(&self) -> Vec<&'static str> {
        self.base.parameters()
    }

    fn width(&self) -> usize {
        self.base.width()
    }

    fn is_vector(&self) -> bool {
        self.base.is_vector()
    }

    fn first(&self) -> f64 {
        self.low
    }

    fn last(&self, fixed: f64) -> f64 {
        self.base.last(fixed).min(self.high)
    }

    fn ln_mass(&self, theta: &[f64], fixed: f64, k: f64) -> f64 {
        self.base.ln_mass(theta, fixed, k) - self.between(theta, fixed).ln()
    }

    fn log_mass(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Tensor {
        let log_mass = self.base.log_mass(theta, fixed, value);
        match self.log_between(theta, fixed) {
            Some(log_between) => log_mass - log_between,
            None => log_mass,
        }
    }

    fn excludes(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Option<Tensor> {
        self.base.excludes(theta, fixed, value)
    }

    fn moments(&self, theta: &[f64], fixed: f64) -> (f64, f64) {
        let (mean, deviation) = self.base.moments(theta, fixed);
        let between = self.between(theta, fixed);
        let summed = match self.terms_left(theta, fixed) {
            Some(count) => {
                let most = self.last(fixed) - self.low + 1.0;
                let values = (0..count).map(|k| k as f64).filter(|k| *k < most);
                Some((values.map(|k| self.low + k).collect(), true))
            }
            None => self.summed(),
        };
        let Some((values, inside)): Option<(Vec<f64>, bool)> = summed else {
            return (mean, deviation);
        };
        // E[(k − c)ⁿ], computed from the base's. With c close by, no large numbers are subtracted from each other.
        let about = |centre: f64, power: i32, of_base: f64| {
            let terms = values.iter().map(|k| {
                let mass = self.base.ln_mass(theta, fixed, *k).exp();
                mass * (k - centre).powi(power)
            });
            let sum: f64 = terms.sum();
            match inside {
                true => sum / between,
                false => (of_base - sum) / between,
            }
        };
        let first = self.low + about(self.low, 1, mean - self.low);
        let first = first.clamp(self.low, self.last(fixed));
        let of_base = deviation * deviation + (mean - first).powi(2);
        (first, about(first, 2, of_base).max(0.0).sqrt())
    }

    fn mean(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        self.mean_between(theta, fixed)
    }

    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        self.variance_between(theta, fixed)
    }

    fn tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64) {
        let between = self.between(theta, fixed);
        let lower = self.above_up_to(theta, fixed, self.low - 1.0, k) / between;
        let upper = self.above_up_to(theta, fixed, k, self.last(fixed)) / between;
        (lower.clamp(0.0, 1.0), upper.clamp(0.0, 1.0))
    }

    /// Also where an end lies in a gap of the base: what moves the level there then underflows.
    fn has_gap(&self, theta: &[f64], fixed: f64) -> bool {
        let is_lost = |k: f64| {
            let (below, above) = self.base_tails(theta, fixed, k);
            below.min(above) > 0.0 && self.base.ln_mass(theta, fixed, k).exp() == 0.0
        };
        self.base.has_gap(theta, fixed) || is_lost(self.low - 1.0) || is_lost(self.last(fixed))
    }

    /// With u the level between the ends: κ of the base and [(1 − u) ∂F(low − 1) + u ∂F(high)]/p, where ∂F(k) is
    /// −p(k) κ(k, 1).
    fn kappa(&self, theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]) {
        let Place { b, v } = at;
        let own = self.base.ln_mass(theta, fixed, b).exp();
        let (lower, upper) = match b > self.low {
            true => self.tails(theta, fixed, b - 1.0),
            false => (0.0, 1.0),
        };
        let share = own / self.between(theta, fixed);
        let (u, above) = (lower + v * share, upper - v * share);
        self.base.kappa(theta, fixed, at, kappa);
        let mut end = vec![0.0; kappa.len()];
        for (k, weight) in [(self.low - 1.0, above), (self.last(fixed), u)] {
            let is_moved = k >= self.base.first() && k < self.base.last(fixed);
            if !is_moved {
                continue;
            }
            let mass = self.base.ln_mass(theta, fixed, k).exp();
            if mass > 0.0 {
                self.base
                    .kappa(theta, fixed, Place { b: k, v: 1.0 }, &mut end);
                for (kappa, end) in kappa.iter_mut().zip(&end) {
                    *kappa -= weight * mass * end / own;
                }
            }
        }
    }
}

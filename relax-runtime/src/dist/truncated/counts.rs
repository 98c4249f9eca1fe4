//! Truncated counts: those of another law that lie between two ends.

use super::{NAME, Truncatable};
use crate::dist::counts::{CountFamily, CountOperand, Counts, Place};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Counts of another law that lie between two ends, which belong to them: its mass divided by the probability
/// between them. [`Truncated::new`](super::Truncated::new) makes one of any law of counts.
pub type TruncatedCounts<F, P> = Counts<TruncatedFamily<F>, P>;

/// The family of [`TruncatedCounts`]: θ are the other family's.
#[derive(Clone, Copy, Debug)]
pub struct TruncatedFamily<F> {
    base: F,
    low: f64,
    /// Infinite where the base's own last value is the end.
    high: f64,
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
        let (low, mut high) = (low.end().max(base.first()), high.end());
        for (parameter, end) in [("low", low), ("high", high)] {
            let is_none = parameter == "high" && end == f64::INFINITY;
            if !is_none && (end.is_nan() || end < 0.0 || end.fract() != 0.0) {
                return refuse(
                    parameter,
                    format!(
                        "is {end}; ends of counts are whole numbers, and `high` may be infinite"
                    ),
                );
            }
        }
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
                    "is {high}, which is cut off in some rows, whose last values are {least} to {most}"
                ),
            );
        }
        if low > high.min(least) {
            return refuse(
                "low",
                format!("is {low}, above the last value {}", high.min(least)),
            );
        }
        let family = TruncatedFamily { base, low, high };
        if family.summed().is_none() {
            return refuse(
                "low",
                format!(
                    "and `high` leave or cut off more than {MOST_TERMS} values, too many to sum over"
                ),
            );
        }
        let mut is_left = true;
        P::each_event(&theta, &fixed, family.width(), |theta, fixed| {
            is_left &= family.between(theta, fixed) > LEAST_MASS;
        })?;
        match is_left {
            true => Ok(Counts::of_theta(family, theta, fixed)),
            false => refuse("low", "and `high` have no probability between them".into()),
        }
    }
}

/// Less probability between the ends is none: double precision ends near.
const LEAST_MASS: f64 = 1e-250;

/// The most values whose masses are summed for each log-mass.
const MOST_TERMS: f64 = 1000.0;

impl<F: CountFamily> TruncatedFamily<F> {
    /// F and 1 − F of the base at any whole number.
    fn base_tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64) {
        match (k < self.base.first(), k >= self.base.last(fixed)) {
            (true, _) => (0.0, 1.0),
            (_, true) => (1.0, 0.0),
            _ => self.base.tails(theta, fixed, k),
        }
    }

    /// The base's probability above one whole number and up to another.
    fn above_up_to(&self, theta: &[f64], fixed: f64, from: f64, to: f64) -> f64 {
        let (lower, upper) = self.base_tails(theta, fixed, from);
        let (lower_end, upper_end) = self.base_tails(theta, fixed, to);
        // By the tail in which both lie.
        match lower < upper_end {
            true => lower_end - lower,
            false => upper - upper_end,
        }
    }

    /// The base's probability between the ends.
    fn between(&self, theta: &[f64], fixed: f64) -> f64 {
        self.above_up_to(theta, fixed, self.low - 1.0, self.last(fixed))
    }

    /// The values whose masses say what lies between the ends: those that do, or, without a high end, those that
    /// are cut off; and whether they are these.
    fn summed(&self) -> Option<(Vec<f64>, bool)> {
        let (from, to, inside) = match self.high.is_finite() {
            true => (self.low, self.high + 1.0, true),
            false => (self.base.first(), self.low, false),
        };
        let count = to - from;
        (count <= MOST_TERMS).then(|| {
            (
                (0..count as usize).map(|k| from + k as f64).collect(),
                inside,
            )
        })
    }

    /// ln Σ p(k) f(k) over the values that are summed, as a tensor; nothing where there are none.
    fn log_sum(&self, theta: &Tensor, fixed: &Tensor, weight: fn(f64) -> f64) -> Option<Tensor> {
        let (values, _) = self.summed()?;
        let terms = values.iter().filter(|k| weight(**k) > 0.0).map(|k| {
            let value = Tensor::full([], *k as f32, &theta.device());
            self.base.log_mass(theta, fixed, &value) + weight(*k).ln() as f32
        });
        let terms: Vec<Tensor> = terms.collect();
        let all: Vec<&Tensor> = terms.iter().collect();
        (!all.is_empty()).then(|| Tensor::stack(&all, -1).logsumexp(-1))
    }

    /// ln of the base's probability between the ends, as a tensor.
    fn log_between(&self, theta: &Tensor, fixed: &Tensor) -> Option<Tensor> {
        let sum = self.log_sum(theta, fixed, |_| 1.0)?;
        match self.high.is_finite() {
            true => Some(sum),
            false => Some((-sum.exp_m1()).ln()),
        }
    }

    /// E\[f(k)\] between the ends, given that of the base, for f ≥ 0.
    fn expected(
        &self,
        theta: &Tensor,
        fixed: &Tensor,
        of_base: Tensor,
        f: fn(f64) -> f64,
    ) -> Tensor {
        let Some(log_between) = self.log_between(theta, fixed) else {
            return of_base;
        };
        let sum = self.log_sum(theta, fixed, f);
        match (self.high.is_finite(), sum) {
            (true, Some(sum)) => (sum - log_between).exp(),
            (true, None) => of_base * 0.0,
            (false, Some(sum)) => (of_base - sum.exp()) / log_between.exp(),
            (false, None) => of_base / log_between.exp(),
        }
    }

    fn mean_square(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let own = self.base.variance(theta, fixed) + self.base.mean(theta, fixed).square();
        self.expected(theta, fixed, own, |k| k * k)
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

    fn moments(&self, theta: &[f64], fixed: f64) -> (f64, f64) {
        let (mean, deviation) = self.base.moments(theta, fixed);
        let between = self.between(theta, fixed);
        let Some((values, inside)) = self.summed() else {
            return (mean, deviation);
        };
        let sum = |f: fn(f64) -> f64| -> f64 {
            let terms = values
                .iter()
                .map(|k| self.base.ln_mass(theta, fixed, *k).exp() * f(*k));
            terms.sum()
        };
        let expected = |of_base: f64, f: fn(f64) -> f64| match inside {
            true => sum(f) / between,
            false => (of_base - sum(f)) / between,
        };
        let first = expected(mean, |k| k).clamp(self.low, self.last(fixed));
        let second = expected(deviation * deviation + mean * mean, |k| k * k);
        (first, (second - first * first).max(0.0).sqrt())
    }

    fn mean(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        self.expected(theta, fixed, self.base.mean(theta, fixed), |k| k)
    }

    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        self.mean_square(theta, fixed) - CountFamily::mean(self, theta, fixed).square()
    }

    fn tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64) {
        let between = self.between(theta, fixed);
        let lower = self.above_up_to(theta, fixed, self.low - 1.0, k) / between;
        let upper = self.above_up_to(theta, fixed, k, self.last(fixed)) / between;
        (lower.clamp(0.0, 1.0), upper.clamp(0.0, 1.0))
    }

    /// With u the level between the ends, κ of the base and [(1 − u) ∂F(low − 1) + u ∂F(high)]/p, where ∂F(k) is
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

//! Zero-inflated counts: those of another law, with additional zeros.

use super::counts::{
    CountFamily, CountOperand, Counts, Place, certainties, is_certain, is_gap, sigmoid, softplus,
};
use super::excluded::numbers_of;
use super::{IntoDistribution, Join, Operand, Support};
use crate::error::{Error, Result};
use crate::special::log_sum;
use crate::tensor::Tensor;

/// 0 with probability g, the gate, and otherwise a draw of another law of counts: mass g + (1 − g) p(0) at 0, and
/// (1 − g) p(k) elsewhere. Estimators differentiate with respect to the logit of g and the other law's parameters.
///
/// ```
/// use relax_runtime::dist::{Distribution, Poisson, ZeroInflated};
/// # fn main() -> relax_runtime::Result<()> {
/// let cars = ZeroInflated::gate(0.25, Poisson::rate(2.0))?;
/// let none = 0.25 + 0.75 * (-2.0_f64).exp();
/// assert!((cars.log_prob(&0)?.total()? - none.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type ZeroInflated<F, P> = Counts<ZeroInflatedFamily<F>, P>;

/// The family of [`ZeroInflated`]: θ are the logit of the gate, followed by the other family's θ.
#[derive(Clone, Copy, Debug)]
pub struct ZeroInflatedFamily<F>(F);

const NAME: &str = "ZeroInflated";

impl<F: CountFamily, P: CountOperand> ZeroInflated<F, P> {
    /// The counts of `base`, of which a share of `gate` is replaced by zeros: the gate comes first, as in
    /// `ZeroInflated(0.25, Poisson(2.0))`. At exactly 0 and 1 what is ruled out has a mass of 0.
    ///
    /// # Errors
    /// If a gate is NaN or outside [0, 1], or `base` could not be made, does not have 0 among its values, or has
    /// another shape.
    pub fn gate<G: Operand, D>(gate: G, base: D) -> Result<Self>
    where
        G::Repr: Join<P, Joined = P>,
        D: IntoDistribution<Distribution = Counts<F, P>>,
    {
        let (family, theta, fixed) = base.into_distribution()?.into_parts();
        if family.first() > 0.0 {
            return Err(Error::Parameter {
                distribution: NAME,
                parameter: "base",
                problem: format!("is {}, whose values begin at {}", F::NAME, family.first()),
            });
        }
        let (gate, fixed) = gate.into_repr().join(fixed);
        gate.check_numbers(
            NAME,
            "gate",
            |p| (0.0..=1.0).contains(&p),
            Support::Unit.demand(),
        )?;
        let gate = gate.logit();
        let theta = gate.before(&theta, family.is_vector())?;
        Ok(Self::of_theta(ZeroInflatedFamily(family), theta, fixed))
    }
}

impl<F: CountFamily> ZeroInflatedFamily<F> {
    /// The other law's θ.
    fn inner(&self, theta: &Tensor) -> Tensor {
        match self.0.is_vector() {
            true => theta.slice(-1, 1..1 + self.0.width()),
            false => theta.index(-1, 1),
        }
    }
}

impl<F: CountFamily> CountFamily for ZeroInflatedFamily<F> {
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = F::SUPPORT;

    fn parameters(&self) -> Vec<&'static str> {
        let mut all = self.0.parameters();
        all.insert(0, "gate_logits");
        all
    }

    fn last(&self, fixed: f64) -> f64 {
        self.0.last(fixed)
    }

    fn ln_mass(&self, theta: &[f64], fixed: f64, k: f64) -> f64 {
        let (gate, is_certain) = (theta[0], is_certain(theta[0]));
        let other = match is_certain && gate > 0.0 {
            true => f64::NEG_INFINITY,
            false => self.0.ln_mass(&theta[1..], fixed, k) - softplus(gate),
        };
        match k > 0.0 || (is_certain && gate < 0.0) {
            true => other,
            false => log_sum([other, -softplus(-gate)]),
        }
    }

    /// Relaxed values below 1 lie between the zeros and others.
    fn excludes(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Option<Tensor> {
        let gate = certainties(&theta.index(-1, 0));
        let other = self.0.excludes(&self.inner(theta), fixed, value);
        let none = || value.detach().zeros_like();
        let (gate, other) = match (gate, other) {
            (None, None) => return None,
            (gate, other) => (gate.unwrap_or_else(none), other.unwrap_or_else(none)),
        };
        let near_zero = &other * gate.lt(0.0);
        let elsewhere = other.maximum(&gate.gt(0.0));
        Some(
            numbers_of(value)
                .lt(1.0)
                .select_where(&near_zero, &elsewhere),
        )
    }

    /// The share of the zeros decreases linearly to nothing from 0 to 1.
    fn log_mass(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Tensor {
        let gate = theta.index(-1, 0);
        let other = self.0.log_mass(&self.inner(theta), fixed, value) + (-&gate).log_sigmoid();
        let numbers = numbers_of(value);
        let near_zero = numbers.lt(1.0);
        // The rest of the line, which ends at a kink that no relaxed count lies on.
        value.mark_rough();
        let share = (1.0 - value.unrounded()).kept_within(f32::MIN_POSITIVE, 1.0);
        let zeros = gate.log_sigmoid() + share.ln();
        // ln of the sum from the larger one: the other may be too far below to contribute any digits there.
        let from = |more: &Tensor, less: &Tensor| more + (less - more).softplus();
        let is_other = numbers_of(&(&other - &zeros)).gt(0.0);
        let both = is_other.select_where(&from(&other, &zeros), &from(&zeros, &other));
        near_zero.select_where(&both, &other)
    }

    fn moments(&self, theta: &[f64], fixed: f64) -> (f64, f64) {
        let (open, (mean, deviation)) = (sigmoid(-theta[0]), self.0.moments(&theta[1..], fixed));
        let square = deviation * deviation + mean * mean;
        let variance = open * square - (open * mean).powi(2);
        (open * mean, variance.max(0.0).sqrt())
    }

    fn mean(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        (-theta.index(-1, 0)).sigmoid() * self.0.mean(&self.inner(theta), fixed)
    }

    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let (open, inner) = ((-theta.index(-1, 0)).sigmoid(), self.inner(theta));
        let mean = self.0.mean(&inner, fixed);
        // (1 − g) (σ² + g μ²).
        let gate = theta.index(-1, 0).sigmoid();
        (self.0.variance(&inner, fixed) + gate * mean.square()) * open
    }

    fn tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64) {
        let (lower, upper) = self.0.tails(&theta[1..], fixed, k);
        let (gate, open) = (sigmoid(theta[0]), sigmoid(-theta[0]));
        (gate + open * lower, open * upper)
    }

    /// Behind the zeros, as counts of one peak rise to it.
    fn has_gap(&self, theta: &[f64], fixed: f64) -> bool {
        let (_, deviation) = self.0.moments(&theta[1..], fixed);
        self.0.has_gap(&theta[1..], fixed) || is_gap(self, theta, fixed, 1.0, deviation)
    }

    /// Above 0 the gate only scales u's distance from 1, and v is that of the other law.
    fn kappa(&self, theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]) {
        let (gate, open) = (sigmoid(theta[0]), sigmoid(-theta[0]));
        let (by_gate, by_inner) = kappa.split_at_mut(1);
        let (inner, Place { b, v }) = (&theta[1..], at);
        let own = self.0.ln_mass(inner, fixed, b).exp();
        if b > 0.0 {
            let (_, above) = self.0.tails(inner, fixed, b - 1.0);
            by_gate[0] = -gate * (above / own - v);
            self.0.kappa(inner, fixed, at, by_inner);
            return;
        }
        let mass = self.ln_mass(theta, fixed, 0.0).exp();
        by_gate[0] = -v * gate * open * (1.0 - own) / mass;
        by_inner.fill(0.0);
        // Where the other law has no mass, it does not move the place.
        let share = v * open * own / mass;
        if share > 0.0 {
            self.0.kappa(inner, fixed, Place { b, v: 1.0 }, by_inner);
            by_inner.iter_mut().for_each(|kappa| *kappa *= share);
        }
    }
}

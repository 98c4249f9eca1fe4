//! Negative binomial: successes before a number of failures, or Poisson counts whose rate varies.

use super::counts::{
    CountFamily, CountOperand, Counts, LN_MOST, MOST, Place, by_difference, part, regularised_beta,
    sigmoid, softplus,
};
use super::double::{Smooth, in_double};
use super::{Join, Operand};
use crate::error::Result;
use crate::special::{lgamma, polygamma};
use crate::tensor::Tensor;

/// Successes before the r-th failure in trials that succeed with probability p, where r may be any positive
/// number: mass Γ(k + r)/(k! Γ(r)) pᵏ (1 − p)ʳ at k = 0, 1, .., mean μ = r p/(1 − p), variance μ + μ²/r.
/// It is a Poisson whose rate is Gamma with concentration r and mean μ. Estimators differentiate with respect
/// to ln r and the logit of p.
///
/// As in Pyro and NumPyro, p is the probability of what is counted; elsewhere it may be that of the failure
/// that ends the count.
///
/// ```
/// use relax_runtime::dist::{Distribution, NegativeBinomial};
/// # fn main() -> relax_runtime::Result<()> {
/// let one = NegativeBinomial::mean(3.0, 1.0)?;
/// // With r = 1 it is geometric: (¾)² ¼.
/// assert!((one.log_prob(&2)?.total()? - (9.0_f64 / 64.0).ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type NegativeBinomial<P> = Counts<NegativeBinomialFamily, P>;

/// The family of [`NegativeBinomial`]: θ are ln r and the logit of the probability of success.
#[derive(Clone, Copy, Debug)]
pub struct NegativeBinomialFamily;

const NAME: &str = NegativeBinomialFamily::NAME;
const POSITIVE: &str = "it must be positive and at most 1e9; `param!(.., positive)` is positive";

impl<P: CountOperand> NegativeBinomial<P> {
    /// Successes before failure number `total_count`, each with probability `probs`.
    ///
    /// # Errors
    /// If `total_count` is not positive or is above 10⁹, a probability is not above 0 and below 1, or their
    /// shapes do not broadcast.
    pub fn probs<A: Operand, B: Operand>(total_count: A, probs: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        const PROBS: &str =
            "probabilities of what is counted lie above 0 and below 1 - 1e-9; give `logits`";
        let (total, probs) = total_count.into_repr().join(probs.into_repr());
        probs.check_numbers(NAME, "probs", |p| 0.0 < p && p < 1.0 - 1.0 / MOST, PROBS)?;
        Self::logits_of(total, probs.logit())
    }

    /// As [`probs`](Self::probs), with probability σ(`logits`).
    ///
    /// # Errors
    /// As [`probs`](Self::probs); logits are finite and at most 20.7.
    pub fn logits<A: Operand, B: Operand>(total_count: A, logits: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        const LOGITS: &str = "it must be finite and at most 20.7; look at what computes it";
        let (total, logits) = total_count.into_repr().join(logits.into_repr());
        let valid = |x: f64| x.is_finite() && x <= LN_MOST;
        logits.check_numbers(NAME, "logits", valid, LOGITS)?;
        Self::logits_of(total, logits)
    }

    /// Counts with this mean, and variance mean + mean²/`concentration`.
    ///
    /// # Errors
    /// If a parameter is not positive or is above 10⁹, or their shapes do not broadcast.
    pub fn mean<A: Operand, B: Operand>(mean: A, concentration: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        let (mean, concentration) = mean.into_repr().join(concentration.into_repr());
        let valid = |x: f64| x > 0.0 && x <= MOST;
        mean.check_numbers(NAME, "mean", valid, POSITIVE)?;
        concentration.check_numbers(NAME, "concentration", valid, POSITIVE)?;
        let log_r = concentration.ln();
        let logits = mean.ln().minus(&log_r);
        let fixed = logits.number(0.0);
        Self::of(NegativeBinomialFamily, &[log_r, logits], fixed)
    }

    fn logits_of(total: P, logits: P) -> Result<Self> {
        let valid = |x: f64| x > 0.0 && x <= MOST;
        total.check_numbers(NAME, "total_count", valid, POSITIVE)?;
        let fixed = logits.number(0.0);
        Self::of(NegativeBinomialFamily, &[total.ln(), logits], fixed)
    }
}

/// ln[Γ(k + r)/(k! Γ(r))] + k η − (k + r) ln(1 + e^η) as a function of ln r, η and k.
#[derive(Clone)]
struct LogMass;

impl Smooth<3> for LogMass {
    fn value(&self, [log_r, eta, k]: [f64; 3]) -> f64 {
        let r = log_r.exp();
        let ways = lgamma(k + r) - lgamma(r) - lgamma(k + 1.0);
        ways + k * eta - (k + r) * softplus(eta)
    }

    fn slopes(&self, [log_r, eta, k]: [f64; 3]) -> [f64; 3] {
        let r = log_r.exp();
        let both = polygamma(0, k + r) - softplus(eta);
        [
            r * (both - polygamma(0, r)),
            k - (k + r) * sigmoid(eta),
            both - polygamma(0, k + 1.0) + eta,
        ]
    }

    fn bends(&self, [log_r, eta, k]: [f64; 3]) -> [[f64; 3]; 3] {
        let (r, p) = (log_r.exp(), sigmoid(eta));
        let both = polygamma(1, k + r);
        let by_r = polygamma(0, k + r) - softplus(eta) - polygamma(0, r);
        [
            [r * (by_r + r * (both - polygamma(1, r))), -r * p, r * both],
            [-r * p, -(k + r) * p * (1.0 - p), 1.0 - p],
            [r * both, 1.0 - p, both - polygamma(1, k + 1.0)],
        ]
    }
}

impl CountFamily for NegativeBinomialFamily {
    const NAME: &'static str = "NegativeBinomial";
    const SUPPORT: &'static str = "the whole numbers from 0 on";

    fn parameters(&self) -> Vec<&'static str> {
        vec!["log_total_count", "logits"]
    }

    fn width(&self) -> usize {
        2
    }

    fn ln_mass(&self, theta: &[f64], _: f64, k: f64) -> f64 {
        LogMass.value([theta[0], theta[1], k])
    }

    fn log_mass(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Tensor {
        in_double([&part(theta, 0), &part(theta, 1), value], &LogMass)
    }

    fn moments(&self, theta: &[f64], _: f64) -> (f64, f64) {
        let mean = (theta[0] + theta[1]).exp();
        (mean, (mean * (1.0 + theta[1].exp())).sqrt())
    }

    fn mean(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        theta.sum(-1).exp()
    }

    fn variance(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        theta.sum(-1).exp() * (part(theta, 1).exp() + 1.0)
    }

    fn tails(&self, theta: &[f64], _: f64, k: f64) -> (f64, f64) {
        let (p, q) = (sigmoid(theta[1]), sigmoid(-theta[1]));
        regularised_beta(theta[0].exp(), k + 1.0, q, p)
    }

    /// With respect to the logit it is b + v (r p − b (1 − p)); with respect to ln r there is no closed form.
    fn kappa(&self, theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]) {
        let (p, q) = (sigmoid(theta[1]), sigmoid(-theta[1]));
        let Place { b, v } = at;
        kappa[0] = by_difference(self, theta, fixed, at, 0);
        kappa[1] = b * (1.0 - v * q) + v * theta[0].exp() * p;
    }
}

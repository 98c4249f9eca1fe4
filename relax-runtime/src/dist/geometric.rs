//! Geometric: the number of failures before the first success.

use super::Operand;
use super::counts::{
    CountFamily, CountOperand, Counts, LN_MOST, MOST, Place, QuantileLevel, at_least, certainties,
    is_certain, near_certain, search, softplus,
};
use crate::error::Result;
use crate::tensor::Tensor;

/// Failures before the first success in trials that succeed with probability p: mass (1 − p)ᵏ p at k =
/// 0, 1, .., mean (1 − p)/p. Estimators differentiate with respect to the logit of p.
///
/// ```
/// use relax_runtime::dist::{Distribution, Geometric};
/// # fn main() -> relax_runtime::Result<()> {
/// let tails = Geometric::probs(0.5)?;
/// assert!((tails.log_prob(&2)?.total()? - 0.125_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type Geometric<P> = Counts<GeometricFamily, P>;

/// The family of [`Geometric`]: θ is the logit of the probability of success.
#[derive(Clone, Copy, Debug)]
pub struct GeometricFamily;

impl<P: CountOperand> Geometric<P> {
    /// Trials that succeed with probability `probs`. At exactly 1 all values but 0 have a log-probability of −∞.
    ///
    /// # Errors
    /// If a probability is below 10⁻⁹ or above 1.
    pub fn probs(probs: impl Operand<Repr = P>) -> Result<Self> {
        const PROBS: &str = "probabilities of success lie between 1e-9 and 1; give `logits`";
        let probs = probs.into_repr();
        probs.check_numbers(
            GeometricFamily::NAME,
            "probs",
            |p| MOST * p > 0.999 && p <= 1.0,
            PROBS,
        )?;
        Self::logits_of(probs.logit())
    }

    /// Trials that succeed with probability σ(`logits`).
    ///
    /// # Errors
    /// If a logit is not a finite number of at least −20.7.
    pub fn logits(logits: impl Operand<Repr = P>) -> Result<Self> {
        const LOGITS: &str = "it must be finite and at least -20.7; look at what computes it";
        let logits = logits.into_repr();
        let valid = |x: f64| x.is_finite() && x >= -LN_MOST;
        logits.check_numbers(GeometricFamily::NAME, "logits", valid, LOGITS)?;
        Self::logits_of(logits)
    }

    fn logits_of(logits: P) -> Result<Self> {
        let fixed = logits.number(0.0);
        Self::of(GeometricFamily, &[logits], fixed)
    }
}

impl CountFamily for GeometricFamily {
    const NAME: &'static str = "Geometric";
    const SUPPORT: &'static str = "the whole numbers from 0 on";

    fn parameters(&self) -> Vec<&'static str> {
        vec!["logits"]
    }

    fn width(&self) -> usize {
        1
    }

    fn ln_mass(&self, theta: &[f64], _: f64, k: f64) -> f64 {
        match is_certain(theta[0]) && k > 0.0 {
            true => f64::NEG_INFINITY,
            false => theta[0] - (k + 1.0) * softplus(theta[0]),
        }
    }

    fn log_mass(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Tensor {
        let theta = near_certain(theta);
        value * (-&theta).log_sigmoid() + theta.log_sigmoid()
    }

    fn excludes(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Option<Tensor> {
        Some(at_least(value, 1.0) * certainties(theta)?)
    }

    fn moments(&self, theta: &[f64], _: f64) -> (f64, f64) {
        let mean = (-theta[0]).exp();
        (mean, (mean * (1.0 + mean)).sqrt())
    }

    fn mean(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        (-theta).exp()
    }

    fn variance(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        let mean = (-theta).exp();
        &mean * (&mean + 1.0)
    }

    fn tails(&self, theta: &[f64], _: f64, k: f64) -> (f64, f64) {
        let ln_upper = -(k + 1.0) * softplus(theta[0]);
        (-ln_upper.exp_m1(), ln_upper.exp())
    }

    /// The integer part of ln(1 − u)/ln(1 − p).
    fn draw(&self, theta: &[f64], fixed: f64, u: QuantileLevel) -> f64 {
        let ln_above = match u.below < u.above {
            true => (-u.below).ln_1p(),
            false => u.above.ln(),
        };
        let guess = -ln_above / softplus(theta[0]);
        search(u, (0.0, f64::INFINITY), guess.floor(), 1.0, |k| {
            self.tails(theta, fixed, k)
        })
    }

    /// With respect to the probability it is −[b/(p (1 − p)) + v (1/p − b/(1 − p))].
    fn kappa(&self, theta: &[f64], _: f64, Place { b, v }: Place, kappa: &mut [f64]) {
        let (p, q) = ((-softplus(-theta[0])).exp(), (-softplus(theta[0])).exp());
        kappa[0] = -(b * (1.0 - v * p) + v * q);
    }
}

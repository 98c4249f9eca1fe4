//! Poisson: the number of events in a period, by their rate.

use statrs::function::gamma::{gamma_lr, gamma_ur};

use super::Operand;
use super::counts::{CountFamily, CountOperand, Counts, LN_MOST, MOST, Place};
use super::double::{Smooth, in_double};
use crate::error::Result;
use crate::special::{lgamma, polygamma};
use crate::tensor::Tensor;

/// Counts with mass λᵏ e^−λ/k! at k = 0, 1, .., mean and variance λ. Estimators differentiate with respect to ln λ.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// /// Of six calls an hour on average, each is lost with probability ½; no call was lost.
/// #[model]
/// fn calls() {
///     let n = sample!(Poisson(rate = 6.0));
///     observe!(Binomial(n, 0.5), 0);
/// }
///
/// # fn main() -> Result<()> {
/// let fit = Svi::new(&calls()).steps(2_000).seed(1).run()?;
/// // The calls that were not lost are Poisson with half the rate.
/// assert!((fit.posterior().mean("n")? - 3.0).abs() < 0.3);
/// # Ok(())
/// # }
/// ```
pub type Poisson<P> = Counts<PoissonFamily, P>;

/// The family of [`Poisson`]: θ is the logarithm of the rate.
#[derive(Clone, Copy, Debug)]
pub struct PoissonFamily;

impl<P: CountOperand> Poisson<P> {
    /// Counts of events that occur at this rate.
    ///
    /// # Errors
    /// If a rate is not positive or is above 10⁹.
    pub fn rate(rate: impl Operand<Repr = P>) -> Result<Self> {
        const RATE: &str =
            "the rate must be positive and at most 1e9; give `log_rate`, or count in larger units";
        let rate = rate.into_repr();
        rate.check_numbers(PoissonFamily::NAME, "rate", |x| x > 0.0 && x <= MOST, RATE)?;
        Self::log_rate_of(rate.ln())
    }

    /// As [`rate`](Self::rate), by the logarithm of the rate.
    ///
    /// # Errors
    /// If a number is above 20.7, as the logarithm of 10⁹ is, NaN or infinite.
    pub fn log_rate(log_rate: impl Operand<Repr = P>) -> Result<Self> {
        const LOG_RATE: &str = "it must be finite and at most 20.7; look at what computes it";
        let log_rate = log_rate.into_repr();
        let valid = |x: f64| x.is_finite() && x <= LN_MOST;
        log_rate.check_numbers(PoissonFamily::NAME, "log_rate", valid, LOG_RATE)?;
        Self::log_rate_of(log_rate)
    }

    fn log_rate_of(log_rate: P) -> Result<Self> {
        let fixed = log_rate.number(0.0);
        Self::of(PoissonFamily, &[log_rate], fixed)
    }
}

/// k ln λ − λ − ln k! as a function of ln λ and k.
#[derive(Clone)]
struct LogMass;

impl Smooth<2> for LogMass {
    fn value(&self, [eta, k]: [f64; 2]) -> f64 {
        k * eta - eta.exp() - lgamma(k + 1.0)
    }

    fn slopes(&self, x: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| self.slope(i, x))
    }

    fn slope(&self, i: usize, [eta, k]: [f64; 2]) -> f64 {
        match i {
            0 => k - eta.exp(),
            _ => eta - polygamma(0, k + 1.0),
        }
    }

    fn bends(&self, [eta, k]: [f64; 2]) -> [[f64; 2]; 2] {
        [[-eta.exp(), 1.0], [1.0, -polygamma(1, k + 1.0)]]
    }
}

impl CountFamily for PoissonFamily {
    const NAME: &'static str = "Poisson";
    const SUPPORT: &'static str = "the whole numbers from 0 on";

    fn parameters(&self) -> Vec<&'static str> {
        vec!["log_rate"]
    }

    fn width(&self) -> usize {
        1
    }

    fn ln_mass(&self, theta: &[f64], _: f64, k: f64) -> f64 {
        LogMass.value([theta[0], k])
    }

    fn log_mass(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Tensor {
        in_double([theta, value], &LogMass)
    }

    fn moments(&self, theta: &[f64], _: f64) -> (f64, f64) {
        let rate = theta[0].exp();
        (rate, rate.sqrt())
    }

    fn mean(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        theta.exp()
    }

    fn variance(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        theta.exp()
    }

    fn tails(&self, theta: &[f64], _: f64, k: f64) -> (f64, f64) {
        let rate = theta[0].exp();
        // Each from the side on which it is small. `statrs` does not take a rate that has underflowed or
        // overflowed.
        match rate <= k + 1.0 {
            _ if rate == 0.0 => (1.0, 0.0),
            _ if rate.is_infinite() => (0.0, 1.0),
            true => {
                let upper = gamma_lr(k + 1.0, rate);
                (1.0 - upper, upper)
            }
            false => {
                let lower = gamma_ur(k + 1.0, rate);
                (lower, 1.0 - lower)
            }
        }
    }

    /// With respect to the rate it is (1 − v) b/λ + v.
    fn kappa(&self, theta: &[f64], _: f64, Place { b, v }: Place, kappa: &mut [f64]) {
        kappa[0] = (1.0 - v) * b + v * theta[0].exp();
    }
}

//! Binomial: the number of trials that succeed.

use super::checks::PROBS;
use super::counts::{
    CountFamily, CountOperand, Counts, MOST, Place, at_least, below, certainties, is_certain,
    near_certain, regularised_beta, sigmoid, softplus,
};
use super::double::{Smooth, in_double};
use super::{Join, Numbers, Operand};
use crate::error::Result;
use crate::special::{lgamma, polygamma};
use crate::tensor::Tensor;

/// Successes in n independent trials that succeed with probability p: mass (n over k) pᵏ (1 − p)ⁿ⁻ᵏ at k
/// = 0, .., n, mean n p. Estimators differentiate with respect to the logit of p.
///
/// The number of trials may also be a tensor, with a different number in each row, or drawn before; a draw
/// that is summed out needs the same number in all rows.
///
/// ```
/// use relax_runtime::dist::{Binomial, Distribution};
/// # fn main() -> relax_runtime::Result<()> {
/// let heads = Binomial::probs(3, 0.5)?;
/// assert!((heads.log_prob(&2)?.total()? - 0.375_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type Binomial<P> = Counts<BinomialFamily, P>;

/// The family of [`Binomial`]: θ is the logit of the probability of success, and the number of trials is fixed.
#[derive(Clone, Copy, Debug)]
pub struct BinomialFamily;

/// A number of trials: a `usize` or a tensor.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a number of trials",
    label = "expected a whole number (`usize`, such as `10`) or a `Tensor`"
)]
pub trait TotalCount {
    /// `f64` or [`Tensor`].
    type Repr: Numbers + Clone;
    /// The number.
    fn into_count(self) -> Self::Repr;
}

macro_rules! total_counts {
    ($($type:ty => $repr:ty, $self:ident => $body:expr;)*) => {$(
        impl TotalCount for $type {
            type Repr = $repr;
            fn into_count($self) -> $repr {
                $body
            }
        }
    )*};
}

total_counts! {
    usize => f64, self => self as f64;
    &usize => f64, self => *self as f64;
    Tensor => Tensor, self => self;
    &Tensor => Tensor, self => self.clone();
}

/// Checks numbers of trials. Drawn ones may lie between whole numbers, as relaxed ones do.
pub(super) fn check_total(distribution: &'static str, total: &impl Numbers) -> Result<()> {
    const TOTAL: &str = "numbers of trials are whole numbers from 0 to 1e9";
    let is_relaxed = total.may_be_relaxed();
    let valid = |n: f64| (0.0..=MOST).contains(&n) && (is_relaxed || n.fract() == 0.0);
    total.check_numbers(distribution, "total_count", valid, TOTAL)
}

impl<P: CountOperand> Binomial<P> {
    /// This many trials, each a success with probability `probs`. At exactly 0 and 1 all other values have a
    /// log-probability of −∞.
    ///
    /// # Errors
    /// If a probability is NaN or outside [0, 1], or a number of trials is not a whole number from 0 to 10⁹.
    pub fn probs<N: TotalCount, A: Operand>(total_count: N, probs: A) -> Result<Self>
    where
        N::Repr: Join<A::Repr, Joined = P>,
    {
        let (total, probs) = total_count.into_count().join(probs.into_repr());
        let valid = |p: f64| (0.0..=1.0).contains(&p);
        probs.check_numbers(BinomialFamily::NAME, "probs", valid, PROBS)?;
        Self::logits_of(total, probs.logit())
    }

    /// This many trials, each a success with probability σ(`logits`); logits from ±10⁴ on are certainty.
    ///
    /// # Errors
    /// If a logit is not finite, or a number of trials is not a whole number from 0 to 10⁹.
    pub fn logits<N: TotalCount, A: Operand>(total_count: N, logits: A) -> Result<Self>
    where
        N::Repr: Join<A::Repr, Joined = P>,
    {
        let (total, logits) = total_count.into_count().join(logits.into_repr());
        Self::logits_of(total, logits)
    }

    fn logits_of(total: P, logits: P) -> Result<Self> {
        check_total(BinomialFamily::NAME, &total)?;
        let (total, logits) = P::aligned(total, logits)?;
        Self::of(BinomialFamily, &[logits], total)
    }
}

/// ln(n over k) + k η − n ln(1 + e^η) as a function of η, n and k.
#[derive(Clone)]
struct LogMass;

impl Smooth<3> for LogMass {
    fn value(&self, [eta, n, k]: [f64; 3]) -> f64 {
        // Relaxed trials may go beyond n by less than 1.
        let failures = (n - k + 1.0).max(f64::MIN_POSITIVE);
        let ways = lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(failures);
        ways + k * eta - n * softplus(eta)
    }

    fn slopes(&self, x: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|i| self.slope(i, x))
    }

    fn slope(&self, i: usize, [eta, n, k]: [f64; 3]) -> f64 {
        let failures = || polygamma(0, (n - k + 1.0).max(f64::MIN_POSITIVE));
        match i {
            0 => k - n * sigmoid(eta),
            1 => polygamma(0, n + 1.0) - failures() - softplus(eta),
            _ => failures() - polygamma(0, k + 1.0) + eta,
        }
    }

    fn bends(&self, [eta, n, k]: [f64; 3]) -> [[f64; 3]; 3] {
        let failures = polygamma(1, (n - k + 1.0).max(1e-30));
        let p = sigmoid(eta);
        [
            [-n * p * (1.0 - p), -p, 1.0],
            [-p, polygamma(1, n + 1.0) - failures, failures],
            [1.0, failures, -polygamma(1, k + 1.0) - failures],
        ]
    }
}

impl CountFamily for BinomialFamily {
    const NAME: &'static str = "Binomial";
    const SUPPORT: &'static str = "the whole numbers from 0 to the number of trials";

    fn parameters(&self) -> Vec<&'static str> {
        vec!["logits"]
    }

    fn width(&self) -> usize {
        1
    }

    fn last(&self, total: f64) -> f64 {
        total.floor()
    }

    fn ln_mass(&self, theta: &[f64], total: f64, k: f64) -> f64 {
        let is_possible = match is_certain(theta[0]) {
            true => k == if theta[0] > 0.0 { total } else { 0.0 },
            false => true,
        };
        match is_possible {
            true => LogMass.value([theta[0], total, k]),
            false => f64::NEG_INFINITY,
        }
    }

    fn log_mass(&self, theta: &Tensor, total: &Tensor, value: &Tensor) -> Tensor {
        in_double([&near_certain(theta), total, value], &LogMass)
    }

    fn excludes(&self, theta: &Tensor, total: &Tensor, value: &Tensor) -> Option<Tensor> {
        let certain = certainties(theta)?;
        let below_all = below(value, total) * certain.gt(0.0);
        Some(below_all + at_least(value, 1.0) * certain.lt(0.0))
    }

    fn moments(&self, theta: &[f64], total: f64) -> (f64, f64) {
        let (p, q) = (sigmoid(theta[0]), sigmoid(-theta[0]));
        (total * p, (total * p * q).sqrt())
    }

    fn mean(&self, theta: &Tensor, total: &Tensor) -> Tensor {
        theta.sigmoid() * total
    }

    fn variance(&self, theta: &Tensor, total: &Tensor) -> Tensor {
        theta.sigmoid() * (-theta).sigmoid() * total
    }

    fn tails(&self, theta: &[f64], total: f64, k: f64) -> (f64, f64) {
        let (p, q) = (sigmoid(theta[0]), sigmoid(-theta[0]));
        regularised_beta(total - k, k + 1.0, q, p)
    }

    /// With respect to the probability it is (1 − v) b/p + v (n − b)/(1 − p).
    fn kappa(&self, theta: &[f64], total: f64, Place { b, v }: Place, kappa: &mut [f64]) {
        let (p, q) = (sigmoid(theta[0]), sigmoid(-theta[0]));
        kappa[0] = (1.0 - v) * b * q + v * (total - b) * p;
    }
}

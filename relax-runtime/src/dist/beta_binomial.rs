//! Beta-binomial: successes in trials that share an unknown probability.

use super::binomial::{TotalCount, check_total};
use super::counts::{CountFamily, CountOperand, Counts, MOST, Place, part};
use super::double::{Smooth, in_double};
use super::{Join, Operand};
use crate::error::Result;
use crate::special::{lgamma, polygamma};
use crate::tensor::Tensor;

/// Successes in n trials whose common probability is drawn from Beta(a, b): at k = 0, .., n the mass is
/// (n over k) B(k + a, n − k + b)/B(a, b), and the mean is n a/(a + b). Estimators differentiate with respect to
/// ln a and ln b; a draw takes time in proportion to how far the values spread, at most n.
///
/// ```
/// use relax_runtime::dist::{BetaBinomial, Distribution};
/// # fn main() -> relax_runtime::Result<()> {
/// // A uniform probability makes all numbers of successes equally likely.
/// let any = BetaBinomial::new(1.0, 1.0, 4)?;
/// assert!((any.log_prob(&3)?.total()? - 0.2_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type BetaBinomial<P> = Counts<BetaBinomialFamily, P>;

/// The family of [`BetaBinomial`]: θ are ln a and ln b, and the number of trials is fixed.
#[derive(Clone, Copy, Debug)]
pub struct BetaBinomialFamily;

impl<P: CountOperand> BetaBinomial<P> {
    /// Trials whose probability of success is drawn from Beta(`concentration1`, `concentration0`).
    ///
    /// # Errors
    /// If a concentration is not positive or is above 10⁹, a number of trials is not a whole number from 0 to 10⁹,
    /// or the shapes do not broadcast.
    pub fn new<A: Operand, B: Operand, N: TotalCount>(
        concentration1: A,
        concentration0: B,
        total_count: N,
    ) -> Result<Self>
    where
        A::Repr: Join<B::Repr>,
        <A::Repr as Join<B::Repr>>::Joined: Join<N::Repr, Joined = P> + Clone,
    {
        const POSITIVE: &str =
            "it must be positive and at most 1e9; `param!(.., positive)` is positive";
        let (a, b) = concentration1.into_repr().join(concentration0.into_repr());
        let total = total_count.into_count();
        let (a, _) = a.join(total.clone());
        let (b, total) = b.join(total);
        let valid = |x: f64| x > 0.0 && x <= MOST;
        a.check_numbers(BetaBinomialFamily::NAME, "concentration1", valid, POSITIVE)?;
        b.check_numbers(BetaBinomialFamily::NAME, "concentration0", valid, POSITIVE)?;
        check_total(BetaBinomialFamily::NAME, &total)?;
        let (total, a) = P::aligned(total, a.ln())?;
        Self::of(BetaBinomialFamily, &[a, b.ln()], total)
    }
}

/// ln[(n over k) B(k + a, n − k + b)/B(a, b)] as a function of ln a, ln b, n and k.
#[derive(Clone)]
struct LogMass;

/// n − k, kept above −1: relaxed trials may take it below 0 where whole ones would not.
fn failures(n: f64, k: f64) -> f64 {
    (n - k).max(-0.999_999)
}

impl Smooth<4> for LogMass {
    fn value(&self, [log_a, log_b, n, k]: [f64; 4]) -> f64 {
        let (a, b, rest) = (log_a.exp(), log_b.exp(), failures(n, k));
        let ways = lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(rest + 1.0);
        let own = lgamma(k + a) + lgamma((rest + b).max(1e-300)) - lgamma(n + a + b);
        ways + own - lgamma(a) - lgamma(b) + lgamma(a + b)
    }

    fn slopes(&self, [log_a, log_b, n, k]: [f64; 4]) -> [f64; 4] {
        let (a, b, rest) = (log_a.exp(), log_b.exp(), failures(n, k));
        let (all, both) = (polygamma(0, n + a + b), polygamma(0, a + b));
        let (own, other) = (polygamma(0, k + a), polygamma(0, rest + b));
        [
            a * (own - all - polygamma(0, a) + both),
            b * (other - all - polygamma(0, b) + both),
            polygamma(0, n + 1.0) - polygamma(0, rest + 1.0) + other - all,
            polygamma(0, rest + 1.0) - polygamma(0, k + 1.0) + own - other,
        ]
    }

    fn bends(&self, x: [f64; 4]) -> [[f64; 4]; 4] {
        let [log_a, log_b, n, k] = x;
        let (a, b, rest) = (log_a.exp(), log_b.exp(), failures(n, k));
        let [by_a, by_b, ..] = self.slopes(x);
        let (all, both) = (polygamma(1, n + a + b), polygamma(1, a + b));
        let (own, other) = (polygamma(1, k + a), polygamma(1, rest + b));
        let left = polygamma(1, rest + 1.0);
        let ab = a * b * (both - all);
        [
            [
                by_a + a * a * (own - all - polygamma(1, a) + both),
                ab,
                -a * all,
                a * own,
            ],
            [
                ab,
                by_b + b * b * (other - all - polygamma(1, b) + both),
                b * (other - all),
                -b * other,
            ],
            [
                -a * all,
                b * (other - all),
                polygamma(1, n + 1.0) - left + other - all,
                left - other,
            ],
            [
                a * own,
                -b * other,
                left - other,
                own + other - left - polygamma(1, k + 1.0),
            ],
        ]
    }
}

/// p(k)/p(start) from `start` upwards or downwards, with k beside it, by the ratio of neighbors: up to where
/// all that follow are negligible beside their sum.
fn shares(
    theta: &[f64],
    n: f64,
    start: f64,
    upwards: bool,
) -> impl Iterator<Item = (f64, f64)> + use<> {
    const NOTHING: f64 = 1e-20;
    let (a, b) = (theta[0].exp(), theta[1].exp());
    // p(k + 1)/p(k).
    let ratio = move |k: f64| (n - k) * (a + k) / ((k + 1.0) * (n - k - 1.0 + b));
    // Masses that have fallen rise again towards an end whose concentration is below 1.
    let rises = if upwards { b < 1.0 } else { a < 1.0 };
    let least = if rises { 0.0 } else { NOTHING };
    let all = std::iter::successors(Some((start, 1.0)), move |&(k, share)| match upwards {
        true => (k + 1.0 <= n).then(|| (k + 1.0, share * ratio(k))),
        false => (k > 0.0).then(|| (k - 1.0, share / ratio(k - 1.0))),
    });
    let mut sum = 0.0;
    all.take_while(move |&(k, share)| {
        sum += share;
        let left = 1.0 + if upwards { n - k } else { k };
        share * left > least * sum
    })
}

/// 1 minus a probability; `summed` has all digits of it where it is the smaller of the two.
fn rest(probability: f64, summed: impl Fn() -> f64) -> f64 {
    match probability <= 0.5 {
        true => 1.0 - probability,
        false => summed(),
    }
}

impl CountFamily for BetaBinomialFamily {
    const NAME: &'static str = "BetaBinomial";
    const SUPPORT: &'static str = "the whole numbers from 0 to the number of trials";

    fn parameters(&self) -> Vec<&'static str> {
        vec!["log_concentration1", "log_concentration0"]
    }

    fn width(&self) -> usize {
        2
    }

    fn last(&self, total: f64) -> f64 {
        total.floor()
    }

    fn ln_mass(&self, theta: &[f64], total: f64, k: f64) -> f64 {
        LogMass.value([theta[0], theta[1], total, k])
    }

    fn log_mass(&self, theta: &Tensor, total: &Tensor, value: &Tensor) -> Tensor {
        in_double([&part(theta, 0), &part(theta, 1), total, value], &LogMass)
    }

    fn moments(&self, theta: &[f64], total: f64) -> (f64, f64) {
        let (a, b) = (theta[0].exp(), theta[1].exp());
        let p = a / (a + b);
        let variance = total * p * (1.0 - p) * (a + b + total) / (a + b + 1.0);
        (total * p, variance.sqrt())
    }

    fn mean(&self, theta: &Tensor, total: &Tensor) -> Tensor {
        (part(theta, 0) - part(theta, 1)).sigmoid() * total
    }

    fn variance(&self, theta: &Tensor, total: &Tensor) -> Tensor {
        let (log_a, log_b) = (part(theta, 0), part(theta, 1));
        let logits = &log_a - &log_b;
        let both = log_a.exp() + log_b.exp();
        let apart = total * logits.sigmoid() * (-&logits).sigmoid();
        apart * (&both + total) / (both + 1.0)
    }

    fn tails(&self, theta: &[f64], total: f64, k: f64) -> (f64, f64) {
        let sum = |start: f64, upwards| {
            let shares = shares(theta, total, start, upwards).map(|(_, share)| share);
            let ln_sum = self.ln_mass(theta, total, start) + shares.sum::<f64>().ln();
            ln_sum.exp().clamp(0.0, 1.0)
        };
        let (lower, upper) = (|| sum(k, false), || sum(k + 1.0, true));
        // Away from the mean, where masses fall: towards it the first could underflow in f64, and all others with it.
        match k < self.moments(theta, total).0 {
            true => {
                let lower = lower();
                (lower, rest(lower, upper))
            }
            false => {
                let upper = upper();
                (rest(upper, lower), upper)
            }
        }
    }

    /// By sums of ∂p/∂θ over the values on the lighter side of b.
    fn kappa(&self, theta: &[f64], total: f64, Place { b, v }: Place, kappa: &mut [f64]) {
        let (lower, upper) = match b > 0.0 {
            true => self.tails(theta, total, b - 1.0),
            false => (0.0, 1.0),
        };
        let scores = |k| LogMass.slopes([theta[0], theta[1], total, k]);
        // Below b, or from b on with the other sign.
        let (upwards, skipped, sign) = match lower <= upper {
            true => (false, 1, 1.0),
            false => (true, 0, -1.0),
        };
        let mut rises = [0.0; 2];
        for (k, share) in shares(theta, total, b, upwards).skip(skipped) {
            let slopes = scores(k);
            rises[0] += sign * share * slopes[0];
            rises[1] += sign * share * slopes[1];
        }
        let here = scores(b);
        for j in 0..2 {
            kappa[j] = -(rises[j] + v * here[j]);
        }
    }
}

//! Hypergeometric: the number of marked things among those taken out.

use super::counts::{CountOperand, Counts, MOST_VALUES, Table, TableName};
use crate::error::{Error, Result};

/// The number of marked things among `draws` taken without replacement from `total`, of which `successes` are marked:
/// mass (K over k) (N − K over n − k)/(N over n), mean n K/N. Its automatic guide has a probability for each
/// possible number, of which there are at most 65,536.
///
/// ```
/// use relax_runtime::dist::{Distribution, Hypergeometric};
/// # fn main() -> relax_runtime::Result<()> {
/// let aces = Hypergeometric::new(52, 4, 5)?;
/// assert!((aces.log_prob(&0)?.total()?.exp() - 0.658842).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub type Hypergeometric<P> = Counts<Table<HypergeometricName>, P>;

/// The name of [`Hypergeometric`].
#[derive(Clone, Copy, Debug)]
pub struct HypergeometricName;

impl TableName for HypergeometricName {
    const NAME: &'static str = "Hypergeometric";
    const SUPPORT: &'static str = "the numbers of marked things that the draws can hold";
}

impl Hypergeometric<f64> {
    /// `draws` out of `total` things, `successes` of which are marked.
    ///
    /// # Errors
    /// If there are more marked things or draws than things in total, or more than 65,536 possible numbers of marked
    /// things.
    pub fn new(total: usize, successes: usize, draws: usize) -> Result<Self> {
        let refuse = |parameter, problem| {
            Err(Error::Parameter {
                distribution: HypergeometricName::NAME,
                parameter,
                problem,
            })
        };
        for (parameter, number) in [("successes", successes), ("draws", draws)] {
            if number > total {
                return refuse(
                    parameter,
                    format!("is {number}, but there are only {total} in total"),
                );
            }
        }
        let urn = Urn {
            marked: successes,
            others: total - successes,
            draws,
        };
        let (first, last) = urn.ends();
        if last - first >= MOST_VALUES {
            return refuse(
                "draws",
                format!(
                    "is {draws}, of which {first} to {last} may be marked; at most {MOST_VALUES} values have a \
                     table: draw fewer, or give `Binomial` where few of all are drawn"
                ),
            );
        }
        let logits = urn.logits();
        let family = Table::new(first as f64, logits.len());
        Ok(Self::of_theta(family, f64::theta(&logits)?, 0.0))
    }
}

/// What is drawn from: marked and unmarked things.
struct Urn {
    marked: usize,
    others: usize,
    draws: usize,
}

impl Urn {
    /// The least and the largest possible number of marked things.
    fn ends(&self) -> (usize, usize) {
        let least = self.draws.saturating_sub(self.others);
        (least, self.draws.min(self.marked))
    }

    /// Roughly the most probable number of marked things.
    fn mode(&self) -> usize {
        let [marked, others, draws] = [self.marked, self.others, self.draws].map(|n| n as f64);
        let share = (marked + 1.0) / (marked + others + 2.0);
        let (first, last) = self.ends();
        (((draws + 1.0) * share) as usize).clamp(first, last)
    }

    /// ln p(k + 1) − ln p(k).
    fn rise(&self, k: usize) -> f64 {
        let not_drawn = self.others - (self.draws - k);
        let [more, fewer] = [self.marked - k, self.draws - k].map(|n| n as f64);
        (more * fewer / ((k as f64 + 1.0) * (not_drawn as f64 + 1.0))).ln()
    }

    /// ln p(k) minus that of the mode, by the ratios of neighbors: logarithms of factorials of large numbers
    /// would leave it no digits.
    fn logits(&self) -> Vec<f64> {
        let ((first, last), mode) = (self.ends(), self.mode());
        let mut logits = vec![0.0; last - first + 1];
        for k in (first..mode).rev() {
            logits[k - first] = logits[k + 1 - first] - self.rise(k);
        }
        for k in mode..last {
            logits[k + 1 - first] = logits[k - first] + self.rise(k);
        }
        logits
    }
}

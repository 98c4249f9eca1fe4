//! Hypergeometric: how many of what is taken out are marked.

use super::counts::{CountOperand, Counts, Table, TableName};
use crate::error::{Error, Result};
use crate::special::lgamma;

/// Marked ones among `draws` taken without putting back from `total` things of which `successes` are marked:
/// mass (K over k) (N − K over n − k)/(N over n), mean n K/N.
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

/// What [`Hypergeometric`] is called.
#[derive(Clone, Copy, Debug)]
pub struct HypergeometricName;

impl TableName for HypergeometricName {
    const NAME: &'static str = "Hypergeometric";
    const SUPPORT: &'static str = "the numbers of marked ones that so many draws can hold";
}

impl Hypergeometric<f64> {
    /// `draws` from `total` things, `successes` of them marked.
    ///
    /// # Errors
    /// If there are more marked ones or draws than things.
    pub fn new(total: usize, successes: usize, draws: usize) -> Result<Self> {
        for (parameter, number) in [("successes", successes), ("draws", draws)] {
            if number > total {
                return Err(Error::Parameter {
                    distribution: HypergeometricName::NAME,
                    parameter,
                    problem: format!("is {number}, but there are only {total} in total"),
                });
            }
        }
        let ways = |n: usize, k: usize| {
            let [n, k] = [n as f64, k as f64];
            lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)
        };
        let first = (draws + successes).saturating_sub(total);
        let last = draws.min(successes);
        let mass = |k| ways(successes, k) + ways(total - successes, draws - k) - ways(total, draws);
        let masses: Vec<f64> = (first..=last).map(mass).collect();
        let family = Table::new(first as f64, masses.len());
        Ok(Self::of_theta(family, f64::theta(&masses)?, 0.0))
    }
}

//! How far draws spread: standard deviations, quantiles and intervals.

use super::column::Column;
use super::draws::{Draws, single, single_unless_categorical};
use crate::error::{Error, Result};

/// The sorted values of one element of a site, with their shares given that the run reaches it.
struct Element(Vec<(f64, f64)>);

impl Element {
    fn sd(&self) -> f64 {
        let mean: f64 = self.0.iter().map(|(x, share)| x * share).sum();
        let square = |(x, share): &(f64, f64)| share * (x - mean).powi(2);
        self.0.iter().map(square).sum::<f64>().sqrt()
    }

    /// The smallest value at or below which the share reaches `q`.
    fn quantile(&self, q: f64) -> f64 {
        /// Rounding error allowed in a sum of shares.
        const ROUNDING: f64 = 1e-12;
        let mut below = 0.0;
        let mut with_share = self.0.iter().filter(|(_, share)| *share > 0.0);
        let reached = with_share.find(|(_, share)| {
            below += share;
            below >= q - ROUNDING
        });
        let last = || self.0.iter().rfind(|(_, share)| *share > 0.0);
        reached.or_else(last).map_or(f64::NAN, |(x, _)| *x)
    }
}

impl Draws {
    /// The standard deviation of each element of a site's value, given that the run reaches the site; for a
    /// categorical, that of each category's indicator, matching [`means`](Self::means). For a single discrete choice it
    /// is that of the [`marginal`](Self::marginal), and as exact; for a site of several choices, and for other numbers,
    /// it is that of the draws, as are quantiles.
    ///
    /// # Errors
    /// As [`means`](Self::means).
    pub fn sds(&self, site: &str) -> Result<Vec<f64>> {
        self.sds_of(self.column(site)?)
    }

    pub(super) fn sds_of(&self, column: &Column) -> Result<Vec<f64>> {
        if column.categories.is_some() {
            let means = self.means_of(column)?;
            return Ok(means
                .iter()
                .map(|p| (p * (1.0 - p)).max(0.0).sqrt())
                .collect());
        }
        self.by_element(column, |element| element.sd())
    }

    /// Applies `ask` to each element of a site.
    fn by_element<T>(&self, column: &Column, ask: impl Fn(&Element) -> T) -> Result<Vec<T>> {
        let elements = |count: usize, pairs: &dyn Fn(usize) -> Vec<(f64, f64)>| {
            let answer = |i| {
                let mut pairs = pairs(i);
                pairs.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
                ask(&Element(pairs))
            };
            (0..count).map(answer).collect()
        };
        if let Some(known) = column.known()? {
            let known: Vec<(&[f64], f64)> = known.collect();
            let count = known.first().map_or(0, |(value, _)| value.len());
            let pairs = |i: usize| {
                known
                    .iter()
                    .map(|(value, share)| (value[i], *share))
                    .collect()
            };
            return Ok(elements(count, &pairs));
        }
        let (numbers, shares) = (column.numbers()?, self.weights.shares(column)?);
        let count = numbers.first().map_or(0, Vec::len);
        let pairs = |i: usize| {
            let present = column.present();
            let pair =
                |(draw, place): (usize, usize)| (numbers[place][i], shares.of(draw, i, count));
            present.map(pair).collect()
        };
        Ok(elements(count, &pairs))
    }

    /// Some quantiles of each element.
    pub(super) fn quantiles_of<const N: usize>(
        &self,
        column: &Column,
        levels: [f64; N],
    ) -> Result<Vec<[f64; N]>> {
        self.by_element(column, |element| levels.map(|q| element.quantile(q)))
    }

    /// The standard deviation of a site that holds a single number.
    ///
    /// # Errors
    /// As [`mean`](Self::mean).
    pub fn sd(&self, site: &str) -> Result<f64> {
        let column = self.column(site)?;
        let of_categories = "`sds` (one for each category's indicator)";
        single_unless_categorical(column, "sds", of_categories, &self.sds_of(column)?)
    }

    /// The `q`-quantile of each element of a site's value, given that the run reaches the site: the smallest value with
    /// cumulative probability at least `q` (the inverse of the distribution function, type 1 of Hyndman and Fan 1996).
    /// For a categorical it is that of the index.
    ///
    /// # Errors
    /// If no site has the name, the number of elements differs between draws, or `q` is not between 0 and 1.
    pub fn quantiles(&self, site: &str, q: f64) -> Result<Vec<f64>> {
        expect_share("quantile", q)?;
        self.by_element(self.column(site)?, |element| element.quantile(q))
    }

    /// The `q`-quantile of a site that holds a single number.
    ///
    /// # Errors
    /// As [`quantiles`](Self::quantiles), or if the site holds several.
    pub fn quantile(&self, site: &str, q: f64) -> Result<f64> {
        single(site, "quantiles", &self.quantiles(site, q)?)
    }

    /// The equal-tailed credible interval of each element: from its (1 − `mass`)/2 quantile to its (1 + `mass`)/2
    /// quantile.
    ///
    /// # Errors
    /// As [`quantiles`](Self::quantiles).
    pub fn intervals(&self, site: &str, mass: f64) -> Result<Vec<(f64, f64)>> {
        expect_share("mass of an interval", mass)?;
        self.by_element(self.column(site)?, |element| {
            let tail = 0.5 * (1.0 - mass);
            (element.quantile(tail), element.quantile(1.0 - tail))
        })
    }

    /// The equal-tailed credible interval of a site that holds a single number.
    ///
    /// # Errors
    /// As [`quantile`](Self::quantile).
    pub fn interval(&self, site: &str, mass: f64) -> Result<(f64, f64)> {
        let intervals = self.intervals(site, mass)?;
        let (low, high): (Vec<f64>, Vec<f64>) = intervals.into_iter().unzip();
        Ok((
            single(site, "intervals", &low)?,
            single(site, "intervals", &high)?,
        ))
    }
}

fn expect_share(setting: &'static str, share: f64) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {share}; give a share between 0 and 1"),
    })
}

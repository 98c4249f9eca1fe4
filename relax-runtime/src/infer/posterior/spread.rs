//! How far draws spread: standard deviations, quantiles and intervals.

use super::column::Column;
use super::draws::{Draws, single};
use crate::error::{Error, Result};

/// The values of each element of a site, with the shares that they have given that the run comes by.
struct Elements(Vec<Vec<(f64, f64)>>);

impl Elements {
    fn of(draws: &Draws, column: &Column) -> Result<Self> {
        let mut elements = Vec::new();
        if let Some(known) = column.known()? {
            known.for_each(|(value, share)| add(value, |_| share, &mut elements));
        } else {
            let (numbers, shares) = (column.numbers()?, draws.weights.shares(column)?);
            for (draw, place) in column.present() {
                let value = &numbers[place];
                let share = |element| shares.of(draw, element, value.len());
                add(value, share, &mut elements);
            }
        }
        Ok(Self(elements))
    }

    /// The smallest value of each element below or at which there is a share of `q`.
    fn quantiles(&mut self, q: f64) -> Vec<f64> {
        /// What rounding may take off a sum of shares.
        const ROUNDING: f64 = 1e-12;
        let quantile = |values: &mut Vec<(f64, f64)>| {
            values.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
            let mut below = 0.0;
            let mut with_share = values.iter().filter(|(_, share)| *share > 0.0);
            let reached = with_share.find(|(_, share)| {
                below += share;
                below >= q - ROUNDING
            });
            reached.or(values.last()).map_or(f64::NAN, |(x, _)| *x)
        };
        self.0.iter_mut().map(quantile).collect()
    }
}

fn add(value: &[f64], share: impl Fn(usize) -> f64, elements: &mut Vec<Vec<(f64, f64)>>) {
    elements.resize_with(value.len(), Vec::new);
    for (i, &x) in value.iter().enumerate() {
        elements[i].push((x, share(i)));
    }
}

impl Draws {
    /// The standard deviation of each element of a site's value, given that the run comes by the site;
    /// of a categorical, that of the indicator of each category, so that each belongs to one of the
    /// [`means`](Self::means).
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
        let elements = Elements::of(self, column)?;
        let sd = |values: &Vec<(f64, f64)>| {
            let mean: f64 = values.iter().map(|(x, share)| x * share).sum();
            let square = |(x, share): &(f64, f64)| share * (x - mean).powi(2);
            values.iter().map(square).sum::<f64>().sqrt()
        };
        Ok(elements.0.iter().map(sd).collect())
    }

    /// The standard deviation of a site that holds one number.
    ///
    /// # Errors
    /// As [`mean`](Self::mean).
    pub fn sd(&self, site: &str) -> Result<f64> {
        single(site, "sds", &self.sds(site)?)
    }

    /// The `q`-quantile of each element of a site's value, given that the run comes by the site: its
    /// smallest value below or at which there is a probability of `q` (the inverse of the distribution
    /// function, type 1 of Hyndman and Fan 1996). Of a categorical it is that of the index.
    ///
    /// # Errors
    /// If no site has the name, it has not as many numbers in every draw, or `q` is not between 0 and 1.
    pub fn quantiles(&self, site: &str, q: f64) -> Result<Vec<f64>> {
        expect_share("quantile", q)?;
        Ok(Elements::of(self, self.column(site)?)?.quantiles(q))
    }

    /// The `q`-quantile of a site that holds one number.
    ///
    /// # Errors
    /// As [`quantiles`](Self::quantiles), or if the site holds several.
    pub fn quantile(&self, site: &str, q: f64) -> Result<f64> {
        single(site, "quantiles", &self.quantiles(site, q)?)
    }

    /// The equal-tailed credible interval of each element: between the quantiles of (1 − `mass`)/2 and
    /// (1 + `mass`)/2.
    ///
    /// # Errors
    /// As [`quantiles`](Self::quantiles).
    pub fn intervals(&self, site: &str, mass: f64) -> Result<Vec<(f64, f64)>> {
        expect_share("mass of an interval", mass)?;
        let mut elements = Elements::of(self, self.column(site)?)?;
        let low = elements.quantiles(0.5 * (1.0 - mass));
        let high = elements.quantiles(0.5 * (1.0 + mass));
        Ok(low.into_iter().zip(high).collect())
    }

    /// The equal-tailed credible interval of a site that holds one number.
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

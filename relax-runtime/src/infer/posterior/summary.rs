//! A table of all sites of a set of draws.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::draws::Draws;
use crate::error::Result;
use crate::report::write_table;

/// The mass of the central interval.
const MASS: f64 = 0.9;

/// A table of what draws say about each number of each site, built by [`Draws::summary`].
///
/// Displays as an aligned table, with a category as `kind = 0`.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn wet_lawn() {
///     let rain = sample!(Bernoulli(0.25));
///     observe!(Bernoulli(if rain { 0.9 } else { 0.3 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// let summary = exact_posterior(&wet_lawn())?.summary()?;
/// let rain = &summary.rows[0];
/// assert_eq!(rain.site, "rain");
/// assert!((rain.mean - 0.5).abs() < 1e-6 && (rain.sd - 0.5).abs() < 1e-6);
/// assert!((rain.inclusion_probability - 1.0).abs() < 1e-6);
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// One row per number, in the order in which the sites were reached; for a categorical, one row per category.
    pub rows: Vec<SummaryRow>,
}

/// One row of a [`Summary`]: a number of a site, given that the run reaches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SummaryRow {
    /// Full name of the site.
    pub site: String,
    /// Which of the site's numbers, in row-major order; `None` if it holds a single one.
    pub element: Option<usize>,
    /// For a categorical, the category whose probability is the mean.
    #[serde(default)]
    pub category: Option<usize>,
    /// Its mean.
    #[serde(with = "super::saved::numbers")]
    pub mean: f64,
    /// Its standard deviation.
    #[serde(with = "super::saved::numbers")]
    pub sd: f64,
    /// Its 5%, 50% and 95% quantiles; `None` for the probabilities of categories.
    #[serde(with = "super::saved::numbers")]
    pub quantiles: Option<[f64; 3]>,
    /// The probability that a run reaches the site.
    pub inclusion_probability: f64,
}

impl Draws {
    /// Summarizes all sites: means, standard deviations, quantiles and inclusion probabilities.
    ///
    /// # Errors
    /// If a site's number of elements differs between draws.
    pub fn summary(&self) -> Result<Summary> {
        let mut rows = Vec::new();
        // Nothing is known about a site that no possible run reaches, nor about one of several choices that no draw
        // contains.
        let is_known = |column: &&Column| {
            let is_drawn = !column.values.is_empty() || column.probabilities.is_some();
            column.inclusion > 0.0 && is_drawn
        };
        for column in self.columns.iter().filter(is_known) {
            let (means, sds) = (self.means_of(column)?, self.sds_of(column)?);
            let levels = [0.5 * (1.0 - MASS), 0.5, 0.5 * (1.0 + MASS)];
            let quantiles = match column.categories {
                Some(_) => None,
                None => Some(self.quantiles_of(column, levels)?),
            };
            let categories = column.categories.unwrap_or(1);
            for (i, (mean, sd)) in means.iter().zip(&sds).enumerate() {
                rows.push(SummaryRow {
                    site: column.name.clone(),
                    element: (means.len() > categories).then_some(i / categories),
                    category: column.categories.map(|categories| i % categories),
                    mean: *mean,
                    sd: *sd,
                    quantiles: quantiles.as_ref().map(|elements| elements[i]),
                    inclusion_probability: column.inclusion,
                });
            }
        }
        Ok(Summary { rows })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["site", "mean", "sd", "5%", "50%", "95%", "P(present)"];
        let mut table = vec![header.map(String::from)];
        for row in &self.rows {
            let number = |x: f64| format!("{x:.4}");
            let quantile = |q: usize| row.quantiles.map_or(String::new(), |all| number(all[q]));
            let element = row.element.map_or(String::new(), |i| format!("[{i}]"));
            let category = row.category.map_or(String::new(), |k| format!(" = {k}"));
            table.push([
                format!("{}{element}{category}", row.site),
                number(row.mean),
                number(row.sd),
                quantile(0),
                quantile(1),
                quantile(2),
                format!("{:.3}", row.inclusion_probability),
            ]);
        }
        write_table(f, &table)
    }
}

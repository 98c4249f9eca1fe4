//! Weighted draws of a model's sites, and their queries.

use std::collections::BTreeMap;

use super::column::{Column, add_mean};
use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::unknown_site;

/// Weighted draws of the sites of a model. A draw is a record of all sites: it has a value for each site that its run
/// reached. [`Posterior`](super::Posterior) and [`ExactPosterior`](crate::infer::ExactPosterior) both hold such draws,
/// and queries mean the same for both:
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn two_dice(sum: usize) {
///     let first = sample!(Categorical([1.0 / 6.0; 6]));
///     let second = sample!(Categorical([1.0 / 6.0; 6]));
///     let hit = if first + second + 2 == sum { 1.0 } else { 0.0 };
///     observe!(Bernoulli(hit), true);
/// }
///
/// # fn main() -> Result<()> {
/// let posterior = exact_posterior(&two_dice(4))?;
/// let doubles = posterior.probability(|draw| {
///     draw.numbers("first").ok() == draw.numbers("second").ok()
/// })?;
/// assert!((doubles - 1.0 / 3.0).abs() < 1e-12);
/// assert_eq!(posterior.interval("first", 0.9)?, (0.0, 2.0));
/// println!("{}", posterior.summary()?);
/// # Ok(())
/// # }
/// ```
///
/// If each row of a plate has its own weight, as in a [weighted](super::Posterior::weighted) posterior of independent
/// rows, each row's numbers are weighted by it; queries about whole draws then need [`resample`](Self::resample) first.
#[derive(Clone, Debug)]
pub struct Draws {
    pub(super) columns: Vec<Column>,
    by_name: BTreeMap<String, usize>,
    /// Number of draws; 0 if only single sites are known.
    pub(super) count: usize,
    pub(super) weights: Weights,
}

/// One of the [`Draws`]: the values of all sites that its run reached. See [`Draws::records`].
#[derive(Clone, Copy, Debug)]
pub struct DrawRecord<'d> {
    draws: &'d Draws,
    at: usize,
}

impl Draws {
    pub(super) fn new(columns: Vec<Column>, count: usize, weights: Weights) -> Self {
        let names = columns.iter().enumerate();
        Self {
            by_name: names.map(|(at, c)| (c.name.clone(), at)).collect(),
            columns,
            count,
            weights,
        }
    }

    pub(super) fn column(&self, name: &str) -> Result<&Column> {
        let found = self.by_name.get(name).map(|at| &self.columns[*at]);
        found.ok_or_else(|| unknown_site(name, self.sites()))
    }

    /// Checks that there are whole draws.
    pub(super) fn expect_whole_draws(&self) -> Result<()> {
        let problem = match (self.count, &self.weights) {
            (0, _) => {
                "there are too many combinations of all sites' values to keep, so only single sites are \
                 known; condition the model on some of them, or draw from a fit of `Svi`"
            }
            (_, Weights::Rows(_)) => {
                "each row of the plate has a weight of its own, so a draw of all rows has none; \
                 query the result of `resample`"
            }
            _ => return Ok(()),
        };
        Err(Error::Query(problem.into()))
    }

    /// Number of draws. An [`ExactPosterior`](crate::infer::ExactPosterior) has one for each possible combination of
    /// values, and none if there were too many to keep.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no draws.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names of the latent sites in the draws, in the order in which they were reached, including summed-out sites that
    /// a possible run reaches, even if no draw contains them.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// Iterates over the draws, each a record of all its sites.
    ///
    /// # Errors
    /// If rows have their own weights, or only single sites are known and there are no draws.
    pub fn records(&self) -> Result<impl Iterator<Item = DrawRecord<'_>>> {
        self.expect_whole_draws()?;
        Ok((0..self.count).map(|at| DrawRecord { draws: self, at }))
    }

    /// The expectation of a function of whole draws.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn expectation(&self, mut f: impl FnMut(DrawRecord<'_>) -> f64) -> Result<f64> {
        let terms = self.records()?.map(|draw| draw.weight() * f(draw));
        Ok(terms.sum())
    }

    /// The probability of an event defined on whole draws.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn probability(&self, mut event: impl FnMut(DrawRecord<'_>) -> bool) -> Result<f64> {
        self.expectation(|draw| f64::from(u8::from(event(draw))))
    }

    /// The probability that a run reaches a site (its posterior inclusion probability). It is exact if all combinations
    /// were run, or if choices were summed out and nothing else is drawn. Beside choices that are drawn, it is the
    /// average of what the sum gives for each draw of these; otherwise it is the share of the draws that contain the
    /// site, or their weight.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn inclusion_probability(&self, site: &str) -> Result<f64> {
        Ok(self.column(site)?.inclusion)
    }

    /// The values of a site in the draws that contain it.
    ///
    /// # Errors
    /// If no site has the name, or only single sites are known and there are no draws.
    pub fn samples(&self, site: &str) -> Result<Vec<&Value>> {
        let column = self.column(site)?;
        if self.count == 0 {
            self.expect_whole_draws()?;
        }
        let present = column.present();
        Ok(present.map(|(_, place)| &column.values[place]).collect())
    }

    /// The mean of each element of a site's value, given that the run reaches the site; for a categorical, the
    /// probability of each category. If the law that a value was drawn from is known, its mean stands in for the value
    /// (Rao–Blackwell), which is less noisy than the draws' average. For a choice that was summed out, that law is
    /// conditional on what is left and includes what other sums say, so the mean is exact if nothing is left.
    /// Importance weights belong to what was drawn: with weights the values of such sites are averaged, and for those
    /// that were summed out what is known given each draw.
    ///
    /// # Errors
    /// If no site has the name, or its number of elements differs between draws.
    pub fn means(&self, site: &str) -> Result<Vec<f64>> {
        self.means_of(self.column(site)?)
    }

    pub(super) fn means_of(&self, column: &Column) -> Result<Vec<f64>> {
        if let Some(mean) = &column.mean {
            return Ok(mean.clone());
        }
        let mut mean = Vec::new();
        if let Some(known) = column.known()? {
            for (value, share) in known {
                add_mean(value, column.categories, |_| share, &mut mean);
            }
            return Ok(mean);
        }
        let (numbers, shares) = (column.numbers()?, self.weights.shares(column)?);
        for (draw, place) in column.present() {
            let value = &numbers[place];
            let share = |element| shares.of(draw, element, value.len());
            add_mean(value, column.categories, share, &mut mean);
        }
        Ok(mean)
    }

    /// As [`means`](Self::means), but for a categorical the mean of its index.
    ///
    /// # Errors
    /// As [`means`](Self::means).
    pub fn index_means(&self, site: &str) -> Result<Vec<f64>> {
        let column = self.column(site)?;
        let means = self.means_of(column)?;
        let Some(categories) = column.categories else {
            return Ok(means);
        };
        let index = |probs: &[f64]| probs.iter().enumerate().map(|(k, p)| k as f64 * p).sum();
        Ok(means.chunks(categories).map(index).collect())
    }

    /// The mean of a site that holds a single number; for a Bernoulli, its probability.
    ///
    /// # Errors
    /// If no site has the name, or it holds several numbers or is a categorical.
    pub fn mean(&self, site: &str) -> Result<f64> {
        let column = self.column(site)?;
        let of_categories =
            "`means` (the probability of each category) or `index_means` (of its index)";
        single_unless_categorical(column, "means", of_categories, &self.means_of(column)?)
    }

    /// The values of a site with their probabilities, if the site is a single discrete choice or all combinations were
    /// run. The probabilities sum to the site's [`inclusion_probability`](Self::inclusion_probability), and are as
    /// exact as [`means`](Self::means).
    ///
    /// # Errors
    /// If no site has the name, or the site is continuous or several choices at once.
    pub fn marginal(&self, site: &str) -> Result<Vec<(Vec<f64>, f64)>> {
        let column = self.column(site)?;
        let support = column.support.as_ref().ok_or_else(|| {
            let problem = "is not a single discrete choice; ask for `means` or `samples`";
            Error::Query(format!("site `{site}` {problem}"))
        })?;
        let probabilities = match &column.probabilities {
            Some(known) => known.clone(),
            None => {
                let weight = |draw| self.weights.whole(draw, self.count);
                let mut counted = column.counted(support, weight)?;
                let sum: f64 = counted.iter().sum();
                // Sums may know the inclusion better than by counting.
                if !column.in_draws.is_empty() && sum > 0.0 {
                    counted
                        .iter_mut()
                        .for_each(|p| *p *= column.inclusion / sum);
                }
                counted
            }
        };
        Ok(support.iter().cloned().zip(probabilities).collect())
    }
}

impl<'d> DrawRecord<'d> {
    /// The draw's weight; the weights of all draws sum to 1.
    pub fn weight(self) -> f64 {
        self.draws.weights.whole(self.at, self.draws.count)
    }

    /// The value of a site, if the draw contains it.
    pub fn get(self, site: &str) -> Option<&'d Value> {
        let at = self.draws.by_name.get(site)?;
        self.draws.columns[*at].value(self.at)
    }

    /// The numbers of a site's value.
    ///
    /// # Errors
    /// If no site has the name, or the draw does not contain it.
    pub fn numbers(self, site: &str) -> Result<Vec<f64>> {
        match self.draws.column(site)?.value(self.at) {
            Some(value) => value.peek_f64s(),
            None => Err(Error::Query(format!(
                "this draw does not contain site `{site}`; `get` says whether one does"
            ))),
        }
    }

    /// The number of a site that holds a single one.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers), or if it holds several.
    pub fn number(self, site: &str) -> Result<f64> {
        single(site, "numbers", &self.numbers(site)?)
    }

    /// The sites in this draw, in the order in which they were reached, with their values.
    pub fn sites(self) -> impl Iterator<Item = (&'d str, &'d Value)> {
        let columns = self.draws.columns.iter();
        columns.filter_map(move |column| Some((&*column.name, column.value(self.at)?)))
    }
}

/// The only number of a site; `several` is what to ask for if there are more.
pub(super) fn single(site: &str, several: &str, numbers: &[f64]) -> Result<f64> {
    match numbers {
        [x] => Ok(*x),
        _ => Err(Error::Query(format!(
            "site `{site}` holds {} numbers; ask for `{several}`",
            numbers.len()
        ))),
    }
}

/// As [`single`], for a query that has a number for each category of a categorical; `of_categories` is what to ask for
/// then.
pub(super) fn single_unless_categorical(
    column: &Column,
    several: &str,
    of_categories: &str,
    numbers: &[f64],
) -> Result<f64> {
    if column.categories.is_some() && numbers.len() != 1 {
        return Err(Error::Query(format!(
            "site `{}` is categorical, so it has no single number; ask for {of_categories}",
            column.name
        )));
    }
    single(&column.name, several, numbers)
}

/// Checks that a number of draws is not 0.
pub(in crate::infer) fn expect_some(setting: &'static str, n: usize) -> Result<()> {
    match n {
        0 => Err(Error::Config {
            setting,
            problem: "is 0; give at least one".into(),
        }),
        _ => Ok(()),
    }
}

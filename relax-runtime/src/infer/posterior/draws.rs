//! Weighted draws of a model's sites, and what can be asked of them.

use std::collections::BTreeMap;

use super::column::{Column, add_mean};
use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::unknown_site;

/// Draws of the sites of a model, each with a weight. A draw is a record of all sites: it has a value
/// for each that its run came by. [`Posterior`](super::Posterior) and
/// [`ExactPosterior`](crate::infer::ExactPosterior) are such draws, and what is asked of them means the
/// same of both:
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
/// Where a row of a plate has a weight of its own, as in a [weighted](super::Posterior::weighted)
/// posterior of independent rows, each row's numbers are weighted by it; questions about whole draws then
/// need [`resample`](Self::resample) first.
#[derive(Clone, Debug)]
pub struct Draws {
    pub(super) columns: Vec<Column>,
    by_name: BTreeMap<String, usize>,
    /// How many draws there are; none where only single sites are known.
    pub(super) count: usize,
    pub(super) weights: Weights,
}

/// One of some [`Draws`]: the values of all sites that its run came by.
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

    /// An error unless whole draws are there.
    pub(super) fn expect_whole_draws(&self) -> Result<()> {
        let problem = match (self.count, &self.weights) {
            (0, _) => {
                "the combinations of all sites' values are too many to be kept, so that only single \
                 sites are known; condition the model on some of them, or draw from a fit of `Svi`"
            }
            (_, Weights::Rows(_)) => {
                "each row of the plate has a weight of its own, so that a draw of all rows has none; \
                 ask the result of `resample`"
            }
            _ => return Ok(()),
        };
        Err(Error::Query(problem.into()))
    }

    /// How many draws there are. An [`ExactPosterior`](crate::infer::ExactPosterior) has one for each
    /// combination of values that is possible, and none where there were too many to be kept.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names of the latent sites that the draws came by, in the order in which they were met, and of those that were
    /// summed out and a possible run comes by, whether or not a draw does.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// The draws, one record of all sites each.
    ///
    /// # Errors
    /// If rows have weights of their own, or there are no draws but only single sites.
    pub fn records(&self) -> Result<impl Iterator<Item = DrawRecord<'_>>> {
        self.expect_whole_draws()?;
        Ok((0..self.count).map(|at| DrawRecord { draws: self, at }))
    }

    /// The mean of a function of whole draws.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn expectation(&self, mut f: impl FnMut(DrawRecord<'_>) -> f64) -> Result<f64> {
        let terms = self.records()?.map(|draw| draw.weight() * f(draw));
        Ok(terms.sum())
    }

    /// The probability of an event that whole draws tell.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn probability(&self, mut event: impl FnMut(DrawRecord<'_>) -> bool) -> Result<f64> {
        self.expectation(|draw| f64::from(u8::from(event(draw))))
    }

    /// The probability that a run comes by a site (its posterior inclusion probability). Where all combinations were
    /// run, and where choices were summed out and nothing else is drawn, it is exact; beside other choices that are
    /// drawn, a sum tells it given each draw of these, and it is the average; else it is the share of the draws
    /// that came by, or their weight.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn inclusion_probability(&self, site: &str) -> Result<f64> {
        Ok(self.column(site)?.inclusion)
    }

    /// The values of a site in the draws that came by it.
    ///
    /// # Errors
    /// If no site has the name, or there are no draws but only single sites.
    pub fn samples(&self, site: &str) -> Result<Vec<&Value>> {
        let column = self.column(site)?;
        if self.count == 0 {
            self.expect_whole_draws()?;
        }
        let present = column.present();
        Ok(present.map(|(_, place)| &column.values[place]).collect())
    }

    /// The mean of each element of a site's value, given that the run comes by the site; of a
    /// categorical, the probability of each category. Where the law that a value was drawn from is
    /// known, its mean stands for the value (Rao–Blackwell), so that it has less noise than the draws'
    /// average; of a choice that was summed out that is its law given what is left, with all that other sums say,
    /// so that the mean is exact where nothing is left. Importance weights belong to the values: with them the
    /// values are averaged.
    ///
    /// # Errors
    /// If no site has the name, or it has not as many numbers in every draw.
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

    /// As [`means`](Self::means), but of a categorical the mean of its index.
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

    /// The mean of a site that holds one number: of a Bernoulli, its probability.
    ///
    /// # Errors
    /// If no site has the name, or it holds several numbers or is a categorical.
    pub fn mean(&self, site: &str) -> Result<f64> {
        single(site, "means", &self.means(site)?)
    }

    /// The values of a site that is a single discrete choice, or of which all combinations were run,
    /// each with its probability. They sum to the probability that a run comes by the site,
    /// [`inclusion_probability`](Self::inclusion_probability), and are as exact as [`means`](Self::means).
    ///
    /// # Errors
    /// If no site has the name, or it is continuous or several choices at once.
    pub fn marginal(&self, site: &str) -> Result<Vec<(Vec<f64>, f64)>> {
        let column = self.column(site)?;
        let support = column.support.as_ref().ok_or_else(|| {
            let problem = "is not one discrete choice; ask for `means` or `samples`";
            Error::Query(format!("site `{site}` {problem}"))
        })?;
        let probabilities = match &column.probabilities {
            Some(known) => known.clone(),
            None => column.counted(support, |draw| self.weights.whole(draw, self.count))?,
        };
        Ok(support.iter().cloned().zip(probabilities).collect())
    }
}

impl<'d> DrawRecord<'d> {
    /// The draw's weight; those of all draws sum to 1.
    pub fn weight(self) -> f64 {
        self.draws.weights.whole(self.at, self.draws.count)
    }

    /// The value of a site, if the run came by it.
    pub fn get(self, site: &str) -> Option<&'d Value> {
        let at = self.draws.by_name.get(site)?;
        self.draws.columns[*at].value(self.at)
    }

    /// The numbers of a site.
    ///
    /// # Errors
    /// If no site has the name, or the draw's run did not come by it.
    pub fn numbers(self, site: &str) -> Result<Vec<f64>> {
        match self.draws.column(site)?.value(self.at) {
            Some(value) => value.to_f64s(),
            None => Err(Error::Query(format!(
                "this draw did not come by site `{site}`; `get` says whether one has"
            ))),
        }
    }

    /// The number of a site that holds one.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers), or if it holds several.
    pub fn number(self, site: &str) -> Result<f64> {
        single(site, "numbers", &self.numbers(site)?)
    }

    /// The sites that the run came by, in the order in which they were met, with their values.
    pub fn sites(self) -> impl Iterator<Item = (&'d str, &'d Value)> {
        let columns = self.draws.columns.iter();
        columns.filter_map(move |column| Some((&*column.name, column.value(self.at)?)))
    }
}

/// The only number of a site; `several` is what to ask for where there are more.
pub(super) fn single(site: &str, several: &str, numbers: &[f64]) -> Result<f64> {
    match numbers {
        [x] => Ok(*x),
        _ => Err(Error::Query(format!(
            "site `{site}` holds {} numbers; ask for `{several}`",
            numbers.len()
        ))),
    }
}

/// An error where a number of draws is 0.
pub(in crate::infer) fn expect_some(setting: &'static str, n: usize) -> Result<()> {
    match n {
        0 => Err(Error::Config {
            setting,
            problem: "is 0; give at least one".into(),
        }),
        _ => Ok(()),
    }
}

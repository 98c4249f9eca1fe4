//! Where a guide is narrower than the importance weights of its draws suggest, or in another place.

use std::f64;

use super::column::Column;
use super::{Draws, ImportanceWeights, Posterior};
use crate::error::Result;

/// Mean and standard deviation.
type Moments = (f64, f64);

/// Most numbers of a site that are examined one by one.
const MOST_NUMBERS: usize = 10_000;

/// Number of draws that may have a rare value of a discrete choice by chance.
const HITS: f64 = 4.0;

/// A number whose standard deviation is too small in the guide, judging by importance weights.
pub(in crate::infer) struct Narrow {
    pub(in crate::infer) site: String,
    /// Its standard deviation by the guide's draws, and by the weighted draws.
    pub(in crate::infer) guide: f64,
    pub(in crate::infer) weighted: f64,
}

/// A number about which importance weights contradict the draws.
pub(in crate::infer) struct Contradicted {
    pub(in crate::infer) site: String,
    /// Its mean and standard deviation by the draws, and by the weighted draws.
    pub(in crate::infer) draws: Moments,
    pub(in crate::infer) weighted: Moments,
}

impl Posterior {
    /// The continuous number whose standard deviation the weights raise most, if by more than a sixth and more than
    /// their own noise. For narrow draws the weights only show that they are narrow: the posterior's standard deviation
    /// may be larger still. Sites of very many numbers are skipped.
    ///
    /// # Errors
    /// If the draws cannot be weighted.
    pub(in crate::infer) fn narrowest(
        &self,
        weights: &ImportanceWeights,
    ) -> Result<Option<Narrow>> {
        let weighted = self.weighted()?;
        let sites = self.looked_at()?;
        // The standard deviation of n draws has a relative standard error of 1/√2n.
        let most = 1.17 + farthest(&sites) / (2.0 * weights.effective_samples()).sqrt();
        let mut found: Option<Narrow> = None;
        for (site, _) in sites {
            for ((_, guide), (_, weighted)) in self.compared(&weighted, site) {
                if guide <= 0.0 {
                    continue;
                }
                let ratio = |narrow: &Narrow| narrow.weighted / narrow.guide;
                let least = found.as_ref().map_or(most, ratio);
                if weighted / guide > least {
                    let site = site.to_owned();
                    found = Some(Narrow {
                        site,
                        guide,
                        weighted,
                    });
                }
            }
        }
        Ok(found)
    }

    /// The first number, counts and coins included, about which the weights contradict the draws: a mean more than a
    /// tenth of a standard deviation away, or a standard deviation a sixth larger or smaller, and in either case beyond
    /// their own noise.
    ///
    /// # Errors
    /// As [`narrowest`](Self::narrowest).
    pub(in crate::infer) fn contradicted(
        &self,
        weights: &ImportanceWeights,
    ) -> Result<Option<Contradicted>> {
        let is_count = |column: &Column| column.is_discrete() && column.categories.is_none();
        match self.contradicted_of(weights, self.looked_at()?)? {
            None => self.contradicted_of(weights, self.sites_of(is_count)?),
            found => Ok(found),
        }
    }

    fn contradicted_of(
        &self,
        weights: &ImportanceWeights,
        sites: Vec<(&str, usize)>,
    ) -> Result<Option<Contradicted>> {
        let weighted = self.weighted()?;
        let noise = farthest(&sites) / weights.effective_samples().sqrt();
        let (mean_off, spread_off) = (noise.max(0.1), 1.17 + noise / f64::consts::SQRT_2);
        // For coins that rarely show one side, and for such counts, a few draws are not Gaussian noise.
        let few = HITS / weights.effective_samples();
        for (site, _) in sites {
            // The standard deviation of a coin follows from its mean.
            let has_spread = !self.draws.column(site)?.is_binary();
            let least = match self.draws.column(site)?.is_discrete() {
                true => few,
                false => 0.0,
            };
            for (draws, weighted) in self.compared(&weighted, site) {
                let ((mean, sd), (weighted_mean, weighted_sd)) = (draws, weighted);
                // A number that is certain cannot move, nor one about which only the mean is known.
                if sd <= 0.0 {
                    continue;
                }
                let ratio = weighted_sd / sd;
                let is_spread_off = ratio > spread_off || ratio < 1.0 / spread_off;
                let by = (weighted_mean - mean).abs();
                let has_spread = has_spread && sd.max(weighted_sd).powi(2) > 2.0 * least;
                if by > (mean_off * sd).max(least) || (has_spread && is_spread_off) {
                    let site = site.to_owned();
                    return Ok(Some(Contradicted {
                        site,
                        draws,
                        weighted,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Mean and standard deviation of each number of a site by the draws, and by the weighted ones; empty for a site
    /// whose number of elements differs between draws, or that no draw with weight contains.
    fn compared(&self, weighted: &Draws, site: &str) -> Vec<(Moments, Moments)> {
        let moments = |draws: &Draws| -> Result<Vec<Moments>> {
            let means = draws.means(site)?.into_iter();
            Ok(means.zip(draws.sds(site)?).collect())
        };
        match (moments(&self.draws), moments(weighted)) {
            (Ok(own), Ok(weighted)) => own.into_iter().zip(weighted).collect(),
            _ => Vec::new(),
        }
    }

    /// The sites with continuous numbers, if not very many, and how many numbers each has.
    fn looked_at(&self) -> Result<Vec<(&str, usize)>> {
        self.sites_of(|column| !column.is_discrete())
    }

    /// The wanted sites, if they do not have very many numbers, and how many each has.
    fn sites_of(&self, is_wanted: impl Fn(&Column) -> bool) -> Result<Vec<(&str, usize)>> {
        let mut sites = Vec::new();
        for site in self.draws.sites() {
            let column = self.draws.column(site)?;
            let numbers = column.values.first().map_or(0, |x| x.shape().numel());
            if (1..=MOST_NUMBERS).contains(&numbers) && is_wanted(column) {
                sites.push((site, numbers));
            }
        }
        Ok(sites)
    }
}

/// How many standard errors the farthest of all numbers is off at most, except one time in twenty.
fn farthest(sites: &[(&str, usize)]) -> f64 {
    let all: usize = sites.iter().map(|(_, numbers)| numbers).sum();
    (2.0 * (20.0 * all as f64).ln()).max(0.0).sqrt()
}

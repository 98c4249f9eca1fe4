//! Where a guide is narrower than the importance weights of its draws make it.

use super::{ImportanceWeights, Posterior};
use crate::error::Result;

/// Numbers of a site that are looked at one by one.
const MOST_NUMBERS: usize = 10_000;

/// A number whose standard deviation the guide has too small, as far as importance weights tell.
pub(in crate::infer) struct Narrow {
    pub(in crate::infer) site: String,
    /// Its standard deviation by the guide's draws, and by these with their weights.
    pub(in crate::infer) guide: f64,
    pub(in crate::infer) weighted: f64,
}

impl Posterior {
    /// The continuous number whose standard deviation the weights raise most, if that is by more than a sixth and more
    /// than their own noise. Of narrow draws the weights tell no more than that they are narrow: the posterior's own may
    /// be larger. Sites of very many numbers are not looked at.
    ///
    /// # Errors
    /// If a site has not as many numbers in every draw, or a value carries one.
    pub(in crate::infer) fn narrowest(
        &self,
        weights: &ImportanceWeights,
    ) -> Result<Option<Narrow>> {
        let weighted = self.weighted()?;
        let numbers = |site: &str| -> Result<usize> {
            let column = self.draws.column(site)?;
            let numbers = column.values.first().map_or(0, |x| x.shape().numel());
            Ok(match numbers > MOST_NUMBERS || column.is_discrete() {
                true => 0,
                false => numbers,
            })
        };
        let mut all = 0;
        for site in self.draws.sites() {
            all += numbers(site)?;
        }
        // A standard deviation of n draws has a standard error of 1/√2n of it, and so many of these is the farthest off
        // of all numbers, but for one time in twenty.
        let errors = (2.0 * (20.0 * all as f64).ln()).sqrt();
        let most = 1.17 + errors / (2.0 * weights.effective_samples()).sqrt();
        let mut found: Option<Narrow> = None;
        for site in self.draws.sites() {
            if numbers(site)? == 0 {
                continue;
            }
            let pairs = self.draws.sds(site)?.into_iter().zip(weighted.sds(site)?);
            for (guide, weighted) in pairs.filter(|(guide, _)| *guide > 0.0) {
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
}

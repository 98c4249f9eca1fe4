//! Baselines of first estimates: costs of draws that no estimate uses, so that these stay unbiased.

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::infer::pass::Mode;
use crate::infer::pass::survey::Survey;
use crate::infer::sites::cost_to_go::{Work, mean_cost_elsewhere};
use crate::model::ParamStore;
use crate::random::Key;

/// The costs of a draw that no estimate uses.
#[derive(Debug, Default)]
pub(in crate::infer) struct FirstCosts {
    /// The draw for which they are baselines.
    key: Option<Key>,
    /// The mean cost-to-go of each site.
    costs: FxHashMap<String, f64>,
}

impl FirstCosts {
    fn new(work: &Work<'_>, params: &ParamStore) -> Result<Self> {
        /// Belongs to no step and no particle.
        const APART: u64 = u64::MAX;
        let key = Key {
            seed: work.seed,
            step: APART,
            particle: APART,
        };
        // Training only has what the draw creates once it gets there by itself.
        let apart = work.objective.evaluate(key, &params.fork(), &Mode::Draw)?;
        let survey = Survey::new(&apart);
        let mut costs = FxHashMap::default();
        for (place, latent) in apart.latents.iter().enumerate() {
            if let Some(cost) = survey.mean_cost(place)? {
                costs.insert(latent.name.to_string(), cost);
            }
        }
        Ok(Self {
            key: Some(work.key),
            costs,
        })
    }

    /// The cost for a site before its first estimate: from a draw of everything, the same for all sites that have their
    /// first estimate at once, or if that does not reach the site, from another draw of the site in the current run.
    ///
    /// # Errors
    /// Any error from the programs.
    pub(in crate::infer) fn take(
        &mut self,
        work: &Work<'_>,
        params: &ParamStore,
    ) -> Result<Option<f64>> {
        if self.key != Some(work.key) {
            *self = Self::new(work, params)?;
        }
        match self.costs.remove(&*work.latent.name) {
            Some(cost) => Ok(Some(cost)),
            None => mean_cost_elsewhere(work, params),
        }
    }
}

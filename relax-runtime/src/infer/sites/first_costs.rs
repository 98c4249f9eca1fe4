//! Baselines of first estimates: costs of draws that no estimate is made of, so that these stay
//! unbiased.

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::infer::pass::Mode;
use crate::infer::pass::survey::Survey;
use crate::infer::sites::cost_to_go::{Work, mean_cost_elsewhere};
use crate::model::ParamStore;
use crate::random::Key;

/// The costs of a draw that no estimate is made of.
#[derive(Debug, Default)]
pub(in crate::infer) struct FirstCosts {
    /// The draw that they are baselines for.
    key: Option<Key>,
    /// The mean cost-to-go of each site.
    costs: FxHashMap<String, f64>,
}

impl FirstCosts {
    fn new(work: &Work<'_>, params: &ParamStore) -> Result<Self> {
        /// Of no step and no particle.
        const APART: u64 = u64::MAX;
        let key = Key {
            seed: work.seed,
            step: APART,
            particle: APART,
        };
        // What the draw creates is the training's only once it comes by itself.
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

    /// The cost for a site that is to have its first estimate: of a draw of everything, the same for
    /// all sites that have theirs at once, or where that does not come by, of another draw of the
    /// site in the run at hand.
    ///
    /// # Errors
    /// Whatever goes wrong in the programs.
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

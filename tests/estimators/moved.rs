//! Surrogates that are far from zero.

use std::rc::Rc;

use relax_runtime::estimator::{
    Cost, Coupling, Estimate, Estimator, LawEstimate, LawTask, SiteClass, SiteState, SiteTask,
};
use relax_runtime::{Key, Result, Tensor};

use crate::problems::perturb;

/// An estimator whose surrogates do not start at zero.
#[derive(Debug)]
pub struct Moved(pub Rc<dyn Estimator>);

impl Estimator for Moved {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        self.0.valid_for(class)
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        self.0.evaluations(class)
    }

    fn needs_estimate(&self) -> bool {
        self.0.needs_estimate()
    }

    fn centred(&self) -> bool {
        self.0.centred()
    }

    fn coupling(&self) -> Coupling {
        self.0.coupling()
    }

    fn further_noise(&self, class: SiteClass) -> usize {
        self.0.further_noise(class)
    }

    fn for_bounds(&self) -> bool {
        self.0.for_bounds()
    }

    fn signals(&self, log_weights: &Tensor) -> Result<Tensor> {
        self.0.signals(log_weights)
    }

    fn biased(&self) -> bool {
        self.0.biased()
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let state = self.0.state(task)?;
        perturb(state.parameters(), 0.3, &mut Key::new(8).stream(task.name))?;
        Ok(state)
    }

    fn law_state(&self, task: &LawTask<'_>) -> Result<SiteState> {
        let state = self.0.law_state(task)?;
        perturb(state.parameters(), 0.3, &mut Key::new(8).stream(task.name))?;
        Ok(state)
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<LawEstimate> {
        self.0.estimate_law(task, cost, state)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        self.0.estimate(task, cost, state)
    }
}

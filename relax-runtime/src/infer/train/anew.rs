//! Restarting a training run, and undoing the restart.

use super::trainer::Trainer;
use crate::infer::exact::joint::JointSum;
use crate::infer::sites::Sites;
use crate::model::ParamStore;
use crate::optim::Optimizer;

/// The state of a trainer before a restart.
pub(super) struct Reached {
    params: ParamStore,
    sites: Sites,
    joint: JointSum,
    optimizer: Optimizer,
    step: u64,
}

impl Trainer {
    /// Discards everything that training has learned except the step count, as random numbers of past steps are used
    /// up. Settings are kept; the optimizer becomes the default one.
    pub(super) fn begin_anew(&mut self) -> Reached {
        let estimation = &mut self.estimation;
        Reached {
            params: estimation.params.begin_anew(),
            sites: estimation.sites.begin_anew(),
            joint: std::mem::take(&mut estimation.joint),
            optimizer: std::mem::take(&mut self.optimizer),
            step: self.step,
        }
    }

    /// Restores the state from before a restart.
    pub(super) fn put_back(&mut self, reached: Reached) {
        self.estimation.params.put_back(reached.params);
        self.estimation.sites.put_back(reached.sites);
        self.estimation.joint = reached.joint;
        self.optimizer = reached.optimizer;
        self.step = reached.step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Normal};
    use crate::error::Result;
    use crate::estimator::by_name;
    use crate::infer::{Configure, Elbo};
    use crate::model::Site;
    use crate::plumbing::model;

    /// Surrogates and baselines are restored, too.
    #[test]
    fn a_trainer_that_went_back_goes_on_as_if_it_had_never_begun_anew() -> Result<()> {
        let site = |name| Site::new(name, file!(), line!());
        let coins = model("coins", |context| {
            let a = context.sample(site("a"), Bernoulli::probs(0.3))?;
            let b = context.sample(site("b"), Bernoulli::probs(if a { 0.9 } else { 0.2 }))?;
            context.observe(site("x"), Normal::new(f64::from(u8::from(b)), 0.5), 0.8)
        });
        let bound = Elbo::new(&coins);
        let losses = |leaves: bool| -> Result<Vec<f64>> {
            let mut trainer = Trainer::new(4)
                .site_estimator("a", by_name("relax")?)
                .site_estimator("b", by_name("nvil")?);
            let mut losses = Vec::new();
            for step in 0..40 {
                if leaves && step == 20 {
                    let reached = trainer.begin_anew();
                    assert!(trainer.estimation.sites.is_empty());
                    for _ in 0..5 {
                        trainer.step(&bound)?;
                    }
                    trainer.put_back(reached);
                }
                losses.push(trainer.step(&bound)?.loss);
            }
            Ok(losses)
        };
        assert_eq!(losses(true)?, losses(false)?);
        Ok(())
    }
}

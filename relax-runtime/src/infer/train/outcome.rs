//! The outcome of a run of a bound: a fit and its posterior, from another start if that is better.

use rustc_hash::FxHashSet;

use super::stopping::Settling;
use super::training::Svi;
use crate::error::Result;
use crate::infer::estimation::Estimation;
use crate::infer::hmc::{self, Looked};
use crate::infer::missed;
use crate::infer::posterior::Posterior;
use crate::model::{ParamStore, Start};
use crate::report::{Ending, History};

impl Svi<'_> {
    /// The posterior of a run with this ending.
    pub(super) fn posterior_after(&mut self, ending: Ending) -> Result<Posterior> {
        let posterior = match self.is_automatic(ending) {
            true => {
                let params = self.trainer.params().fork();
                self.looked(&params, self.looks_elsewhere())?.posterior()?
            }
            false => self.drawn(self.wanted)?,
        };
        Ok(self.with_missed(posterior))
    }

    /// A posterior, with what its guide misses.
    fn with_missed(&self, posterior: Posterior) -> Posterior {
        let Estimation { params, seed, .. } = &self.trainer.estimation;
        let objective = self.objective.clone().samples(1);
        let missed = missed::look(&objective, params, *seed, self.trainer.step, &posterior);
        posterior.missing(missed)
    }

    /// A first look at the posterior, with a fork of the fit's parameters: sites that draws reach and training has not
    /// are of no concern to them.
    fn looked<'l>(&'l self, fork: &'l ParamStore, looks_elsewhere: bool) -> Result<Looked<'l>> {
        let seed = self.trainer.estimation.seed;
        Looked::at(&self.objective, fork, seed, self.wanted, looks_elsewhere)
    }

    /// Whether to look at places other than that of the fit.
    fn looks_elsewhere(&self) -> bool {
        self.starts != Some(1)
    }

    /// Whether another run can begin anew: everything that steps have moved is known by name, in units of its own, and
    /// not recorded.
    fn may_begin_anew(&self) -> bool {
        let trainer = &self.trainer;
        let known: FxHashSet<u64> = {
            let all = trainer.params().all().into_iter();
            all.map(|(_, parameter)| parameter.key()).collect()
        };
        trainer.optimizer.is_in_units()
            && trainer.recorder.is_none()
            && trainer
                .optimizer
                .moved()
                .all(|(key, _)| known.contains(&key))
    }

    /// Whether it was left open how to draw the posterior of a run with this ending.
    fn is_automatic(&self, ending: Ending) -> bool {
        let is_settled = matches!(ending, Ending::Settled(_));
        self.hmc.is_none() && is_settled && self.objective.is_of_default_guide()
    }

    /// Takes all steps, and again from elsewhere if the posterior is in doubt and that may be better.
    pub(super) fn settle(&mut self) -> Result<(History, Ending, Posterior)> {
        let is_new = self.trainer.step == 0 && self.trainer.params().names().is_empty();
        if self.hmc == Some(true) {
            self.say_what_was_asked();
            let Estimation { params, seed, .. } = &self.trainer.estimation;
            hmc::expect_manageable(&self.objective, params, *seed)?;
        }
        let (history, ending) = self.take_steps()?;
        if !is_new || !self.may_begin_anew() || !self.is_automatic(ending) {
            let posterior = self.posterior_after(ending)?;
            return Ok((history, ending, posterior));
        }
        let objective = self.objective.clone();
        let Estimation { params, seed, .. } = &self.trainer.estimation;
        let (params, seed) = (params.fork(), *seed);
        let (wanted, looks_elsewhere) = (self.wanted, self.looks_elsewhere());
        let looked = Looked::at(&objective, &params, seed, wanted, looks_elsewhere)?;
        if let Some(start) = looked.better_start()
            && let Some(better) = self.again_from(Some(start), Settling::near(), &history)
        {
            return Ok(better);
        }
        let posterior = self.with_missed(looked.posterior()?);
        // The start with the lowest loss before the first step need not have it after the last.
        if self.is_from_a_draw
            && posterior.missed().is_some()
            && let Some(better) = self.again_from(None, Settling::default(), &history)
        {
            return Ok(better);
        }
        Ok((history, ending, posterior))
    }

    /// Takes all steps from another start. `None`, with the previous state restored, if that does not yield a posterior
    /// and a lower loss than the run `before`.
    fn again_from(
        &mut self,
        start: Option<&Start>,
        settling: Settling,
        before: &History,
    ) -> Option<(History, Ending, Posterior)> {
        let reached = self.trainer.begin_anew();
        // An error from that start is no fault of the existing fit.
        let better = self.settle_from(start, settling, before).ok().flatten();
        if better.is_none() {
            self.trainer.put_back(reached);
        }
        better
    }

    fn settle_from(
        &mut self,
        start: Option<&Start>,
        settling: Settling,
        before: &History,
    ) -> Result<Option<(History, Ending, Posterior)>> {
        self.trainer.params().start_at(start.cloned());
        let (again, ending) = self.take_steps_from(settling)?;
        if !self.is_automatic(ending) || !again.level().is_below(before.level()) {
            return Ok(None);
        }
        let params = self.trainer.params().fork();
        let posterior = match start {
            Some(start) => self
                .looked(&params, false)?
                .started_from(start)
                .posterior()?,
            None => self.looked(&params, self.looks_elsewhere())?.posterior()?,
        };
        Ok(Some((again, ending, self.with_missed(posterior))))
    }
}

//! The steps of a run, from its first rate to where it ends.

use super::average::Average;
use super::starts::{self, STARTS};
use super::stopping::{self, CEILING, Next, SLOWER, Settling};
use super::training::Training;
use crate::error::{Error, Result};
use crate::infer::guide::Stage;
use crate::infer::objective::Objective;
use crate::optim::Adam;
use crate::random::Key;
use crate::report::{Ending, History, Progress};

impl<O: Objective> Training<O> {
    /// Whether no gradient is a score times a cost.
    fn is_smooth(&self) -> bool {
        self.trainer.estimation.sites.are_pathwise()
    }

    /// Has the guide write its parameters in its current units. Where gradients are smooth, past ones are no measure of
    /// later ones, and are forgotten; where some are rare and large, their squares keep steps small.
    fn adapt(&mut self, step: u64, stage: Stage) -> Result<()> {
        let key = Key {
            step,
            ..Key::new(self.trainer.estimation.seed)
        };
        self.objective.adapt(key, self.trainer.params(), stage)?;
        if self.is_smooth() {
            self.trainer.optimizer.forget();
        }
        Ok(())
    }

    pub(super) fn take_steps(&mut self) -> Result<(History, Ending)> {
        self.take_steps_from(Settling::default())
    }

    pub(super) fn take_steps_from(&mut self, mut settling: Settling) -> Result<(History, Ending)> {
        let (no_steps, no_starts) = (self.steps == Some(0), self.starts == Some(0));
        let no_draws = self.wanted.guided == 0;
        let settings = [
            ("steps", no_steps),
            ("starts", no_starts),
            ("posterior draws", no_draws),
        ];
        for (setting, is_none) in settings {
            if is_none {
                let problem = "is 0; give at least one".into();
                return Err(Error::Config { setting, problem });
            }
        }
        let mut in_units = false;
        if self.steps.is_none() {
            const FIRST_RATE: f32 = 0.05;
            let trainer = &mut self.trainer;
            trainer
                .optimizer
                .follow_unless_chosen(Adam::new(FIRST_RATE));
            in_units = trainer.optimizer.take_units();
            if in_units {
                trainer.estimation.params.want_units();
            }
        }
        let starts = self.starts.unwrap_or(if in_units { STARTS } else { 1 });
        if starts > 1 && self.trainer.step == 0 {
            self.say_what_was_asked();
            let estimation = &self.trainer.estimation;
            self.is_from_a_draw =
                starts::choose(&self.objective, &estimation.params, estimation.seed, starts)?;
        }
        let most = self.steps.unwrap_or(CEILING);
        let progress = Progress::new(most, self.progress);
        let mut history = History::default();
        let mut average: Option<Average> = None;
        let mut ending = match self.steps {
            Some(steps) => Ending::Steps(steps),
            None => Ending::Ceiling(most),
        };
        for step in 1..=most {
            let report = self.step()?;
            // Sites met later start as they would without a choice of places, as after a resume.
            self.trainer.params().start_at(None);
            progress.step(report.loss);
            let next = match self.steps {
                Some(_) => Next::GoOn,
                None => settling.see(report.loss, in_units && self.is_smooth()),
            };
            history.steps.push(report);
            if self.steps.is_none() && self.trainer.has_nothing_to_train() {
                ending = Ending::Settled(step);
                break;
            }
            match &mut average {
                Some(average) => average.add()?,
                None if in_units && stopping::adapts_after(step) => {
                    self.adapt(step, Stage::OnTheWay)?;
                }
                None => {}
            }
            match next {
                Next::GoOn => {}
                Next::SlowDown => {
                    self.trainer.optimizer.slow_down(SLOWER);
                    if in_units {
                        self.adapt(step, Stage::Settled)?;
                    }
                }
                Next::SlowDownLast => {
                    self.trainer.optimizer.slow_down(SLOWER);
                    let averages = self.trainer.optimizer.averages();
                    average = (!averages).then(|| Average::of(self.trainer.params()));
                }
                Next::Stop => {
                    ending = Ending::Settled(step);
                    break;
                }
            }
        }
        if self.trainer.optimizer.averages() {
            self.trainer.take_averages()?;
        } else if let Some(average) = average {
            average.set()?;
        }
        self.trainer.check_site_estimators()?;
        Ok((history, ending))
    }
}

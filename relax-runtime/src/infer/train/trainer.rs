//! The trainer: estimates gradients of an objective, site by site, and follows them.

use super::ledger::{LedgerRecorder, Moment};
use super::recording::Recording;
use crate::error::Result;
use crate::estimator::Plan;
use crate::infer::checkpoint::SavedRecord;
use crate::infer::estimation::Estimation;
use crate::infer::gradients::Gradients;
use crate::infer::objective::Objective;
use crate::model::ParamStore;
use crate::optim::Optimizer;
use crate::random::Key;
use crate::report::{Ledger, StepReport};
use crate::tensor::Parameter;

/// Minimizes objectives: holds the parameters, the optimizer, and the state of each site's estimator. In a training
/// loop of your own, such as over minibatches, give every step its objective:
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coins(data: &[bool]) {
///     let p = param!(0.0).sigmoid();
///     for x in data {
///         observe!(Bernoulli(&p), *x);
///     }
/// }
///
/// let mut trainer = Trainer::new(1).optimizer(Adam::new(1e-2));
/// for batch in [[true, true], [true, false]].iter().cycle().take(20) {
///     let report = trainer.step(&Elbo::new(&coins(batch)))?;
///     assert!(report.loss.is_finite());
/// }
/// # Ok::<(), Error>(())
/// ```
///
/// See [`Configure`](crate::infer::Configure) and [`ConfigureTraining`](crate::infer::ConfigureTraining) for its
/// settings.
#[derive(Debug)]
pub struct Trainer {
    pub(in crate::infer) estimation: Estimation,
    pub(in crate::infer) optimizer: Optimizer,
    pub(super) step: u64,
    /// Parameters of the user's layers that checkpoints hold.
    pub(super) layers: Vec<Parameter>,
    pub(super) recorder: Option<LedgerRecorder>,
    /// The record of a resumed training, kept if this one records nothing.
    pub(super) past_record: Option<SavedRecord>,
}

impl Trainer {
    /// A trainer with Adam at rate 0.01, one particle, and estimators chosen by the plan; `seed` determines all random
    /// numbers.
    pub fn new(seed: u64) -> Self {
        Self {
            estimation: Estimation::new(seed),
            optimizer: Optimizer::default(),
            step: 0,
            layers: Vec::new(),
            recorder: None,
            past_record: None,
        }
    }

    /// Takes one optimization step.
    ///
    /// # Errors
    /// If a setting is invalid, or any error from the objective; [`Error::NotFinite`](crate::Error::NotFinite) if the
    /// loss or a gradient is not finite. No parameter has then moved, though surrogates may have learned from the step.
    pub fn step(&mut self, objective: &dyn Objective) -> Result<StepReport> {
        let key = Key {
            seed: self.estimation.seed,
            step: self.step,
            particle: 0,
        };
        let Gradients {
            loss,
            parameters,
            sites,
            evaluations,
        } = self.estimation.estimate(objective, key, true)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&Moment {
                objective,
                estimation: &self.estimation,
                step: self.step,
            });
        }
        self.optimizer
            .update(&parameters)
            .map_err(|error| self.estimation.blamed(error, &parameters, objective, key))?;
        let report = StepReport {
            step: self.step,
            loss,
            sites,
            evaluations,
        };
        self.step += 1;
        Ok(report)
    }

    /// Estimates the objective and its gradient with the random numbers of `key`, without moving any parameter;
    /// surrogates and baselines do not change, either.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn gradients(&mut self, objective: &dyn Objective, key: Key) -> Result<Gradients> {
        self.estimation.estimate(objective, key, false)
    }

    /// Whether estimators were asked for, or are being recorded.
    pub(super) fn is_about_draws(&self) -> bool {
        let Estimation {
            sites, particles, ..
        } = &self.estimation;
        !sites.asked.is_empty() || *particles > 1 || self.recorder.is_some()
    }

    /// Why choices that could be summed out are drawn, unless an estimator was asked for at all of them.
    pub(super) fn why_drawn(&self) -> Option<&'static str> {
        let Estimation {
            sites, particles, ..
        } = &self.estimation;
        match () {
            () if sites.asked.everywhere().is_some() => None,
            () if !sites.asked.is_empty() => {
                Some("an estimator was asked for at some site, or a budget for one")
            }
            () if *particles > 1 => Some("several draws were asked for in each step (`particles`)"),
            () => Some("a ledger is about estimates from draws"),
        }
    }

    /// Whether steps have moved nothing, and never will.
    pub(super) fn has_nothing_to_train(&self) -> bool {
        self.step > 0 && self.optimizer.moved().next().is_none() && self.estimation.sites.is_empty()
    }

    /// The ledger so far, if one is recorded.
    pub fn ledger(&self) -> Option<&Ledger> {
        let past = self.past_record.as_ref().map(|record| &record.ledger);
        let now = self.recorder.as_ref().map(|recorder| &recorder.ledger);
        now.or(past)
    }

    /// The parameters of `param!` sites and automatic guides.
    pub fn params(&self) -> &ParamStore {
        &self.estimation.params
    }

    /// The optimizer.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Which estimator each site got, and why, for the sites met so far, in that order.
    pub fn plan(&self) -> Plan {
        self.estimation.plan()
    }

    /// Checks that every site that was given an estimator has been met.
    ///
    /// # Errors
    /// [`Error::UnknownSite`](crate::Error::UnknownSite), listing the sites that exist.
    pub fn check_site_estimators(&self) -> Result<()> {
        self.estimation.sites.check_asked()
    }

    /// Records from the next step on.
    pub(in crate::infer) fn start_recording(&mut self, recording: Recording) {
        let mut recorder = LedgerRecorder::new(recording);
        if let Some(past) = self.past_record.take() {
            recorder.restore(past);
        }
        self.recorder = Some(recorder);
    }

    /// Adds to the parameters that checkpoints hold.
    pub(in crate::infer) fn hold(&mut self, parameters: Vec<Parameter>) {
        for parameter in parameters {
            let mut known = self.layers.iter().map(Parameter::key);
            if known.all(|key| key != parameter.key()) {
                self.layers.push(parameter);
            }
        }
    }
}

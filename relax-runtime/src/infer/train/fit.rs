//! What training leaves: parameters, a posterior, and how good both are.

use std::ops::Deref;
use std::path::Path;

use super::trainer::Trainer;
use super::verdict::Verdict;
use crate::error::Result;
use crate::estimator::Plan;
use crate::infer::checkpoint::SavedEnding;
use crate::infer::posterior::{Draws, InferenceData, Posterior};
use crate::model::{ParamStore, Program, unknown_parameter};
use crate::report::{Ending, History, Ledger, Trend};

/// The result of a run: its history, and the trainer with everything it has learned.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!(&b * 0.3 + 0.2);
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&coin()).estimator(Enumerate::default()).steps(10).run()?;
/// assert_eq!(trained.history.steps.len(), 10);
/// // Heads cost more, so each exact step lowers their probability.
/// assert!(trained.param("logit")?[0] < 0.0);
/// println!("{}", trained.plan());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Trained {
    /// One report per step; empty if loaded from a file.
    pub history: History,
    ending: Ending,
    trend: Trend,
    trainer: Trainer,
}

impl Trained {
    pub(super) fn new(history: History, ending: Ending, trainer: Trainer) -> Self {
        Self {
            trend: Trend::of(&history),
            history,
            ending,
            trainer,
        }
    }

    pub(super) fn loaded(saved: SavedEnding, trainer: Trainer) -> Self {
        Self {
            history: History::default(),
            ending: saved.ending,
            trend: saved.trend,
            trainer,
        }
    }

    /// Whether the run took the steps asked for, settled, or stopped before it had settled.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Whether the loss was still falling in the last steps.
    pub fn trend(&self) -> Trend {
        self.trend
    }

    /// Saves everything that training has learned, as [`Trainer::save`] does, and how it ended, so that it can be
    /// [loaded](crate::infer::Svi::load) without training.
    ///
    /// # Errors
    /// As for [`Trainer::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.trainer.save_with(
            path.as_ref(),
            Some(SavedEnding {
                ending: self.ending,
                trend: self.trend,
            }),
        )
    }

    /// Which estimator each site got, and why.
    pub fn plan(&self) -> Plan {
        self.trainer.plan()
    }

    /// The parameters of `param!` sites and automatic guides.
    pub fn params(&self) -> &ParamStore {
        self.trainer.params()
    }

    /// The value of a parameter, in row-major order.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`](crate::Error::UnknownParameter), which lists those that exist.
    pub fn param(&self, name: &str) -> Result<Vec<f32>> {
        let known = self.params().names();
        let unknown = || unknown_parameter(name, known.iter().map(String::as_str));
        self.params().get(name).ok_or_else(unknown)?.peek()
    }

    /// The variance ledger, if one was recorded.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.trainer.ledger()
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The trainer, for further training: pass it to [`Training::trainer_from`](crate::infer::Training::trainer_from).
    pub fn into_trainer(self) -> Trainer {
        self.trainer
    }
}

/// The result of a run of [`Svi`](crate::infer::Svi): a [`Trained`] guide, and draws from it. It dereferences to
/// [`Trained`].
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.9 }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let fit = Svi::new(&toss(true)).run()?;
/// // Summed out exactly: 0.5 · 0.5 / (0.5 · 0.5 + 0.5 · 0.9).
/// assert!((fit.posterior().mean("fair")? - 0.25 / 0.7).abs() < 1e-3);
/// assert!(fit.verdict().is_good(), "{}", fit.verdict());
/// println!("{}", fit.plan()); // from `Trained`
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fit {
    trained: Trained,
    posterior: Posterior,
}

impl Fit {
    pub(super) fn new(trained: Trained, posterior: Posterior) -> Self {
        Self { trained, posterior }
    }

    /// The posterior: draws from the trained guide, which may be weighted, or from chains started at them, with exact
    /// results for choices that were summed out.
    pub fn posterior(&self) -> &Posterior {
        &self.posterior
    }

    /// Whether the fit can be relied on, and what to do if it cannot.
    ///
    /// ```
    /// use relax_runtime::infer::MeanFieldGuide;
    /// use relax_runtime::prelude::*;
    ///
    /// #[model]
    /// fn one_of_two() {
    ///     let a = sample!(Bernoulli(0.5));
    ///     let b = sample!(Bernoulli(0.5));
    ///     observe!(Bernoulli(if a == b { 0.001 } else { 0.999 }), true);
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let model = one_of_two();
    /// let fit = Svi::new(&model).seed(1).run()?;
    /// assert!(fit.verdict().is_good(), "{}", fit.verdict());
    /// let cut_short = Svi::new(&model).guide(&MeanFieldGuide).steps(20).seed(1).run()?;
    /// println!("{}", cut_short.verdict()); // too few steps to say: take more
    /// assert!(!cut_short.verdict().is_good());
    /// # Ok(())
    /// # }
    /// ```
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.ending, self.trend, &self.posterior)
    }

    /// `n` draws of a program's sites given the posterior, as [`Draws::predictive`], with the fit's parameters and
    /// seed.
    ///
    /// # Errors
    /// As for [`Draws::predictive`].
    pub fn predictive(&self, program: &dyn Program, n: usize) -> Result<Draws> {
        let (params, seed) = (self.params(), self.seed());
        self.posterior.predictive(program, params, n, seed)
    }

    /// The log-likelihood of each observed site of a program at each draw of the posterior, as
    /// [`Draws::log_likelihood`], with the fit's parameters.
    ///
    /// # Errors
    /// As for [`Draws::log_likelihood`].
    pub fn log_likelihood(&self, program: &dyn Program) -> Result<Draws> {
        self.posterior.log_likelihood(program, self.params())
    }

    /// The posterior, predictions from it, and the observations, in ArviZ's layout.
    ///
    /// # Errors
    /// As for [`Draws::inference_data`].
    pub fn inference_data(&self, model: &dyn Program) -> Result<InferenceData> {
        let (params, seed) = (self.params(), self.seed());
        let data = self.posterior.inference_data(model, params, seed)?;
        Ok(match self.posterior.mixing() {
            // The weights belong to other draws.
            Some(_) => data,
            None => data.with_log_weights(&self.posterior.posterior_log_weights()),
        })
    }

    fn seed(&self) -> u64 {
        self.trained.trainer.estimation.seed
    }

    /// The trainer, for further training: pass it to [`Training::trainer_from`](crate::infer::Training::trainer_from).
    pub fn into_trainer(self) -> Trainer {
        self.trained.into_trainer()
    }
}

impl Deref for Fit {
    type Target = Trained;

    fn deref(&self) -> &Trained {
        &self.trained
    }
}

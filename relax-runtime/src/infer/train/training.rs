//! `Svi` and `Minimize`: builders that join an objective and a trainer.

use std::path::Path;

use super::fit::{Fit, Trained};
use super::settings::ConfigureTraining;
use super::trainer::Trainer;
use crate::error::Result;
use crate::infer::checkpoint::SavedEnding;
use crate::infer::estimation::Estimation;
use crate::infer::guide::Guide;
use crate::infer::hmc::{self, Wanted};
use crate::infer::objective::{Elbo, ExpectedCost, Objective};
use crate::infer::posterior::Posterior;
use crate::infer::settings::Configure;
use crate::model::Program;
use crate::random::Key;
use crate::report::StepReport;

/// Training of a fixed objective; built as [`Svi`] or [`Minimize`], which have examples. See [`Configure`] and
/// [`ConfigureTraining`] for further settings.
#[derive(Debug)]
pub struct Training<O> {
    pub(super) objective: O,
    pub(super) trainer: Trainer,
    pub(super) steps: Option<u64>,
    pub(super) starts: Option<usize>,
    /// Whether a run has started at a draw from what the model states.
    pub(super) is_from_a_draw: bool,
    pub(super) progress: bool,
    pub(super) wanted: Wanted,
    pub(super) hmc: Option<bool>,
}

/// Stochastic variational inference: fits a guide to a model's posterior, and the model's parameters to the data.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn location(data: &[f64]) {
///     let mu = sample!(Normal(0.0, 10.0));
///     for x in data {
///         observe!(Normal(mu, 1.0), *x);
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let data = [1.0, 2.0, 3.0];
/// let fit = Svi::new(&location(&data)).posterior_draws(2_000).seed(1).run()?;
/// // The posterior is Gaussian, with precision 3 + 1/100.
/// assert!((fit.posterior().mean("mu")? - 6.0 / 3.01).abs() < 0.1);
/// println!("{}", fit.verdict());
/// # Ok(())
/// # }
/// ```
pub type Svi<'m> = Training<Elbo<'m>>;

/// Minimizes the expectation of a program's `cost!` over its own random choices.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn lever() {
///     let logit = param!(0.0);
///     let pulled = sample!(Bernoulli(logits = logit));
///     cost!(&pulled * 0.3 + 0.2);
/// }
///
/// # fn main() -> Result<()> {
/// let program = lever();
/// let trained = Minimize::new(&program).optimizer(Adam::new(0.1)).steps(200).seed(1).run()?;
/// // It has learned not to pull.
/// assert!(trained.param("logit")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
pub type Minimize<'m> = Training<ExpectedCost<'m>>;

impl<'m> Svi<'m> {
    /// Fits the automatic guide, a [`StructuredGuide`](crate::infer::StructuredGuide). Discrete choices are summed out
    /// exactly ([`marginalise`](crate::infer::marginalise)) where that is cheap and nothing else was asked for: no
    /// guide other than points, no estimator or budget, one sample and one particle, no ledger. A Gaussian number in
    /// each row of a plate whose law is a mixture over such a choice is integrated out with it
    /// ([`integrate`](crate::infer::Marginalised::integrate)), unless there is another or a first look shows that it
    /// becomes much narrower. A sum that grows too large during training, because other values of the remaining choices
    /// lead to more choices, is given up: its choices are drawn from then on. The plan says which were;
    /// [`draw_all`](Self::draw_all) draws all, [`marginalise`](Self::marginalise) integrates none out.
    pub fn new(model: &'m dyn Program) -> Self {
        Self::of(Elbo::new(model).marginalise_if_cheap())
    }

    /// Sums discrete choices out exactly, even where that is not cheap; a sum that cannot be taken is then an error.
    #[must_use]
    pub fn marginalise(mut self) -> Self {
        self.objective = self.objective.marginalise();
        self
    }

    /// Draws all choices.
    #[must_use]
    pub fn draw_all(mut self) -> Self {
        self.objective = self.objective.draw_all();
        self
    }

    /// Fits another [`Guide`] instead: a program written with `#[model]`, which samples exactly the model's latent
    /// sites, or another family. Discrete choices are then drawn, unless the guide [leaves sums](Guide::leaves_sums).
    ///
    /// A program and the model share the parameters whose names are the same, as for [`Elbo::guide`].
    #[must_use]
    pub fn guide(mut self, guide: &'m dyn Guide) -> Self {
        if !guide.leaves_sums() {
            self.objective = self.objective.draw_unless_asked();
        }
        self.objective = self.objective.guide(guide);
        self
    }

    /// Fits a bound of several samples, as [`Elbo::samples`]. Discrete choices are then drawn; one sample is the
    /// default, and changes nothing.
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        if samples != 1 {
            self.objective = self.objective.draw_unless_asked();
        }
        self.objective = self.objective.samples(samples);
        self
    }

    /// Number of places from which `run` may start: the middle of the laws that the model states, or one of several
    /// draws from them if a few evaluations show that the loss is lower there. The default is 16, or 1 with a number of
    /// [`steps`](Self::steps) or another optimizer. Starts set the locations of the default guide and of
    /// [`MeanFieldGuide`](crate::infer::MeanFieldGuide). If a run of the default guide that has settled from such a
    /// draw is found to miss much of the posterior, it starts once more, in the middle, and the fit with the lower loss
    /// is kept.
    ///
    /// Where discrete choices are summed out, at most 32 numbers are left, and a first look leaves the posterior of the
    /// default guide in doubt, up to six other places are tried: with a few choices held at random values, all
    /// components come to lie among the data, and the density is climbed from there. If a mode found this way has more
    /// evidence, `run` starts once more, from there, and the fit with the lower loss is kept. This does not happen if
    /// one start is asked for, a ledger is kept, or layers are trained as well.
    ///
    /// ```
    /// # use relax_runtime::prelude::*;
    /// #[model]
    /// fn away(x: f64) {
    ///     let side = sample!(Normal(0.0, 10.0));
    ///     observe!(Normal(side * side, 1.0), x);
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// // At 0, in the middle, the square has no slope.
    /// let fit = Svi::new(&away(49.0)).starts(32).run()?;
    /// assert!((fit.posterior().mean("side")?.abs() - 7.0).abs() < 0.1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn starts(mut self, starts: usize) -> Self {
        self.starts = Some(starts);
        self
    }

    /// Number of draws in the posterior of a [`run`](Self::run); by default 200 from a guide and 1,000 from chains.
    #[must_use]
    pub fn posterior_draws(mut self, n: usize) -> Self {
        self.wanted = Wanted::exactly(n);
        self
    }

    /// Whether to draw the posterior by Hamiltonian Monte Carlo: four chains over the continuous choices, with discrete
    /// ones summed out and then drawn given each draw of the others. The chains start at the guide and move in its
    /// units; they can do what its family cannot, such as long tails on one side. Each draw takes some four gradients.
    /// Each chain first makes 200 transitions, in which step size and covariance are learned; then at least 250 count,
    /// and up to four times as many until draws are worth 700, of which as many are kept as were asked for, or 1,000.
    /// [`Posterior::mixing`] says whether the chains agree, and so does the [`Verdict`](crate::infer::Verdict). Modes
    /// far apart stay as the guide has them: chains do not cross from one to the other. Host numbers are moved, too; as
    /// no derivative passes through them, each costs one more run per gradient, for a difference of the density.
    ///
    /// By default, chains draw if a [`run`](Self::run) of the default guide has settled and is off: if the importance
    /// weights of its first 200 draws have no finite variance (a Pareto k̂ above 0.5) or those of all draws a k̂ above
    /// 0.6; if 150 wider draws with their weights put a mean of the unconstrained numbers off by a fifth of a standard
    /// deviation, or a standard deviation off by a fifth; or if a discrete choice that is summed out decides which
    /// numbers there are. At most 32 numbers may be left to draw, the same in every run, at most eight of them host
    /// numbers (or more, if their number times the number of terms in a run is at most 1,000), and the chains must
    /// agree. Otherwise the guide draws; if its weights can be relied on, and move a mean by more than a tenth of a
    /// standard deviation or change that by a sixth, the posterior's draws have them ([`Posterior::weighted`]).
    ///
    /// Hoffman and Gelman 2014 (step sizes); Neal 2011 (trajectories); Zhang et al. 2022 (starting from a variational
    /// fit).
    ///
    /// ```
    /// use relax_runtime::prelude::*;
    ///
    /// /// A scale and what it scales: a funnel, which no Gaussian is like.
    /// #[model]
    /// fn funnel() {
    ///     let v = sample!(Normal(Tensor::scalar(0.0), 1.0));
    ///     let x = sample!(Normal(Tensor::scalar(0.0), v.exp()));
    ///     observe!(Normal(x, 1.0), 3.0);
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let fit = Svi::new(&funnel()).hmc(true).posterior_draws(2_000).seed(1).run()?;
    /// let mixing = fit.posterior().mixing().expect("chains");
    /// assert!(mixing.r_hat < 1.05 && mixing.effective_samples > 400.0);
    /// // By quadrature.
    /// assert!((fit.posterior().mean("v")? - 0.622).abs() < 0.1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// From [`run`](Self::run): [`Error::Config`](crate::Error::Config) if a discrete choice is left that is not summed
    /// out, runs differ in their continuous choices, or a site's log-probability or cost does not count exactly once;
    /// before the first step if a few draws show it.
    #[must_use]
    pub fn hmc(mut self, wanted: bool) -> Self {
        self.hmc = Some(wanted);
        self
    }

    /// Draws from the guide as it is now, or by [`hmc`](Self::hmc) if that was asked for.
    ///
    /// # Errors
    /// Any error from the model or the guide.
    pub fn posterior(&mut self, draws: usize) -> Result<Posterior> {
        self.drawn(Wanted::exactly(draws))
    }

    pub(super) fn drawn(&mut self, wanted: Wanted) -> Result<Posterior> {
        self.say_what_was_asked();
        let estimation = &self.trainer.estimation;
        estimation.check_settings()?;
        // Draws are weighted one by one, whatever the bound.
        let single = self.objective.clone().samples(1);
        let (params, seed) = (&estimation.params, estimation.seed);
        match self.hmc {
            Some(true) => hmc::draw(&single, params, seed, wanted),
            Some(false) | None => Posterior::draw(&single, params, seed, wanted.guided),
        }
    }

    /// Trains until the bound has settled, or for [`steps`](Self::steps), also from another start if that is better,
    /// and draws the posterior.
    ///
    /// # Errors
    /// If a setting is wrong, or any error from the model or the guide.
    pub fn run(mut self) -> Result<Fit> {
        let (history, ending, posterior) = self.settle()?;
        Ok(Fit::new(
            Trained::new(history, ending, self.trainer),
            posterior,
        ))
    }

    /// Loads a fit that was [saved](Trained::save), without training. Model, guide and settings must be those that it
    /// was fitted with, and the seed, if one is given; its posterior is then the same, bit for bit. Only its history is
    /// not saved.
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
    /// # let folder = tempfile::tempdir().map_err(Error::user)?;
    /// # let path = folder.path().join("toss.fit");
    /// let model = toss(true);
    /// let fit = Svi::new(&model).steps(200).seed(1).run()?;
    /// fit.save(&path)?;
    /// let loaded = Svi::new(&model).load(&path)?;
    /// assert_eq!(loaded.posterior().mean("fair")?, fit.posterior().mean("fair")?);
    /// // Another 200 steps.
    /// let longer = Svi::new(&model).steps(200).seed(1).resume(&path)?.run()?;
    /// assert_eq!(longer.trainer().steps_taken(), 400);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Trainer::resume`]; if the file was saved by a trainer and not by a fit; or any error from the model or
    /// the guide.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Fit> {
        let (mut training, saved) = self.loaded(path.as_ref())?;
        let posterior = training.posterior_after(saved.ending)?;
        Ok(Fit::new(
            Trained::loaded(saved, training.trainer),
            posterior,
        ))
    }
}

impl<'m> Minimize<'m> {
    /// Minimises the expected cost of a program.
    pub fn new(program: &'m dyn Program) -> Self {
        Self::of(ExpectedCost::new(program))
    }

    /// Trains until the expected cost has settled, or for [`steps`](Self::steps).
    ///
    /// # Errors
    /// If a setting is wrong, or any error from the program.
    pub fn run(mut self) -> Result<Trained> {
        let (history, ending) = self.take_steps()?;
        Ok(Trained::new(history, ending, self.trainer))
    }

    /// Loads the result of a run that was [saved](Trained::save), without training. Settings must be those that it was
    /// trained with.
    ///
    /// # Errors
    /// As for [`Trainer::resume`], or if the file was saved by a trainer and not by a run.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Trained> {
        let (training, saved) = self.loaded(path.as_ref())?;
        Ok(Trained::loaded(saved, training.trainer))
    }
}

impl<O> Configure for Training<O> {
    fn estimation(&mut self) -> &mut Estimation {
        &mut self.trainer.estimation
    }
}

impl<O> ConfigureTraining for Training<O> {
    fn training(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

impl<O: Objective> Training<O> {
    fn of(objective: O) -> Self {
        Self {
            objective,
            trainer: Trainer::new(0),
            steps: None,
            starts: None,
            is_from_a_draw: false,
            progress: true,
            wanted: Wanted::default(),
            hmc: None,
        }
    }

    /// Number of steps of `run`. By default, `run` goes on until the objective has settled, for at most 20,000 steps:
    /// until the mean loss of 250 steps, then of 500 and of 1,000, is no lower than that of those before, at each of
    /// three rates. The first is 0.05 if no optimizer was chosen, each of the others a fifth of the one before. If no
    /// optimizer was chosen, an automatic guide's locations move in units of its own spreads; if moreover all gradients
    /// are pathwise, windows of 100, 200 and 400 steps are enough at the first rate, and of 100 and 200 at the others.
    ///
    /// The parameters of `param!` sites and automatic guides then become their averages over the steps at the last
    /// rate, which the optimizer keeps. An optimizer that keeps averages itself ([`Averaged`](crate::optim::Averaged))
    /// leaves everything it has moved at those, whatever the number of steps; they begin anew with each rate.
    /// [`Trained::ending`] says how the run ended.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Whether `run` shows a progress bar on a terminal; it does by default.
    #[must_use]
    pub fn progress(mut self, visible: bool) -> Self {
        self.progress = visible;
        self
    }

    /// Takes one step, for a loop of your own.
    ///
    /// # Errors
    /// If a setting is wrong, or any error from the programs.
    pub fn step(&mut self) -> Result<StepReport> {
        self.say_what_was_asked();
        self.trainer.step(&self.objective)
    }

    /// Tells the objective whether estimators are to be seen at work.
    pub(super) fn say_what_was_asked(&self) {
        if self.trainer.is_about_draws() {
            let (why, params) = (self.trainer.why_drawn(), self.trainer.params());
            self.objective.expect_draws(why, params);
        }
    }

    /// Continues from a file that a fit or a trainer [saved](Trained::save), bit for bit if the settings and the model
    /// are the same, and from the averages if the fit ended at some. [`steps`](Self::steps) then counts further ones,
    /// and a run without a number of steps begins at its first rate again.
    ///
    /// # Errors
    /// As for [`Trainer::resume`].
    pub fn resume(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.trainer.resume(path)?;
        Ok(self)
    }

    /// Continues with a trainer, such as that of a fit ([`Fit::into_trainer`]), and its settings, in place of those
    /// given before.
    #[must_use]
    pub fn trainer_from(mut self, trainer: Trainer) -> Self {
        self.trainer = trainer;
        self
    }

    /// Loads a saved fit and its ending. One evaluation shows whether the model fits it, and which sites there are.
    fn loaded(mut self, path: &Path) -> Result<(Self, SavedEnding)> {
        let saved = self.trainer.load(path)?;
        let key = Key::new(self.trainer.estimation.seed);
        self.say_what_was_asked();
        // Training has not given up what this evaluation may.
        let given_up = self.trainer.params().given_up();
        self.trainer.gradients(&self.objective, key)?;
        self.trainer.params().set_given_up(given_up);
        Ok((self, saved))
    }

    /// The trainer: parameters, optimizer, plan.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

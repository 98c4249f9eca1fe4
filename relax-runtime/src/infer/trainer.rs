//! The trainer: estimates gradients of an objective, site by site, and follows them.

use super::checkpoint::SavedRecord;
use super::joint::Joint;
use super::record::Recorder;
use super::recording::Recording;
use super::sites::Sites;
use crate::error::{Error, Result};
use crate::estimator::{IntoEstimator, Plan};
use crate::model::ParamStore;
use crate::optim::{Optimizer, Rule};
use crate::report::Ledger;
use crate::tensor::Parameter;

/// Minimises objectives: holds the parameters, the optimiser, and what each site's estimator has
/// learned. For a loop of one's own over minibatches, give every step its objective:
///
/// ```ignore
/// let mut trainer = Trainer::new(1).with_optimizer(Adam::new(1e-3))?;
/// for batch in batches {
///     let report = trainer.step(&Elbo::new(&decoder(&batch, &p)).guide(&encoder(&batch, &q)))?;
/// }
/// ```
#[derive(Debug)]
pub struct Trainer {
    pub(super) seed: u64,
    pub(super) particles: usize,
    pub(super) params: ParamStore,
    pub(super) optimizer: Optimizer,
    pub(super) sites: Sites,
    pub(super) joint: Joint,
    pub(super) step: u64,
    /// Parameters of the user's layers that checkpoints hold.
    pub(super) layers: Vec<Parameter>,
    pub(super) recorder: Option<Recorder>,
    /// What a resumed training had recorded, kept where this one records nothing.
    pub(super) past_record: Option<SavedRecord>,
}

impl Trainer {
    /// A trainer with Adam at rate 0.01, one particle, and estimators by plan; `seed` fixes all
    /// random numbers.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            particles: 1,
            params: ParamStore::default(),
            optimizer: Optimizer::default(),
            sites: Sites::default(),
            joint: Joint::default(),
            step: 0,
            layers: Vec::new(),
            recorder: None,
            past_record: None,
        }
    }

    /// Another seed of all random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How parameters follow their gradients. What the rule before remembered, also from a
    /// checkpoint, is forgotten.
    ///
    /// # Errors
    /// If the rule's settings make no sense, such as a learning rate that is NaN.
    pub fn with_optimizer(mut self, rule: impl Rule + 'static) -> Result<Self> {
        self.optimizer = Optimizer::new(rule)?;
        Ok(self)
    }

    /// Draws a step; the gradient is their average.
    ///
    /// # Errors
    /// If there are none.
    pub fn with_particles(mut self, particles: usize) -> Result<Self> {
        if particles == 0 {
            let problem = "is 0; give at least one".into();
            return Err(Error::Config {
                setting: "particles",
                problem,
            });
        }
        self.particles = particles;
        Ok(self)
    }

    /// The estimator of every discrete site.
    #[must_use]
    pub fn with_estimator(mut self, estimator: impl IntoEstimator) -> Self {
        self.sites.ask(estimator.into_estimator());
        self
    }

    /// The estimator of one site, or of all sites of a loop under the name without indices.
    #[must_use]
    pub fn with_site_estimator(mut self, site: &str, estimator: impl IntoEstimator) -> Self {
        self.sites.ask_at(site, estimator.into_estimator());
        self
    }

    /// Lets the plan choose, of all that is valid and unbiased, an estimator that takes at most
    /// `evaluations` evaluations of the cost for one estimate of a site, the draw's own included: an
    /// exact one where there is one, else the one of least variance × time in a race of 160 draws
    /// before the site's first estimate, in which times are [stated](crate::estimator::Estimator::time)
    /// so that the choice follows from the seed. Estimators that were asked for stay. Where all
    /// choices are discrete and have at most so many combinations together, each step runs all of
    /// them and is exact.
    ///
    /// # Errors
    /// If it is 0: the draw itself is an evaluation.
    pub fn with_budget(mut self, evaluations: usize) -> Result<Self> {
        check_budget(evaluations)?;
        self.sites.allow(evaluations);
        Ok(self)
    }

    /// The same for one site, or for all sites of a loop under the name without indices.
    ///
    /// # Errors
    /// As [`with_budget`](Self::with_budget).
    pub fn with_site_budget(mut self, site: &str, evaluations: usize) -> Result<Self> {
        check_budget(evaluations)?;
        self.sites.allow_at(site, evaluations);
        Ok(self)
    }

    /// Records a variance ledger beside training, which it leaves as it is, bit for bit. Checkpoints
    /// hold it, with what its rivals have learned.
    #[must_use]
    pub fn with_ledger(mut self, recording: Recording) -> Self {
        let mut recorder = Recorder::new(recording);
        if let Some(past) = self.past_record.take() {
            recorder.restore(past);
        }
        self.recorder = Some(recorder);
        self
    }

    /// The ledger so far, if there is one.
    pub fn ledger(&self) -> Option<&Ledger> {
        let past = self.past_record.as_ref().map(|record| &record.ledger);
        let now = self.recorder.as_ref().map(|recorder| &recorder.ledger);
        now.or(past)
    }

    /// Parameters of layers, each with a name of its own, that checkpoints are to hold: all that the
    /// objectives train. One that several layers share may come several times.
    #[must_use]
    pub fn with_layers(mut self, parameters: Vec<Parameter>) -> Self {
        for parameter in parameters {
            if self
                .layers
                .iter()
                .all(|known| known.key() != parameter.key())
            {
                self.layers.push(parameter);
            }
        }
        self
    }

    /// The seed of all random numbers.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The parameters of `param!` sites and automatic guides.
    pub fn params(&self) -> &ParamStore {
        &self.params
    }

    /// The optimiser.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Which estimator each site got, and why: sites met so far, in the order they were met.
    pub fn plan(&self) -> Plan {
        self.sites.plan()
    }

    /// Checks that every site that was given an estimator has been met.
    ///
    /// # Errors
    /// [`Error::UnknownSite`], listing the sites that exist.
    pub fn check_site_estimators(&self) -> Result<()> {
        self.sites.check_asked()
    }
}

fn check_budget(evaluations: usize) -> Result<()> {
    if evaluations > 0 {
        return Ok(());
    }
    Err(Error::Config {
        setting: "budget",
        problem: "is 0, but the draw itself is an evaluation; give at least 1".into(),
    })
}

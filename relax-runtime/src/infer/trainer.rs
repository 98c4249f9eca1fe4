//! The trainer: estimates gradients of an objective, site by site, and follows them.

use std::rc::Rc;

use smallvec::SmallVec;

use super::checkpoint::SavedRecord;
use super::cost_to_go::Work;
use super::joint::Joint;
use super::objective::Objective;
use super::pass::{Mode, Pass};
use super::record::{Moment, Recorder, Recording};
use super::site_estimate::{SiteEstimate, add_up};
use super::sites::Sites;
use crate::dist::Number;
use crate::error::{Error, Result};
use crate::estimator::{IntoEstimator, Plan};
use crate::model::ParamStore;
use crate::optim::{Optimizer, Rule};
use crate::random::Key;
use crate::report::{Ledger, SiteReport, StepReport};
use crate::tensor::{Parameter, Tensor, grad_parameters_around};

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
    particles: usize,
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

/// An estimate of an objective and its gradient.
#[derive(Debug)]
pub struct Gradients {
    /// The estimated objective.
    pub loss: f64,
    /// The gradient by every parameter that the objective depends on.
    pub parameters: Vec<(Parameter, Tensor)>,
    /// What was measured at each site.
    pub sites: Vec<SiteReport>,
    /// Evaluations of the cost for the gradient, relaxed ones included; the passes that train
    /// surrogates are not counted.
    pub evaluations: usize,
}

/// An estimate from one draw of everything.
pub(super) struct Particle {
    pub(super) loss: f64,
    pub(super) parameters: Vec<(Parameter, Tensor)>,
    /// One for each draw of a site: a bound of several samples draws it several times.
    pub(super) sites: Vec<SiteEstimate>,
    evaluations: usize,
    /// What was drawn.
    pub(super) pass: Rc<Pass>,
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

    /// How parameters follow their gradients.
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

    /// Lets the plan choose, of all that is valid and unbiased, the estimator of least variance that
    /// takes at most `evaluations` evaluations of the cost for one estimate of a site, the draw's
    /// own included. Estimators that were asked for stay. Where all choices are discrete and have at
    /// most so many combinations together, each step runs all of them and is exact.
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

    /// Parameters of layers, each with a name of its own, that checkpoints are to hold.
    #[must_use]
    pub fn with_layers(mut self, parameters: Vec<Parameter>) -> Self {
        self.layers.extend(parameters);
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

    /// One optimisation step.
    ///
    /// # Errors
    /// Whatever goes wrong in the objective; [`Error::NotFinite`] if the loss or a gradient is not
    /// finite. No parameter has been moved then, though surrogates may have learned from the step.
    pub fn step(&mut self, objective: &dyn Objective) -> Result<StepReport> {
        let key = Key {
            seed: self.seed,
            step: self.step,
            particle: 0,
        };
        let Gradients {
            loss,
            parameters,
            sites,
            evaluations,
        } = self.estimate(objective, key, true)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&Moment {
                objective,
                params: &self.params,
                sites: &self.sites,
                seed: self.seed,
                step: self.step,
                particles: self.particles,
            });
        }
        self.optimizer.update(&parameters)?;
        let report = StepReport {
            step: self.step,
            loss,
            sites,
            evaluations,
        };
        self.step += 1;
        Ok(report)
    }

    /// Estimates the objective and its gradient with the random numbers of `key`, without moving
    /// any parameter; surrogates and baselines stay as they are, too.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn gradients(&mut self, objective: &dyn Objective, key: Key) -> Result<Gradients> {
        self.estimate(objective, key, false)
    }

    fn estimate(&mut self, objective: &dyn Objective, key: Key, learn: bool) -> Result<Gradients> {
        let mut first = self.meet(objective, key)?;
        if let Some(exact) =
            self.joint
                .gradients(objective, &self.params, &mut self.sites, self.step)?
        {
            return Ok(exact);
        }
        let mut particle = |trainer: &mut Self, key| match first.take() {
            Some(pass) => trainer.estimate_pass(objective, key, pass, learn),
            None => trainer.estimate_particle(objective, key, learn),
        };
        if self.particles == 1 {
            let one = particle(self, key)?;
            return Ok(Gradients {
                loss: one.loss,
                parameters: one.parameters,
                sites: self.sites.reports(one.pass.by_site(one.sites), 1.0, learn),
                evaluations: one.evaluations,
            });
        }
        let mut sum: Vec<(Parameter, Tensor)> = Vec::new();
        let (mut loss, mut evaluations) = (0.0, 0);
        let mut estimates: Vec<SiteEstimate> = Vec::new();
        let share = 1.0 / self.particles as f64;
        for number in 0..self.particles as u64 {
            let particle_key = Key {
                particle: number,
                ..key
            };
            let one = particle(self, particle_key)?;
            loss += share * one.loss;
            for (parameter, gradient) in one.parameters {
                let gradient = gradient * share as f32;
                match sum.iter_mut().find(|(p, _)| p.key() == parameter.key()) {
                    Some((_, total)) => *total = &*total + gradient,
                    None => sum.push((parameter, gradient)),
                }
            }
            evaluations += one.evaluations;
            for estimate in one.pass.by_site(one.sites) {
                add_up(&mut estimates, Some(estimate));
            }
        }
        let sites = self.sites.reports(estimates, share, learn);
        Ok(Gradients {
            loss,
            parameters: sum,
            sites,
            evaluations,
        })
    }

    /// Before any site has been met: draws everything once to see what there is.
    fn meet(&mut self, objective: &dyn Objective, key: Key) -> Result<Option<Pass>> {
        if !self.sites.is_empty() {
            return Ok(None);
        }
        let pass = objective.evaluate(key, &self.params, &Mode::Draw)?;
        self.sites.meet(&pass)?;
        Ok(Some(pass))
    }

    /// An estimate from the draw of `key` alone.
    pub(super) fn estimate_particle(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        learn: bool,
    ) -> Result<Particle> {
        let pass = objective.evaluate(key, &self.params, &Mode::Draw)?;
        self.estimate_pass(objective, key, pass, learn)
    }

    /// An estimate from what the draw of `key` has come to.
    fn estimate_pass(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        pass: Pass,
        learn: bool,
    ) -> Result<Particle> {
        let pass = Rc::new(pass);
        let loss = pass.finite_total(self.step)?;
        let mut evaluations = pass.draws_of_everything();
        let mut sites: Vec<SiteEstimate> = Vec::with_capacity(pass.latents.len());
        for (place, latent) in pass.latents.iter().enumerate() {
            let work = Work {
                objective,
                pass: &pass,
                place,
                latent,
                key,
                seed: self.seed,
            };
            if let Some(estimate) = self.sites.estimate(&work, &self.params, learn)? {
                evaluations += estimate.evaluations;
                sites.push(estimate);
            }
        }
        Ok(Particle {
            loss,
            parameters: differentiate(&pass, &sites)?,
            sites,
            evaluations,
            pass,
        })
    }
}

/// The gradient by every parameter: what the estimates say of the choices, and the direct
/// derivatives of the terms.
fn differentiate(pass: &Pass, sites: &[SiteEstimate]) -> Result<Vec<(Parameter, Tensor)>> {
    let mut cotangents: SmallVec<[(Tensor, Option<Tensor>); 4]> = SmallVec::new();
    // Draws whose whole effect an estimate covers: a continuous one is differentiable in its
    // parameters, and a reverse pass through it would count the effect a second time.
    let mut estimated_draws: SmallVec<[&Tensor; 4]> = SmallVec::new();
    for estimate in sites {
        let latent = &pass.latents[estimate.place];
        let parameters = latent.law.parameters();
        for (parameter, gradient) in parameters.into_iter().zip(&estimate.gradients) {
            cotangents.push((parameter, Some(scaled(gradient, latent.scale))));
        }
        estimated_draws.push(&latent.value);
    }
    for term in &pass.terms {
        if let Number::Tensor(t) = &term.value
            && t.is_tracked()
        {
            // Ones need not be told.
            let scale = (term.scale != 1.0).then(|| t.full_like(term.scale as f32));
            cotangents.push((t.clone(), scale));
        }
    }
    let outputs: SmallVec<[(&Tensor, Option<&Tensor>); 4]> = cotangents
        .iter()
        .map(|(output, cotangent)| (output, cotangent.as_ref()))
        .collect();
    grad_parameters_around(&outputs, &estimated_draws)
}

fn scaled(gradient: &Tensor, scale: f64) -> Tensor {
    if scale == 1.0 {
        gradient.clone()
    } else {
        gradient * scale as f32
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

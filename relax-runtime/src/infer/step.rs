//! A step of training: estimates of an objective and its gradient, from one draw of everything or
//! several.

use std::rc::Rc;

use smallvec::SmallVec;

use super::cost_to_go::Work;
use super::objective::Objective;
use super::pass::{Mode, Pass};
use super::record::Moment;
use super::site_estimate::{Estimates, SiteEstimate};
use super::slopes::{Slopes, each_tracked_term};
use super::survey::Survey;
use super::trainer::Trainer;
use crate::error::Result;
use crate::random::Key;
use crate::report::{SiteReport, StepReport};
use crate::tensor::{Parameter, Tensor, by_parameter, grad_parameters_around};

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
    /// surrogates, give first estimates a baseline, or decide between estimators are not counted.
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
    /// One optimisation step.
    ///
    /// # Errors
    /// Whatever goes wrong in the objective; [`Error::NotFinite`](crate::Error::NotFinite) if the
    /// loss or a gradient is not finite. No parameter has been moved then, though surrogates may
    /// have learned from the step.
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
        let gradients = self.estimate_all(objective, key, learn)?;
        self.params.check_restored()?;
        Ok(gradients)
    }

    fn estimate_all(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        learn: bool,
    ) -> Result<Gradients> {
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
        let mut parameters: Vec<(Parameter, Tensor)> = Vec::new();
        let (mut loss, mut evaluations) = (0.0, 0);
        let mut estimates = Estimates::default();
        let share = 1.0 / self.particles as f64;
        for number in 0..self.particles as u64 {
            let particle_key = Key {
                particle: number,
                ..key
            };
            let one = particle(self, particle_key)?;
            loss += share * one.loss;
            let shares = one.parameters.into_iter();
            let shares = shares.map(|(parameter, gradient)| (parameter, gradient * share as f32));
            parameters = by_parameter(parameters.into_iter().chain(shares));
            evaluations += one.evaluations;
            let estimated = one.pass.by_site(one.sites).into_iter();
            estimated.for_each(|estimate| estimates.add(estimate));
        }
        let sites = self.sites.reports(estimates.by_site(), share, learn);
        Ok(Gradients {
            loss,
            parameters,
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
        // Leaves are for estimators that ask for them.
        Ok((!self.sites.need_slopes()).then_some(pass))
    }

    /// An estimate from the draw of `key` alone.
    pub(super) fn estimate_particle(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        learn: bool,
    ) -> Result<Particle> {
        let mode = match self.sites.need_slopes() {
            true => Mode::DrawLeaves,
            false => Mode::Draw,
        };
        let pass = objective.evaluate(key, &self.params, &mode)?;
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
        let slopes = match self.sites.need_slopes() {
            true => {
                self.sites.meet(&pass)?;
                Slopes::of(&pass, &self.sites.estimated(&pass))?
            }
            false => None,
        };
        let survey = Survey::new(&pass);
        let mut sites: Vec<SiteEstimate> = Vec::with_capacity(pass.latents.len());
        for (place, latent) in pass.latents.iter().enumerate() {
            let work = Work {
                objective,
                pass: &pass,
                survey: &survey,
                place,
                latent,
                slopes: slopes.as_ref(),
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
            parameters: differentiate(&pass, &sites, slopes)?,
            sites,
            evaluations,
            pass,
        })
    }
}

/// The gradient by every parameter: what the estimates say of the choices, and the direct
/// derivatives of the terms, which may be known.
fn differentiate(
    pass: &Pass,
    sites: &[SiteEstimate],
    slopes: Option<Slopes>,
) -> Result<Vec<(Parameter, Tensor)>> {
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
        if latent.value.is_tracked() {
            estimated_draws.push(&latent.value);
        }
    }
    if slopes.is_none() {
        each_tracked_term(pass, |term, scale| cotangents.push((term.clone(), scale)));
    }
    let outputs: SmallVec<[(&Tensor, Option<&Tensor>); 4]> = cotangents
        .iter()
        .map(|(output, cotangent)| (output, cotangent.as_ref()))
        .collect();
    let gradients = grad_parameters_around(&outputs, &estimated_draws)?;
    Ok(match slopes {
        None => gradients,
        Some(slopes) => by_parameter(gradients.into_iter().chain(slopes.direct)),
    })
}

fn scaled(gradient: &Tensor, scale: f64) -> Tensor {
    if scale == 1.0 {
        gradient.clone()
    } else {
        gradient * scale as f32
    }
}

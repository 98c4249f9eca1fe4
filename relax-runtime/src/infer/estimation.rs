//! Estimates of an objective and its gradient, from one or several draws of everything: what a training step follows,
//! and what checks look at.

use std::rc::Rc;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::estimator::{Plan, PlanEntry};
use crate::infer::exact::joint::JointSum;
use crate::infer::gradients::Gradients;
use crate::infer::guide::Guided;
use crate::infer::guide::structure::Structure;
use crate::infer::marginal::{Costly, SummedSites};
use crate::infer::objective::Objective;
use crate::infer::pass::memory;
use crate::infer::pass::slopes::{Slopes, each_tracked_term};
use crate::infer::pass::survey::Survey;
use crate::infer::pass::{Mode, Pass};
use crate::infer::sites::Sites;
use crate::infer::sites::apart::RowsApart;
use crate::infer::sites::cost_to_go::Work;
use crate::infer::sites::estimate::{Estimates, SiteEstimate, joined};
use crate::model::ParamStore;
use crate::random::Key;
use crate::tensor::{Parameter, Tensor, by_parameter, grad_parameters_around};

/// An estimate from one draw of everything.
pub(in crate::infer) struct Particle {
    pub(in crate::infer) loss: f64,
    pub(in crate::infer) parameters: Vec<(Parameter, Tensor)>,
    /// One for each draw of a site: a bound of several samples draws it several times.
    pub(in crate::infer) sites: Vec<SiteEstimate>,
    evaluations: usize,
    /// What was drawn.
    pub(in crate::infer) pass: Rc<Pass>,
}

/// Estimates gradients: holds the parameters, the state of each site's estimator, and what was asked for. Moves no
/// parameter.
#[derive(Debug)]
pub struct Estimation {
    pub(super) seed: u64,
    pub(super) particles: usize,
    pub(super) params: ParamStore,
    pub(super) sites: Sites,
    pub(super) joint: JointSum,
    rows_apart: RowsApart,
    /// The first invalid setting.
    wrong: Option<Error>,
}

impl Estimation {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            particles: 1,
            params: ParamStore::default(),
            sites: Sites::default(),
            joint: JointSum::default(),
            rows_apart: RowsApart::default(),
            wrong: None,
        }
    }

    /// Takes a setting, whose error shows at the first estimate.
    pub(super) fn take(&mut self, setting: Result<()>) {
        if let (None, Err(error)) = (&self.wrong, setting) {
            self.wrong = Some(error);
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If a setting is invalid.
    pub(super) fn check_settings(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// Which estimator each site got, and why, and what its automatic guide follows.
    pub(super) fn plan(&self) -> Plan {
        let structures = self.params.notes::<Structure>();
        let guided = self.params.notes::<Guided>();
        let mut plan = self.sites.plan();
        let drawn: FxHashSet<String> = plan.entries.iter().map(|e| e.site.clone()).collect();
        for summed in self.params.notes::<SummedSites>() {
            summed.each(|site| {
                // Choices are drawn once their sum could not be taken.
                if drawn.contains(site.name) {
                    return;
                }
                let (name, distribution, runs) = (site.name, site.distribution, site.runs);
                plan.entries.push(match site.has_nodes {
                    true => PlanEntry::integrated_out(name, distribution, runs),
                    false => PlanEntry::summed_out(name, distribution, runs, site.rests_on_runs),
                });
            });
        }
        if self.sites.draw_choices() {
            let costly = self.params.notes::<Costly>();
            let finite = self.sites.draw_finite_choices();
            let applies = |why: &&Rc<Costly>| finite || !matches!(***why, Costly::Asked(_));
            let remarks = costly.iter().filter(applies);
            plan.remarks.extend(remarks.filter_map(|why| why.words()));
        }
        if let Some(asked) = self.sites.asked.everywhere()
            && !plan.entries.is_empty()
            && plan
                .entries
                .iter()
                .all(|entry| entry.estimator != asked.name())
        {
            plan.remarks.push(format!(
                "`{}` was asked for, for discrete choices, but none has it: `site_estimator` asks for one at any site",
                asked.name()
            ));
        }
        for entry in &mut plan.entries {
            let own = guided.iter().find_map(|all| all.words(&entry.site));
            let mut known = structures.iter();
            let alone = || known.find_map(|structure| structure.words(&entry.site));
            entry.follows = own.or_else(alone);
        }
        plan
    }

    /// The objective and its gradient with the random numbers of `key`; estimators learn from it if asked to.
    ///
    /// # Errors
    /// If a setting is invalid, any error from the objective, or [`Error::NotFinite`] if it is not finite.
    /// [`Error::NotFinite`] if it is not finite.
    pub(super) fn estimate(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        learn: bool,
    ) -> Result<Gradients> {
        self.check_settings()?;
        let params = self.params.clone();
        let gradients = params.beside_data(|| self.estimate_all(objective, key, learn))?;
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
                .gradients(objective, &self.params, &mut self.sites, key.step)?
        {
            return Ok(exact);
        }
        let mut particle = |estimation: &mut Self, key| match first.take() {
            Some(pass) => estimation.estimate_pass(objective, key, pass, learn),
            None => estimation.estimate_particle(objective, key, learn),
        };
        if self.particles == 1 {
            let one = particle(self, key)?;
            let estimates = by_site(&one.pass, one.sites);
            memory::end(one.pass);
            return Ok(Gradients {
                loss: one.loss,
                parameters: one.parameters,
                sites: self.sites.reports(estimates, 1.0, learn),
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
            let estimated = by_site(&one.pass, one.sites).into_iter();
            estimated.for_each(|estimate| estimates.add(estimate));
            memory::end(one.pass);
        }
        let sites = self.sites.reports(estimates.by_site(), share, learn);
        Ok(Gradients {
            loss,
            parameters,
            sites,
            evaluations,
        })
    }

    /// Before any site has been met: draws everything once to see which sites there are.
    fn meet(&mut self, objective: &dyn Objective, key: Key) -> Result<Option<Pass>> {
        if !self.sites.is_empty() {
            return Ok(None);
        }
        let pass = objective.evaluate(key, &self.params, &Mode::Draw)?;
        self.sites.meet(&pass)?;
        self.rows_apart
            .expect(objective, &self.sites, &self.params, &pass, key)?;
        // Leaves are for estimators that ask for them.
        Ok((!self.sites.need_slopes()).then_some(pass))
    }

    /// An estimate from the draw of `key` alone.
    pub(in crate::infer) fn estimate_particle(
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

    /// An estimate from the evaluation of the draw of `key`.
    fn estimate_pass(
        &mut self,
        objective: &dyn Objective,
        key: Key,
        pass: Pass,
        learn: bool,
    ) -> Result<Particle> {
        let pass = Rc::new(pass);
        let loss = pass.finite_total(key.step)?;
        self.rows_apart
            .expect(objective, &self.sites, &self.params, &pass, key)?;
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

/// The gradient by every parameter: the estimates at the choices, and the direct derivatives of the terms, if not
/// already known.
fn differentiate(
    pass: &Pass,
    sites: &[SiteEstimate],
    slopes: Option<Slopes>,
) -> Result<Vec<(Parameter, Tensor)>> {
    let mut cotangents: SmallVec<[(Tensor, Option<Tensor>); 4]> =
        SmallVec::with_capacity(sites.len());
    // Draws whose whole effect is covered by an estimate: a continuous one is differentiable in its parameters, and a
    // reverse pass through it would count the effect twice.
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

/// One estimate per site: a bound draws its sites once per sample.
fn by_site(pass: &Pass, estimates: Vec<SiteEstimate>) -> Vec<SiteEstimate> {
    match pass.samples {
        None => estimates,
        Some(_) => joined(estimates),
    }
}

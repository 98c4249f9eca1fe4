//! Measurements during training: the variance ledger, and rival estimators on the same draws.
//!
//! Nothing here affects training. Every random number is a function of its key, so the recorder repeats the training's
//! draws instead of sharing them, and its own draws have keys that training never uses; parameters that a draw creates
//! go into a fork of the store.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::recording::Recording;
use crate::error::{Error, Result};
use crate::estimator::validity;
use crate::infer::checkpoint::SavedRecord;
use crate::infer::estimation::Estimation;
use crate::infer::floors::Floors;
use crate::infer::objective::Objective;
use crate::infer::pass::slopes::Slopes;
use crate::infer::pass::survey::Survey;
use crate::infer::pass::{Mode, Pass};
use crate::infer::sites::Sites;
use crate::infer::sites::columns::Columns;
use crate::infer::sites::cost_to_go::Work;
use crate::infer::sites::estimate::{Estimates, joined};
use crate::infer::sites::site::TrainedSite;
use crate::model::ParamStore;
use crate::random::Key;
use crate::report::{Ledger, LedgerEntry, LedgerFailure};

/// A step of training, before its update.
pub(in crate::infer) struct Moment<'a> {
    pub(in crate::infer) objective: &'a dyn Objective,
    pub(in crate::infer) estimation: &'a Estimation,
    pub(in crate::infer) step: u64,
}

/// Records a ledger during training.
#[derive(Debug)]
pub(in crate::infer) struct LedgerRecorder {
    recording: Recording,
    /// The sites of each rival.
    rivals: Vec<Sites>,
    pub(in crate::infer) ledger: Ledger,
}

/// Bit of a key's particle that training never sets, low enough to remain where a bound numbers the
/// samples of all particles.
const FRESH: u64 = 1 << 32;

impl LedgerRecorder {
    pub(in crate::infer) fn new(recording: Recording) -> Self {
        Self {
            rivals: recording.rivals.iter().map(|_| Sites::default()).collect(),
            recording,
            ledger: Ledger::default(),
        }
    }

    /// The ledger, and what the rivals have learned.
    pub(in crate::infer) fn save(&self) -> Result<SavedRecord> {
        let rivals = self.recording.rivals.iter().zip(&self.rivals);
        let rivals = rivals.map(|(rival, sites)| Ok((rival.name().to_owned(), sites.save()?)));
        Ok(SavedRecord {
            ledger: self.ledger.clone(),
            rivals: rivals.collect::<Result<_>>()?,
        })
    }

    /// Continues from saved state: the ledger, and those rivals that still race.
    pub(in crate::infer) fn restore(&mut self, mut saved: SavedRecord) {
        self.ledger = saved.ledger;
        for (rival, sites) in self.recording.rivals.iter().zip(&mut self.rivals) {
            let mut names = saved.rivals.iter().map(|(name, _)| name);
            let known = names.position(|name| name == rival.name());
            let learned = known.map(|place| saved.rivals.remove(place).1);
            sites.restore(learned.unwrap_or_default());
        }
    }

    /// Lets rivals learn, and makes entries at the recording's interval. Errors become failures in the ledger:
    /// measuring must not stop training.
    pub(in crate::infer) fn record(&mut self, moment: &Moment<'_>) {
        let params = moment.estimation.params.fork();
        if !self.rivals.is_empty() {
            self.race(moment, &params);
        }
        if moment.step.is_multiple_of(self.recording.every) {
            self.write(moment, &params);
        }
    }

    /// Shows the rivals the draws of the step.
    fn race(&mut self, moment: &Moment<'_>, params: &ParamStore) {
        let mut estimates: Vec<Estimates> = Vec::new();
        estimates.resize_with(self.rivals.len(), Estimates::default);
        let slopes = self.recording.rivals.iter().any(|r| r.needs_slope());
        let failures = &mut self.ledger.failures;
        for particle in 0..moment.estimation.particles as u64 {
            let draw = match FreshDraw::new(moment, params, particle, slopes) {
                Ok(draw) => draw,
                Err(error) => return note(failures, moment.step, None, &error),
            };
            let survey = Survey::new(&draw.pass);
            for place in 0..draw.pass.latents.len() {
                let work = draw.work(place, &survey);
                let Some(site) = moment.estimation.sites.get(&work.latent.name) else {
                    continue;
                };
                let rivals = self.recording.rivals.iter().zip(&mut self.rivals);
                for ((rival, sites), all) in rivals.zip(&mut estimates) {
                    let name = &work.latent.name;
                    if validity(&**rival, site.class).is_err()
                        || has_failed(failures, name, rival.name())
                    {
                        continue;
                    }
                    sites.asked.estimate_site_by(name, Rc::clone(rival));
                    match sites.estimate(&work, params, true) {
                        Ok(estimate) => estimate.into_iter().for_each(|estimate| all.add(estimate)),
                        Err(error) => {
                            let of = Some((&**name, rival.name()));
                            note(failures, moment.step, of, &error);
                        }
                    }
                }
            }
        }
        let share = 1.0 / moment.estimation.particles as f64;
        for (sites, estimates) in self.rivals.iter_mut().zip(estimates) {
            sites.reports(estimates.by_site(), share, true);
        }
    }

    /// Measures with fresh draws, and makes the entries of a step.
    fn write(&mut self, moment: &Moment<'_>, params: &ParamStore) {
        let lanes: Vec<&Sites> = std::iter::once(&moment.estimation.sites)
            .chain(&self.rivals)
            .collect();
        let slopes = lanes.iter().any(|sites| sites.need_slopes());
        let failures = &mut self.ledger.failures;
        let mut spreads: BTreeMap<(usize, String), Spread> = BTreeMap::new();
        let floors = self.recording.floors;
        let mut floors = floors.map(|largest| Floors::new(moment.objective, params, largest));
        for fresh in 0..self.recording.fresh {
            let draw = match FreshDraw::new(moment, params, FRESH | fresh, slopes) {
                Ok(draw) => draw,
                Err(error) => {
                    note(failures, moment.step, None, &error);
                    continue;
                }
            };
            draw.measure(&lanes, params, &mut spreads, failures);
            if let Some(Ok(floors)) = &mut floors
                && let Err(error) = draw.see_floors(floors, params)
            {
                note(failures, moment.step, None, &error);
            }
        }
        let floors = floors.and_then(|found| {
            let failed = |error| note(failures, moment.step, None, &error);
            found.map_err(failed).ok()
        });
        for name in moment.estimation.sites.names() {
            for (lane, sites) in lanes.iter().enumerate() {
                let Some(site) = sites
                    .get(name)
                    .filter(|site| lane == 0 || !has_failed(failures, name, site.estimator.name()))
                else {
                    continue;
                };
                if let (0, Some(combinations)) = (lane, sites.combinations()) {
                    self.ledger.entries.push(LedgerEntry {
                        floor_note: floors.as_ref().map(|_| Cow::from(SUMMED_OVER)),
                        ..exact_entry(moment.step, name, site, combinations)
                    });
                    continue;
                }
                if !site.has_learned() {
                    continue;
                }
                let spread = spreads.get(&(lane, name.clone()));
                let relaxed = site.eta_and_temperature().ok().flatten();
                let particles = moment.estimation.particles;
                let share = 1.0 / particles as f64;
                let floor = floors.as_ref().map(|all| all.of(name, site, particles));
                let floor = floor.unwrap_or_default();
                self.ledger.entries.push(LedgerEntry {
                    step: moment.step,
                    site: name.clone(),
                    estimator: site.estimator.name().into(),
                    rival: lane > 0,
                    running_variance: site.running_variance(),
                    fresh_variance: spread
                        .and_then(|spread| spread.gradient.variance())
                        .map(|variance| variance * share),
                    fit: spread.and_then(Spread::fit),
                    eta: relaxed.map(|(eta, _)| eta),
                    temperature: relaxed.map(|(_, temperature)| temperature),
                    evaluations: spread.map(|spread| spread.evaluations),
                    fresh_error: spread
                        .and_then(|spread| spread.gradient.variance_error())
                        .map(|error| error * share),
                    floor: floor.value,
                    floor_error: floor.error,
                    floor_note: floor.note,
                });
            }
        }
    }
}

/// Adds a failure, one per step, site and estimator.
fn note(
    failures: &mut Vec<LedgerFailure>,
    step: u64,
    of: Option<(&str, &'static str)>,
    error: &Error,
) {
    let failure = LedgerFailure {
        step,
        site: of.map(|(site, _)| site.to_owned()),
        estimator: of.map(|(_, estimator)| estimator.into()),
        problem: error.to_string(),
    };
    let mut of_step = failures.iter().rev().take_while(|other| other.step == step);
    let known = |other: &LedgerFailure| {
        (&other.site, &other.estimator) == (&failure.site, &failure.estimator)
    };
    if !of_step.any(known) {
        failures.push(failure);
    }
}

fn has_failed(failures: &[LedgerFailure], site: &str, estimator: &str) -> bool {
    failures.iter().any(|failure| {
        failure.site.as_deref() == Some(site) && failure.estimator.as_deref() == Some(estimator)
    })
}

/// Why a site has no floor that training sums over jointly with all others.
const SUMMED_OVER: &str = "no floor: the sum over all choices does not vary";

/// The entry of a site that training sums over jointly with all others.
fn exact_entry(step: u64, name: &str, site: &TrainedSite, combinations: usize) -> LedgerEntry {
    LedgerEntry {
        step,
        site: name.to_owned(),
        estimator: site.estimator.name().into(),
        rival: false,
        running_variance: 0.0,
        fresh_variance: Some(0.0),
        fit: None,
        eta: None,
        temperature: None,
        evaluations: Some(combinations),
        fresh_error: None,
        floor: None,
        floor_error: None,
        floor_note: None,
    }
}

/// One evaluation outside training.
struct FreshDraw<'a> {
    moment: &'a Moment<'a>,
    key: Key,
    pass: Rc<Pass>,
    slopes: Option<Slopes>,
}

impl<'a> FreshDraw<'a> {
    /// With slopes at the draws if an estimator asks for them.
    fn new(
        moment: &'a Moment<'a>,
        params: &ParamStore,
        particle: u64,
        slopes: bool,
    ) -> Result<Self> {
        let key = Key {
            seed: moment.estimation.seed,
            step: moment.step,
            particle,
        };
        let mode = if slopes { Mode::DrawLeaves } else { Mode::Draw };
        let pass = moment.objective.evaluate(key, params, &mode)?;
        let slopes = match slopes {
            true => Slopes::of(&pass, &moment.estimation.sites.estimated(&pass))?,
            false => None,
        };
        Ok(Self {
            moment,
            key,
            pass: Rc::new(pass),
            slopes,
        })
    }

    /// Adds the estimates of each lane's estimators for the draw.
    fn measure(
        &self,
        lanes: &[&Sites],
        params: &ParamStore,
        spreads: &mut BTreeMap<(usize, String), Spread>,
        failures: &mut Vec<LedgerFailure>,
    ) {
        let survey = Survey::new(&self.pass);
        for (lane, sites) in lanes.iter().enumerate() {
            let mut estimates = Vec::new();
            for place in 0..self.pass.latents.len() {
                let work = self.work(place, &survey);
                let name = &work.latent.name;
                let Some(site) = sites
                    .get(name)
                    .filter(|site| lane == 0 || !has_failed(failures, name, site.estimator.name()))
                else {
                    continue;
                };
                let found = site.peek(&work, params).and_then(|estimate| {
                    let fit = site.cost_and_surrogate(&work, params)?;
                    Ok(estimate.map(|estimate| (estimate, fit)))
                });
                match found {
                    Ok(None) => {}
                    Ok(Some((estimate, fit))) => {
                        let spread = spreads.entry((lane, name.to_string())).or_default();
                        spread.add_fit(fit);
                        estimates.push(estimate);
                    }
                    Err(error) => {
                        let of = Some((&**name, site.estimator.name()));
                        let error = work.latent.locate(error);
                        note(failures, self.moment.step, of, &error);
                    }
                }
            }
            for estimate in joined(estimates) {
                let key = (lane, estimate.name.to_string());
                let evaluations = self.pass.draws_of_everything() + estimate.evaluations;
                let spread = spreads.entry(key).or_default();
                spread.add(&estimate.summed, evaluations);
            }
        }
    }

    /// Adds what the draw shows of the sites' floors.
    fn see_floors(&self, floors: &mut Floors, params: &ParamStore) -> Result<usize> {
        let survey = Survey::new(&self.pass);
        let works = (0..self.pass.latents.len()).map(|place| self.work(place, &survey));
        floors.see(&self.moment.estimation.sites, works, params)
    }

    fn work<'s>(&'s self, place: usize, survey: &'s Survey<'s>) -> Work<'s> {
        Work {
            objective: self.moment.objective,
            pass: &self.pass,
            survey,
            place,
            latent: &self.pass.latents[place],
            slopes: self.slopes.as_ref(),
            key: self.key,
            seed: self.moment.estimation.seed,
        }
    }
}

/// Sums over fresh draws for one estimator at one site.
#[derive(Default)]
struct Spread {
    gradient: Columns,
    cost: Columns,
    /// Cost minus surrogate.
    rest: Columns,
    evaluations: usize,
}

impl Spread {
    fn add(&mut self, gradient: &[f32], evaluations: usize) {
        self.gradient.add(gradient);
        self.evaluations = self.evaluations.max(evaluations);
    }

    fn add_fit(&mut self, fit: Option<(Vec<f32>, Vec<f32>)>) {
        if let Some((cost, surrogate)) = fit {
            let rest: Vec<f32> = cost.iter().zip(&surrogate).map(|(f, c)| f - c).collect();
            self.cost.add(&cost);
            self.rest.add(&rest);
        }
    }

    fn fit(&self) -> Option<f64> {
        let (cost, rest) = (self.cost.variance()?, self.rest.variance()?);
        (cost > 0.0).then(|| 1.0 - rest / cost)
    }
}

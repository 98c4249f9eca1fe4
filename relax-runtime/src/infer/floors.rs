//! The floors of sites' variances: exact ones, and estimates from fresh draws.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::Result;
use crate::estimator::{DrawKind, Estimator, IndeCateR, SiteClass, validity};
use crate::infer::exact;
use crate::infer::objective::Objective;
use crate::infer::pass::Mode;
use crate::infer::pass::survey::Survey;
use crate::infer::sites::Sites;
use crate::infer::sites::columns::Columns;
use crate::infer::sites::cost_to_go::Work;
use crate::infer::sites::estimate::{SiteEstimate, joined};
use crate::infer::sites::site::TrainedSite;
use crate::model::ParamStore;
use crate::random::Key;
use crate::report::Floor;

/// The floors at one step.
pub(in crate::infer) struct Floors {
    exact: BTreeMap<String, Option<f64>>,
    /// Largest number of changes of a row ([`SiteClass::changes`]) that a fresh draw evaluates at a site.
    most_changes: usize,
    /// Sites whose local expectation is estimated.
    local: Sites,
    /// The local expectations of fresh draws at each site.
    drawn: BTreeMap<String, Columns>,
    /// Why there are no more.
    problem: Option<String>,
}

impl Floors {
    /// Exact floors, if there are at most `largest` combinations.
    ///
    /// # Errors
    /// Any error from a program.
    pub(in crate::infer) fn new(
        objective: &dyn Objective,
        params: &ParamStore,
        largest: usize,
    ) -> Result<Self> {
        let exact = exact::floors::floors(objective, params, largest)?;
        Ok(Self {
            exact: exact.unwrap_or_default(),
            ..Self::none()
        })
    }

    fn none() -> Self {
        Self {
            exact: BTreeMap::new(),
            most_changes: usize::MAX,
            local: Sites::default(),
            drawn: BTreeMap::new(),
            problem: None,
        }
    }

    /// Exact floors as of [`new`](Self::new), and estimates from fresh draws, whose keys have this seed and particle,
    /// until a quarter of `evaluations` of the cost have been made, and at least a few draws within all of them. Where
    /// a program fails, notes tell the error.
    pub(in crate::infer) fn within(
        evaluations: u64,
        objective: &dyn Objective,
        sites: &Sites,
        params: &ParamStore,
        largest: usize,
        key: Key,
    ) -> Self {
        const FEWEST: u64 = 16;
        let mut floors = match Self::new(objective, params, largest) {
            Ok(floors) => floors,
            Err(error) => Self {
                problem: Some(error.to_string()),
                ..Self::none()
            },
        };
        floors.most_changes = (evaluations / FEWEST) as usize;
        let mut made = 0;
        for step in 0..evaluations {
            let has_enough = made > evaluations || step >= FEWEST && made > evaluations / 4;
            if has_enough || floors.problem.is_some() || !floors.lack(sites) {
                break;
            }
            match floors.draw(objective, sites, params, Key { step, ..key }) {
                Ok(more) => made += more as u64,
                Err(error) => floors.problem = Some(error.to_string()),
            }
        }
        floors
    }

    /// Whether some sites' local expectation is to be estimated.
    fn lack(&self, sites: &Sites) -> bool {
        let mut all = sites.names().iter();
        all.any(|name| sites.get(name).is_some_and(|site| self.lacks(name, site)))
    }

    /// Whether a site's local expectation is to be estimated.
    fn lacks(&self, name: &str, site: &TrainedSite) -> bool {
        self.exactly(name, site).is_none()
            && site.class.changes <= self.most_changes
            && no_floor(site.class).is_none()
    }

    /// The exact floor of a site. Given the other rows' choices, each row has one, but where rows meet in one cost these
    /// are conditions of their own, under which the sum of rows is bounded by nothing.
    fn exactly(&self, name: &str, site: &TrainedSite) -> Option<f64> {
        let exact = self.exact.get(name).copied().flatten();
        exact.filter(|_| site.class.separate)
    }

    /// Makes a fresh draw, and records the local expectations at its sites where they are to be estimated; returns how
    /// many evaluations of the cost that took.
    ///
    /// # Errors
    /// Any error from a program.
    fn draw(
        &mut self,
        objective: &dyn Objective,
        sites: &Sites,
        params: &ParamStore,
        key: Key,
    ) -> Result<usize> {
        let pass = Rc::new(objective.evaluate(key, params, &Mode::Draw)?);
        let survey = Survey::new(&pass);
        let works = (0..pass.latents.len()).map(|place| Work {
            objective,
            pass: &pass,
            survey: &survey,
            place,
            latent: &pass.latents[place],
            slopes: None,
            key,
            seed: key.seed,
        });
        Ok(1 + self.see(sites, works, params)?)
    }

    /// Records the local expectations at the sites of a fresh draw where they are to be estimated; returns how many
    /// evaluations of the cost that took.
    ///
    /// # Errors
    /// Any error from a program with another value of a choice.
    pub(in crate::infer) fn see<'s>(
        &mut self,
        sites: &Sites,
        works: impl Iterator<Item = Work<'s>>,
        params: &ParamStore,
    ) -> Result<usize> {
        let mut estimates: Vec<SiteEstimate> = Vec::new();
        for work in works {
            let name = &*work.latent.name;
            if !sites.get(name).is_some_and(|site| self.lacks(name, site)) {
                continue;
            }
            let local: Rc<dyn Estimator> = Rc::new(IndeCateR);
            self.local.asked.estimate_site_by(name, local);
            estimates.extend(self.local.estimate(&work, params, false)?);
        }
        let mut evaluations = 0;
        for estimate in joined(estimates) {
            let columns = self.drawn.entry(estimate.name.to_string()).or_default();
            columns.add(&estimate.summed);
            evaluations += estimate.evaluations;
        }
        Ok(evaluations)
    }

    /// The floor at a site for its estimator and the mean of `particles` draws.
    pub(in crate::infer) fn of(&self, name: &str, site: &TrainedSite, particles: usize) -> Floor {
        let exact = self.exactly(name, site);
        let drawn = self.drawn.get(name);
        let value = exact.or_else(|| drawn?.variance());
        let error = match exact {
            Some(_) => Some(0.0),
            None => drawn.and_then(Columns::variance_error),
        };
        let above = site.estimator.above_floor(site.class, site.state.as_ref());
        let note = match (value, above, site.class.draws) {
            (None, ..) => {
                no_floor(site.class).or(Some(match (&self.problem, site.class.changes) {
                    (_, changes) if changes > self.most_changes => {
                        format!("no floor: too few draws for {changes} other values of a row")
                            .into()
                    }
                    (Some(problem), _) => format!("no floor: {problem}").into(),
                    (None, _) => "no floor: too few draws".into(),
                }))
            }
            (Some(_), Err(why), _) => Some(format!("the floor does not hold: {why}").into()),
            (Some(_), Ok(()), DrawKind::Coins) => None,
            (Some(_), Ok(()), _) => Some(
                "with more than two values one surrogate does not reach the floor in general"
                    .into(),
            ),
        };
        let share = 1.0 / particles as f64;
        Floor {
            value: value.map(|x| x * share),
            error: error.map(|x| x * share),
            note,
            ..Floor::default()
        }
    }
}

/// Why a class of sites has no floor other than by enumeration.
fn no_floor(class: SiteClass) -> Option<Cow<'static, str>> {
    let why = match class {
        SiteClass { samples: 2.., .. } => "the objective is a bound of several samples",
        SiteClass { draws, .. } if !draws.is_discrete() => "its draws are continuous",
        SiteClass {
            draws: DrawKind::Discrete,
            ..
        } => "its distribution does not list its values",
        SiteClass {
            changes: usize::MAX,
            ..
        } => "its values have no last one, or are too many",
        SiteClass {
            separate: false, ..
        } => {
            "rows of its plate meet in one cost, and what bounds each row's estimate does not bound their sum"
        }
        _ => return validity(&IndeCateR, class).err().map(Cow::from),
    };
    Some(format!("no floor: {why}").into())
}

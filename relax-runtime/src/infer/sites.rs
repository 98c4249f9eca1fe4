//! The sites that have been met, each with its estimator and what that has learned.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::checkpoint::SavedSites;
use super::cost_to_go::{Work, mean_cost, mean_cost_elsewhere};
use super::pass::{Mode, Pass};
use super::site::Site;
use super::site_estimate::SiteEstimate;
use super::tally::Choice;
use crate::error::Result;
use crate::estimator::{Estimator, Plan, PlanEntry, SiteClass, by_name, choose};
use crate::model::{ParamStore, unknown_site};
use crate::random::Key;
use crate::report::SiteReport;

/// The sites met so far, and which estimators were asked for.
#[derive(Debug, Default)]
pub(super) struct Sites {
    /// Asked for at every discrete site.
    everywhere: Option<Rc<dyn Estimator>>,
    /// Asked for by name.
    at_sites: BTreeMap<String, Rc<dyn Estimator>>,
    /// Evaluations of the cost that one estimate of a discrete or black-box site may take.
    budget: Option<usize>,
    /// The same by name.
    budgets: BTreeMap<String, usize>,
    met: BTreeMap<String, Site>,
    /// Names in the order in which they were met.
    order: Vec<String>,
    /// What a checkpoint says of sites that have not been met since.
    restored: SavedSites,
    joint: JointSum,
    first_costs: FirstCosts,
}

/// The costs of a draw that no estimate is made of.
#[derive(Debug, Default)]
struct FirstCosts {
    /// The draw that they are baselines for.
    key: Option<Key>,
    /// The mean cost-to-go of each site.
    costs: FxHashMap<String, f64>,
}

impl FirstCosts {
    fn new(work: &Work<'_>, params: &ParamStore) -> Result<Self> {
        /// Of no step and no particle.
        const APART: u64 = u64::MAX;
        let key = Key {
            seed: work.seed,
            step: APART,
            particle: APART,
        };
        // What the draw creates is the training's only once it comes by itself.
        let apart = work.objective.evaluate(key, &params.fork(), &Mode::Draw)?;
        let mut costs = FxHashMap::default();
        for (place, latent) in apart.latents.iter().enumerate() {
            if let Some(cost) = mean_cost(&apart, place)? {
                costs.insert(latent.name.to_string(), cost);
            }
        }
        Ok(Self {
            key: Some(work.key),
            costs,
        })
    }
}

/// What the plan looks at when a site is met.
struct Met<'a> {
    name: &'a str,
    distribution: &'static str,
    /// Asked for by the program.
    estimator: Option<&'a str>,
    class: SiteClass,
}

/// Whether the last step summed over all choices together.
#[derive(Debug, Default)]
enum JointSum {
    #[default]
    Untried,
    /// Over so many combinations.
    Summed(usize),
    /// No step does, and why not.
    Refused(String),
}

impl Sites {
    /// Asks for an estimator at every discrete site.
    pub(super) fn ask(&mut self, estimator: Rc<dyn Estimator>) {
        self.everywhere = Some(estimator);
    }

    /// Asks for an estimator at one site, or at all of a loop under the name without indices.
    pub(super) fn ask_at(&mut self, site: &str, estimator: Rc<dyn Estimator>) {
        self.at_sites.insert(site.to_owned(), estimator);
    }

    /// Declares how many evaluations an estimate of any site may take.
    pub(super) fn allow(&mut self, evaluations: usize) {
        self.budget = Some(evaluations);
    }

    /// The same for one site, or for all of a loop under the name without indices.
    pub(super) fn allow_at(&mut self, site: &str, evaluations: usize) {
        self.budgets.insert(site.to_owned(), evaluations);
    }

    /// Checks that every site that was given an estimator or a budget has been met.
    pub(super) fn check_asked(&self) -> Result<()> {
        let met = |name: &String| {
            self.order
                .iter()
                .any(|site| site == name || without_indices(site) == *name)
        };
        let mut named = self.at_sites.keys().chain(self.budgets.keys());
        match named.find(|name| !met(name)) {
            None => Ok(()),
            Some(name) => Err(unknown_site(name, self.order.iter().map(String::as_str))),
        }
    }

    /// Which estimator each site got, and why, in the order in which they were met.
    pub(super) fn plan(&self) -> Plan {
        let entry = |name: &String| {
            let site = self.met.get(name)?;
            let reason = &site.reason;
            Some(PlanEntry {
                site: name.clone(),
                distribution: site.distribution,
                estimator: site.estimator.name(),
                evaluations: match self.joint {
                    JointSum::Summed(combinations) => combinations,
                    _ => site.estimator.evaluations(site.class),
                },
                biased: site.estimator.biased(),
                reason: match &self.joint {
                    JointSum::Summed(all) => format!("{reason}, and over {}", combinations(*all)),
                    JointSum::Refused(why) if site.joint.is_some() => {
                        format!("{reason}, the others as drawn: {why}")
                    }
                    _ => reason.clone(),
                },
                rivals: site.rivals.clone(),
            })
        };
        Plan {
            entries: self.order.iter().filter_map(entry).collect(),
        }
    }

    /// Whether no site has been met.
    pub(super) fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// Up to how many combinations all choices are summed over together, as far as the sites that
    /// were met show: where one has another estimator, or has had estimates of its own, nothing.
    pub(super) fn joint_limit(&self) -> Option<usize> {
        if matches!(self.joint, JointSum::Refused(_)) || !self.restored.is_empty() {
            return None;
        }
        let own = |site: &Site| site.joint.filter(|_| !site.has_learned());
        let mut limits = self.met.values().map(own);
        let first = limits.next()??;
        limits.try_fold(first, |least, limit| Some(least.min(limit?)))
    }

    /// Notes that a step summed over so many combinations.
    pub(super) fn summed_jointly(&mut self, combinations: usize) {
        self.joint = JointSum::Summed(combinations);
    }

    /// Over how many combinations the last step summed, if it did.
    pub(super) fn combinations(&self) -> Option<usize> {
        match self.joint {
            JointSum::Summed(combinations) => Some(combinations),
            _ => None,
        }
    }

    /// From now on each site is estimated on its own.
    pub(super) fn refuse_joint(&mut self, why: String) {
        self.joint = JointSum::Refused(why);
    }

    /// Chooses the estimators of the sites that an evaluation came by.
    pub(super) fn meet(&mut self, pass: &Pass) -> Result<()> {
        for (place, latent) in pass.latents.iter().enumerate() {
            self.choose_for(pass, place).map_err(|e| latent.locate(e))?;
        }
        Ok(())
    }

    /// What a site's estimator says in one particle; nothing where the reverse pass alone gives the
    /// gradient.
    pub(super) fn estimate(
        &mut self,
        work: &Work<'_>,
        params: &ParamStore,
        learn: bool,
    ) -> Result<Option<SiteEstimate>> {
        let estimated = self.estimate_unlocated(work, params, learn);
        estimated.map_err(|e| work.latent.locate(e))
    }

    fn estimate_unlocated(
        &mut self,
        work: &Work<'_>,
        params: &ParamStore,
        learn: bool,
    ) -> Result<Option<SiteEstimate>> {
        let name = &*work.latent.name;
        let class = work.pass.class(work.place);
        if let Some(site) = self.met.get_mut(name)
            && site.class.discrete == class.discrete
            && site.class.meet(class) == site.class
            && !site.lacks_first_cost()
        {
            return site.estimate_if_needed(work, params, &mut self.restored, learn);
        }
        self.choose_for(work.pass, work.place)?;
        self.find_first_cost(work, params)?;
        match self.met.get_mut(name) {
            Some(site) => site.estimate_if_needed(work, params, &mut self.restored, learn),
            None => Ok(None),
        }
    }

    /// Gives a site that is to have its first estimate a baseline: the cost of a draw of everything
    /// that no estimate is made of, so that they stay unbiased. Where that draw does not come by
    /// the site, it is drawn again in the run at hand.
    fn find_first_cost(&mut self, work: &Work<'_>, params: &ParamStore) -> Result<()> {
        let name = &*work.latent.name;
        let Some(site) = self.met.get_mut(name) else {
            return Ok(());
        };
        if !site.lacks_first_cost() || self.restored.contains_key(name) {
            return Ok(());
        }
        if self.first_costs.key != Some(work.key) {
            self.first_costs = FirstCosts::new(work, params)?;
        }
        let cost = match self.first_costs.costs.remove(name) {
            Some(cost) => Some(cost),
            None => mean_cost_elsewhere(work, params)?,
        };
        site.take_first_cost(cost);
        Ok(())
    }

    /// Chooses the estimator of the site that an evaluation came by at a place.
    fn choose_for(&mut self, pass: &Pass, place: usize) -> Result<()> {
        let latent = &pass.latents[place];
        self.choose(&Met {
            name: &latent.name,
            distribution: latent.law.name(),
            estimator: latent.estimator.as_deref(),
            class: pass.class(place),
        })
    }

    /// The same for a choice that a run in host numbers came by.
    pub(super) fn meet_choice(&mut self, choice: &Choice) -> Result<()> {
        let met = Met {
            name: &choice.name,
            distribution: choice.distribution,
            estimator: choice.estimator.as_deref(),
            class: choice.class,
        };
        self.choose(&met)
            .map_err(|e| e.at_site(&choice.name, choice.file, choice.line))
    }

    /// Chooses a site's estimator when it is met first, or has become of another class.
    fn choose(&mut self, met: &Met<'_>) -> Result<()> {
        let Met {
            name,
            distribution,
            estimator,
            mut class,
        } = *met;
        if let Some(site) = self.met.get(name) {
            site.expect_kind(class, distribution)?;
            class = site.class.meet(class);
            if site.class == class {
                return Ok(());
            }
        } else if let Some(known) = self.restored.get(name).and_then(|site| site.class) {
            class = known.meet(class);
            if class != known {
                // What was learned was of another class, and is forgotten as it is between draws.
                self.restored.remove(name);
            }
        }
        let by_site = by_name_of(&self.at_sites, name);
        let asked = match (estimator, by_site) {
            (_, Some(estimator)) => Some(Rc::clone(estimator)),
            (Some(name), None) => Some(by_name(name)?),
            (None, None) => None,
        };
        // An estimator asked for all sites is for those where it makes sense: a continuous site of
        // a model trained with `relax` keeps the pathwise one.
        let general = self.everywhere.clone().filter(|_| class.discrete);
        let budget = by_name_of(&self.budgets, name).copied();
        let choice = choose(asked.or(general), class, budget.or(self.budget))?;
        if !self.order.iter().any(|met| met == name) {
            self.order.push(name.to_owned());
        }
        let site = Site::new(class, distribution, choice);
        self.met.insert(name.to_owned(), site);
        Ok(())
    }

    /// The reports of a step, whose gradients are `share` times the sums over particles.
    pub(super) fn reports(
        &mut self,
        mut estimates: Vec<SiteEstimate>,
        share: f64,
        learn: bool,
    ) -> Vec<SiteReport> {
        let mut reports = Vec::with_capacity(estimates.len());
        for estimate in &mut estimates {
            if let Some(site) = self.met.get_mut(&*estimate.name) {
                reports.push(site.report(estimate, share, learn));
            }
        }
        reports
    }

    /// A site that has been met.
    pub(super) fn get(&self, site: &str) -> Option<&Site> {
        self.met.get(site)
    }

    /// Names in the order in which they were met.
    pub(super) fn names(&self) -> &[String] {
        &self.order
    }

    /// What is taken off a site's cost-to-go before its estimator sees it.
    pub(super) fn baseline(&self, site: &str) -> f64 {
        self.met.get(site).map_or(0.0, Site::baseline)
    }

    /// What the sites have learned.
    pub(super) fn save(&self) -> Result<SavedSites> {
        let mut saved = self.restored.clone();
        for (name, site) in &self.met {
            saved.extend(site.save()?.map(|saved| (name.clone(), saved)));
        }
        Ok(saved)
    }

    /// Forgets everything met, and goes on from what was saved.
    pub(super) fn restore(&mut self, saved: SavedSites) {
        self.met.clear();
        self.first_costs = FirstCosts::default();
        self.joint = JointSum::Untried;
        self.restored = saved;
    }
}

/// What a joint sum goes over, in words.
pub(super) fn combinations(count: usize) -> String {
    format!("all {count} combinations of the program's choices")
}

/// What was said of a site, or of all sites of its loop.
fn by_name_of<'a, T>(said: &'a BTreeMap<String, T>, site: &str) -> Option<&'a T> {
    said.get(site).or_else(|| said.get(&without_indices(site)))
}

/// `step/h` for `step[0]/h[1]`.
fn without_indices(name: &str) -> String {
    let pieces = name.split('[');
    pieces
        .map(|piece| piece.split_once(']').map_or(piece, |(_, rest)| rest))
        .collect()
}

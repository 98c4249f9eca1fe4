//! The sites met so far, each with its estimator and what that has learned.

pub(super) mod apart;
mod asked;
pub(super) mod columns;
pub(super) mod cost_to_go;
pub(super) mod estimate;
mod first_costs;
mod met;
mod race;
pub(super) mod site;
mod stem;

use asked::Asked;
use std::rc::Rc;

use crate::error::Result;
use crate::estimator::{
    Decision, Estimator, Plan, PlanEntry, SiteClass, by_name, choose, validity,
};
use crate::infer::checkpoint::{SavedSites, refused};
use crate::infer::pass::survey::Survey;
use crate::infer::pass::{Latent, Pass};
use crate::infer::sites::cost_to_go::Work;
use crate::infer::sites::estimate::SiteEstimate;
use crate::infer::sites::first_costs::FirstCosts;
use crate::infer::sites::met::MetSites;
use crate::infer::sites::race::{Outcome, Race, hold, races_of};
use crate::infer::sites::site::TrainedSite;
use crate::infer::sites::stem::without_indices;
use crate::infer::tally;
use crate::model::ParamStore;
use crate::report::SiteReport;
use crate::tensor::Tensor;

/// The sites met so far, and which estimators were asked for.
#[derive(Debug, Default)]
pub(in crate::infer) struct Sites {
    /// What the user asked for.
    pub(in crate::infer) asked: Asked,
    met: MetSites,
    /// What a checkpoint says about sites that have not been met since.
    restored: SavedSites,
    joint: JointSum,
    first_costs: FirstCosts,
    /// The outcomes of races, since a resume and before.
    settled: Vec<Settled>,
    raced: Vec<Raced>,
    /// Whether an estimator of a site met so far asks for the slope at the run's own draw.
    need_slopes: bool,
}

/// The estimator chosen by a race, for all sites of a loop that are of one class.
#[derive(Debug)]
struct Settled {
    stem: String,
    class: SiteClass,
    estimator: Rc<dyn Estimator>,
}

/// The outcome of a race at a site before a resume.
#[derive(Debug)]
struct Raced {
    site: String,
    stem: String,
    class: SiteClass,
    estimator: String,
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
    /// The number of combinations.
    Summed(usize),
    /// Why no step does.
    Refused(String),
}

impl Sites {
    /// Checks that every site that was given an estimator or a budget has been met.
    pub(in crate::infer) fn check_asked(&self) -> Result<()> {
        self.asked.check(self.met.names())
    }

    /// Which estimator each site got, and why, in the order in which they were met.
    pub(in crate::infer) fn plan(&self) -> Plan {
        let entry = |(name, site): (&str, &TrainedSite)| {
            let reason = &site.reason;
            PlanEntry {
                site: name.to_owned(),
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
                follows: None,
                rivals: site.rivals.clone(),
            }
        };
        Plan {
            entries: self.met.iter().map(entry).collect(),
            remarks: Vec::new(),
        }
    }

    /// Whether discrete choices are drawn.
    pub(in crate::infer) fn draw_choices(&self) -> bool {
        let mut sites = self.met.iter();
        sites.any(|(_, site)| site.class.draws.is_discrete())
    }

    /// Whether discrete choices are drawn whose values can be listed.
    pub(in crate::infer) fn draw_finite_choices(&self) -> bool {
        let mut sites = self.met.iter();
        sites.any(|(_, site)| site.class.draws.is_discrete() && site.class.values < usize::MAX)
    }

    /// Forgets all sites, but not what was asked for; returns what was known.
    pub(in crate::infer) fn begin_anew(&mut self) -> Self {
        let anew = Self {
            asked: std::mem::take(&mut self.asked),
            ..Self::default()
        };
        std::mem::replace(self, anew)
    }

    /// Restores what was known.
    pub(in crate::infer) fn put_back(&mut self, known: Self) {
        *self = Self {
            asked: std::mem::take(&mut self.asked),
            ..known
        };
    }

    /// Whether no site has been met.
    pub(in crate::infer) fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// Whether the reverse pass gives everything, as far as the sites met so far show: no gradient is a score times a
    /// cost, which rare draws can make large.
    pub(in crate::infer) fn are_pathwise(&self) -> bool {
        let mut sites = self.met.iter();
        sites.all(|(_, site)| !site.estimator.needs_estimate())
    }

    /// Up to how many combinations all choices are summed over together, as far as the sites met so far show; `None` if
    /// one has another estimator, or has had estimates of its own.
    pub(in crate::infer) fn joint_limit(&self) -> Option<usize> {
        if matches!(self.joint, JointSum::Refused(_)) || !self.restored.is_empty() {
            return None;
        }
        let own = |site: &TrainedSite| site.joint.filter(|_| !site.has_learned());
        let mut limits = self.met.iter().map(|(_, site)| own(site));
        let first = limits.next()??;
        limits.try_fold(first, |least, limit| Some(least.min(limit?)))
    }

    /// Whether some estimator asks for the cost's slope at the run's own draw.
    pub(in crate::infer) fn need_slopes(&self) -> bool {
        self.need_slopes
    }

    /// The draws of an evaluation whose whole effect on their parameters is covered by an estimate.
    pub(in crate::infer) fn estimated<'p>(&self, pass: &'p Pass) -> Vec<&'p Tensor> {
        let estimated = |latent: &&Latent| {
            let site = self.met.get(&latent.name);
            !latent.law.draws().are_discrete()
                && latent.value.is_tracked()
                && site.is_some_and(|site| site.estimator.needs_estimate())
        };
        let estimated = pass.latents.iter().filter(estimated);
        estimated.map(|latent| &latent.value).collect()
    }

    /// Notes that a step summed over this many combinations.
    pub(in crate::infer) fn summed_jointly(&mut self, combinations: usize) {
        self.joint = JointSum::Summed(combinations);
    }

    /// Over how many combinations the last step summed, if it did.
    pub(in crate::infer) fn combinations(&self) -> Option<usize> {
        match self.joint {
            JointSum::Summed(combinations) => Some(combinations),
            _ => None,
        }
    }

    /// From now on each site is estimated on its own.
    pub(in crate::infer) fn refuse_joint(&mut self, why: String) {
        self.joint = JointSum::Refused(why);
    }

    /// Chooses the estimators of the sites that an evaluation reached.
    pub(in crate::infer) fn meet(&mut self, pass: &Pass) -> Result<()> {
        let survey = Survey::new(pass);
        for (place, latent) in pass.latents.iter().enumerate() {
            let class = survey.class(place);
            self.choose_for(latent, class)
                .map_err(|e| latent.locate(e))?;
        }
        Ok(())
    }

    /// The estimate of a site in one particle; `None` if the reverse pass alone gives the gradient.
    pub(in crate::infer) fn estimate(
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
        let mut class = work.survey.class(work.place);
        if let Some(site) = self.met.get_likely(name, work.place)
            && site.class.draws.is_discrete() == class.draws.is_discrete()
            && site.class.meet(class) == site.class
            && !site.lacks_first_cost()
            && site.contenders.is_empty()
        {
            let estimate = site.estimate_if_needed(work, params, &mut self.restored, learn)?;
            if !(site.is_blocked() && class.relaxable) {
                return Ok(estimate);
            }
            class.relaxable = false;
        }
        loop {
            self.choose_for(work.latent, class)?;
            self.race(work, params)?;
            self.find_first_cost(work, params)?;
            let Some(site) = self.met.get_mut(name) else {
                return Ok(None);
            };
            let estimate = site.estimate_if_needed(work, params, &mut self.restored, learn)?;
            if !(site.is_blocked() && class.relaxable) {
                return Ok(estimate);
            }
            // From now on it has no relaxed cost.
            class.relaxable = false;
        }
    }

    /// Decides between the contenders for a site, and for all others that the current evaluation reached: sites of a
    /// loop that are of one class race once.
    fn race(&mut self, work: &Work<'_>, params: &ParamStore) -> Result<()> {
        let open = |sites: &Self, name: &str| {
            let site = sites.met.get(name);
            site.is_some_and(|site| !site.contenders.is_empty())
        };
        if !open(self, &work.latent.name) {
            return Ok(());
        }
        self.meet(work.pass)?;
        let names = work.pass.latents.iter().map(|latent| &*latent.name);
        let open = names.filter_map(|name| Some((name, self.met.get(name)?)));
        let (mut races, entries) = races_of(open);
        hold(&mut races, work, params)?;
        let outcomes: Vec<_> = races.into_iter().map(Race::outcome).collect();
        for (name, race) in entries {
            let Some(site) = self.met.get_mut(&name) else {
                continue;
            };
            match &outcomes[race] {
                Some(outcome) => {
                    self.need_slopes |= outcome.winner.estimator.needs_slope();
                    site.settle(&outcome.winner.estimator, &outcome.reason, &outcome.rivals);
                }
                None => site.contenders.clear(),
            }
        }
        for Outcome { site, winner, .. } in outcomes.into_iter().flatten() {
            self.settled.push(Settled {
                stem: without_indices(&site),
                class: winner.class,
                estimator: Rc::clone(&winner.estimator),
            });
            // What a file has is loaded at the first estimate, or refused.
            if !self.restored.contains_key(&site)
                && let Some(site) = self.met.get_mut(&site)
            {
                site.adopt(winner);
            }
        }
        Ok(())
    }

    /// The outcome of a race at a similar site, or at the site itself before a resume, and where it comes from.
    fn known_outcome(
        &self,
        name: &str,
        class: SiteClass,
        choice: &Decision,
    ) -> Option<(Rc<dyn Estimator>, &'static str)> {
        const RACED: &str = "raced before";
        let stem = without_indices(name);
        let mut contenders = choice.contenders.iter();
        let settled = self
            .settled
            .iter()
            .find(|s| s.stem == stem && s.class.resembles(class));
        if let Some(Settled { estimator, .. }) = settled {
            let key = |e: &dyn Estimator| (e.name(), e.evaluations(class));
            let settled = contenders.find(|e| key(&***e) == key(&**estimator));
            return settled.map(|e| (Rc::clone(e), RACED));
        }
        let of_class = || {
            self.raced
                .iter()
                .filter(|raced| raced.class.resembles(class))
        };
        let own = of_class().find(|raced| raced.site == name);
        let raced = own.or_else(|| of_class().find(|raced| raced.stem == stem))?;
        let contender = contenders.find(|e| e.name() == raced.estimator);
        contender.map(|e| (Rc::clone(e), RACED)).or_else(|| {
            // The contenders of the version that saved it may have been others.
            let saved = by_name(&raced.estimator).ok()?;
            let budget = self.asked.budget(name).unwrap_or(usize::MAX);
            let may_race = !saved.biased() && saved.evaluations(class) <= budget;
            (may_race && validity(&*saved, class).is_ok()).then_some((saved, "chosen before"))
        })
    }

    /// Finds a baseline for a site before its first estimate.
    fn find_first_cost(&mut self, work: &Work<'_>, params: &ParamStore) -> Result<()> {
        let name = &*work.latent.name;
        if let Some(site) = self.met.get_mut(name)
            && site.lacks_first_cost()
            && !self.restored.contains_key(name)
        {
            site.take_first_cost(self.first_costs.take(work, params)?);
        }
        Ok(())
    }

    /// Chooses the estimator for the site of a latent.
    fn choose_for(&mut self, latent: &Latent, class: SiteClass) -> Result<()> {
        self.choose(&Met {
            name: &latent.name,
            distribution: latent.law.name(),
            estimator: latent.estimator.as_deref(),
            class,
        })
    }

    /// The same for a choice that a run in host numbers reached.
    pub(in crate::infer) fn meet_choice(&mut self, choice: &tally::Choice) -> Result<()> {
        let met = Met {
            name: &choice.name,
            distribution: choice.distribution,
            estimator: choice.estimator.as_deref(),
            class: choice.class,
        };
        self.choose(&met)
            .map_err(|e| e.at_site(&choice.name, choice.file, choice.line))
    }

    /// Chooses a site's estimator when it is first met, or its class has changed.
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
        } else if let Some(saved) = self.restored.get(name) {
            let known = saved.class;
            if known.draws.is_discrete() != class.draws.is_discrete() {
                return Err(refused(format!(
                    "its site `{name}` is {} with `{}`, but the model's is a {distribution}",
                    if known.draws.is_discrete() {
                        "discrete"
                    } else {
                        "continuous"
                    },
                    saved.estimator
                )));
            }
            class = known.meet(class);
            if !class.resembles(known) {
                // What was learned belongs to another class, and is forgotten as it is between draws.
                self.restored.remove(name);
            }
        }
        let asked = self.asked.estimator(name, estimator, class)?;
        let choice = choose(asked, class, self.asked.budget(name))?;
        if let Some(site) = self.met.get_mut(name)
            && site.class.resembles(class)
        {
            site.go_on_as(class, choice);
            return Ok(());
        }
        let known = match choice.contenders.is_empty() {
            true => None,
            false => self.known_outcome(name, class, &choice),
        };
        let mut site = TrainedSite::new(name, class, distribution, choice);
        if let Some((estimator, source)) = known {
            site.settle(&estimator, source, &[]);
        }
        self.need_slopes |= site.estimator.needs_slope();
        self.met.insert(name, site);
        Ok(())
    }

    /// The reports of a step, whose gradients are `share` times the sums over particles.
    pub(in crate::infer) fn reports(
        &mut self,
        mut estimates: Vec<SiteEstimate>,
        share: f64,
        learn: bool,
    ) -> Vec<SiteReport> {
        let mut reports = Vec::with_capacity(estimates.len());
        for estimate in &mut estimates {
            if let Some(site) = self.met.get_likely(&estimate.name, estimate.place) {
                reports.push(site.report(estimate, share, learn));
            }
        }
        reports
    }

    /// A site that has been met.
    pub(in crate::infer) fn get(&self, site: &str) -> Option<&TrainedSite> {
        self.met.get(site)
    }

    /// Names in the order in which they were met.
    pub(in crate::infer) fn names(&self) -> &[String] {
        self.met.names()
    }

    /// What is subtracted from a site's cost-to-go before its estimator sees it.
    pub(in crate::infer) fn baseline(&self, site: &str) -> f64 {
        self.met.get(site).map_or(0.0, TrainedSite::baseline)
    }

    /// What the sites have learned.
    pub(in crate::infer) fn save(&self) -> Result<SavedSites> {
        let mut saved = self.restored.clone();
        for (name, site) in self.met.iter() {
            saved.extend(site.save()?.map(|saved| (name.to_owned(), saved)));
        }
        Ok(saved)
    }

    /// Forgets everything met, and continues from what was saved.
    pub(in crate::infer) fn restore(&mut self, saved: SavedSites) {
        self.met.clear();
        self.first_costs = FirstCosts::default();
        self.settled.clear();
        self.joint = JointSum::Untried;
        let raced = saved.iter().map(|(site, saved)| Raced {
            site: site.clone(),
            stem: without_indices(site),
            class: saved.class,
            estimator: saved.estimator.clone(),
        });
        self.raced = raced.collect();
        self.restored = saved;
    }
}

/// A description of what a joint sum goes over.
pub(in crate::infer) fn combinations(count: usize) -> String {
    format!("all {count} combinations of the program's choices")
}

//! The estimators that the user asked for, and the cost allowed for an estimate.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::stem::without_indices;
use crate::error::{Error, Result};
use crate::estimator::{Estimator, SiteClass, by_name};
use crate::model::unknown_site;

/// What the user asked for all sites, and for some by name, where a name without indices stands for all sites of a
/// loop.
#[derive(Debug, Default)]
pub(in crate::infer) struct Asked {
    /// For every discrete site.
    everywhere: Option<Rc<dyn Estimator>>,
    at_sites: BTreeMap<String, Rc<dyn Estimator>>,
    /// Evaluations of the cost that one estimate of a discrete or black-box site may take.
    budget: Option<usize>,
    budgets: BTreeMap<String, usize>,
}

impl Asked {
    /// Whether nothing was asked for.
    pub(in crate::infer) fn is_empty(&self) -> bool {
        let Self {
            everywhere,
            at_sites,
            budget,
            budgets,
        } = self;
        everywhere.is_none() && at_sites.is_empty() && budget.is_none() && budgets.is_empty()
    }

    /// What was asked for at every discrete site.
    pub(in crate::infer) fn everywhere(&self) -> Option<&dyn Estimator> {
        self.everywhere.as_deref()
    }

    /// Asks for an estimator at every discrete site.
    pub(in crate::infer) fn estimate_by(&mut self, estimator: Rc<dyn Estimator>) {
        self.everywhere = Some(estimator);
    }

    /// Asks for an estimator at one site.
    pub(in crate::infer) fn estimate_site_by(&mut self, site: &str, by: Rc<dyn Estimator>) {
        self.at_sites.insert(site.to_owned(), by);
    }

    /// Declares how many evaluations an estimate of any site may take.
    ///
    /// # Errors
    /// If there are none.
    pub(in crate::infer) fn allow(&mut self, evaluations: usize) -> Result<()> {
        self.budget = Some(checked(evaluations)?);
        Ok(())
    }

    /// The same for one site.
    ///
    /// # Errors
    /// As for [`allow`](Self::allow).
    pub(in crate::infer) fn allow_site(&mut self, site: &str, evaluations: usize) -> Result<()> {
        self.budgets.insert(site.to_owned(), checked(evaluations)?);
        Ok(())
    }

    /// The estimator of a site, if the user, or else the program, asked for one.
    ///
    /// # Errors
    /// If the program asks for one that does not exist.
    pub(super) fn estimator(
        &self,
        site: &str,
        of_program: Option<&str>,
        class: SiteClass,
    ) -> Result<Option<Rc<dyn Estimator>>> {
        if let Some(estimator) = by_site(&self.at_sites, site) {
            return Ok(Some(Rc::clone(estimator)));
        }
        if let Some(name) = of_program {
            return by_name(name).map(Some);
        }
        // An estimator asked for all sites applies where it makes sense: a continuous site of a model trained with
        // `relax` keeps the pathwise one.
        let general = self.everywhere.clone();
        Ok(general.filter(|_| class.draws.is_discrete()))
    }

    /// Number of evaluations that an estimate of a site may take, if limited.
    pub(super) fn budget(&self, site: &str) -> Option<usize> {
        by_site(&self.budgets, site).copied().or(self.budget)
    }

    /// Checks that every site that something was asked for is among those met.
    ///
    /// # Errors
    /// [`Error::UnknownSite`].
    pub(super) fn check(&self, met: &[String]) -> Result<()> {
        let is_met = |name: &String| {
            let mut sites = met.iter();
            sites.any(|site| site == name || without_indices(site) == *name)
        };
        let mut named = self.at_sites.keys().chain(self.budgets.keys());
        match named.find(|name| !is_met(name)) {
            None => Ok(()),
            Some(name) => Err(unknown_site(name, met.iter().map(String::as_str))),
        }
    }
}

fn checked(evaluations: usize) -> Result<usize> {
    match evaluations {
        0 => Err(Error::Config {
            setting: "budget",
            problem: "is 0, but the draw itself is an evaluation; give at least 1".into(),
        }),
        some => Ok(some),
    }
}

/// What was asked for a site, or for all sites of its loop.
fn by_site<'a, T>(asked: &'a BTreeMap<String, T>, site: &str) -> Option<&'a T> {
    asked
        .get(site)
        .or_else(|| asked.get(&without_indices(site)))
}

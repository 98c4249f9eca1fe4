//! Runs in host numbers: every choice has a host value, every term of the objective is an `f64`, and no trace is kept.
//! Anything that needs tensors ends such a run.
//!
//! Each way around tensor operations has a name, and the same results. *Host*: whole runs in the program's own numbers,
//! here and in `infer::tally`. *Plain*: loops over slices of a tensor's numbers, where calling an operation costs more
//! than its arithmetic: `plain` in `dist`, `surrogate` and `estimator::relax`. *Fused*: one operation in place of
//! several, which reads its operands once: `tensor::ops::fused`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::names::write_iterations;
use super::outside::{Known, OutOfSupport};
use super::site::Iterations;
use super::{Kind, MOST_SITES, Site};
use crate::dist::{
    AnyDistribution, Distribution, IntoDistribution, IntoSiteValue, Number, SiteValue,
};
use crate::error::{Error, Result};

/// Answers the sites of a run in host numbers.
pub(crate) trait HostRun {
    /// Chooses which of its `values` values a choice takes.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn choose(&self, at: &Place<'_>, dist: &dyn AnyDistribution, values: usize) -> Result<usize>;

    /// Adds a term of the objective: a cost, or the negative log-density of a value, with what is known about it.
    fn pay(&self, at: &Place<'_>, kind: Kind, cost: f64, known: Known<'_>);

    /// Notes that the run ends because it needs tensors.
    fn refuse(&self);
}

/// A site that a run has reached.
pub(crate) struct Place<'a> {
    /// The number of the site's name, the same in every run.
    pub(crate) number: usize,
    pub(crate) site: &'a Site,
    names: &'a RefCell<NameTable>,
}

impl Place<'_> {
    /// The full name of the site.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        self.names.borrow().full(self.number)
    }

    fn locate(&self, error: Error) -> Error {
        error.at_site(&self.name(), self.site.file, self.site.line)
    }
}

/// The part of a context that answers sites in host numbers.
pub(super) struct Host {
    run: Rc<dyn HostRun>,
    names: RefCell<NameTable>,
    /// Whether the run has made a choice.
    has_chosen: Cell<bool>,
}

impl Host {
    pub(super) fn new(run: Rc<dyn HostRun>) -> Self {
        Self {
            run,
            names: RefCell::default(),
            has_chosen: Cell::new(false),
        }
    }

    pub(super) fn restart(&self) {
        self.has_chosen.set(false);
        self.names.borrow_mut().restart();
    }

    /// Ends the run.
    #[cold]
    pub(super) fn refuse(&self) -> Error {
        self.run.refuse();
        Error::Enumeration("the program cannot be run in host numbers".into())
    }

    fn arrive<'a>(&'a self, site: &'a Site) -> Result<Place<'a>> {
        if site.computed.is_some() {
            return Err(self.refuse());
        }
        let (number, again) = self.names.borrow_mut().arrive(site);
        let is_endless = self.names.borrow().at > MOST_SITES;
        let names = &self.names;
        let place = Place {
            number,
            site,
            names,
        };
        match (again, is_endless) {
            (false, false) => Ok(place),
            (true, _) => Err(place.locate(Error::DuplicateSite(place.name().into()))),
            (_, true) => Err(place.locate(Error::TooManySites(MOST_SITES))),
        }
    }

    fn pay(&self, at: &Place<'_>, kind: Kind, log_density: Number, known: Known<'_>) -> Result<()> {
        let Number::Host(log_density) = log_density else {
            return Err(self.refuse());
        };
        self.run.pay(at, kind, -log_density, known);
        Ok(())
    }

    pub(super) fn sample<I: IntoDistribution>(
        &self,
        site: &Site,
        dist: I,
    ) -> Result<<I::Distribution as Distribution>::Value> {
        let at = self.arrive(site)?;
        let dist = dist.into_distribution().map_err(|e| at.locate(e))?;
        let Some(values) = dist.values() else {
            return Err(self.refuse());
        };
        self.has_chosen.set(true);
        let chosen = self.run.choose(&at, &dist, values);
        let chosen = chosen.map_err(|e| at.locate(e))?;
        let Some(value) = dist.nth_value(chosen) else {
            return Err(self.refuse());
        };
        let log_density = Distribution::log_density(&dist, &value).map_err(|e| at.locate(e))?;
        self.pay(&at, Kind::Latent, log_density, Known::Inside(&dist))?;
        Ok(value)
    }

    pub(super) fn observe<I: IntoDistribution>(
        &self,
        site: &Site,
        dist: I,
        value: impl IntoSiteValue<<I::Distribution as Distribution>::Value>,
    ) -> Result<()> {
        if !<<I::Distribution as Distribution>::Value as SiteValue>::HOST {
            return Err(self.refuse());
        }
        let at = self.arrive(site)?;
        let dist = dist.into_distribution().map_err(|e| at.locate(e))?;
        let value = value.into_site_value();
        match dist.log_prob(&value) {
            // Earlier choices may have led to this support.
            Err(error) if error.is_of_this_support() && self.has_chosen.get() => {
                let never = Number::Host(f64::NEG_INFINITY);
                let by_parameters =
                    Distribution::may_contain(&dist, &value).map_err(|e| at.locate(e))?;
                let outside = OutOfSupport::new(error, by_parameters);
                self.pay(&at, Kind::Observed, never, Known::Outside(&outside))
            }
            Err(error) => Err(at.locate(error)),
            Ok(density) => self.pay(&at, Kind::Observed, density, Known::Inside(&dist)),
        }
    }

    pub(super) fn cost(&self, site: &Site, value: Number) -> Result<()> {
        let at = self.arrive(site)?;
        self.pay(&at, Kind::Cost, value.scale(-1.0), Known::Nothing)
    }

    pub(super) fn factor(&self, site: &Site, log_weight: Number) -> Result<()> {
        let at = self.arrive(site)?;
        self.pay(&at, Kind::Factor, log_weight, Known::Nothing)
    }

    /// Runs a part of the program with the site's name prefixed to all names.
    pub(super) fn inside<T>(&self, site: &Site, part: impl FnOnce() -> Result<T>) -> Result<T> {
        if site.computed.is_some() {
            return Err(self.refuse());
        }
        let outer = self.names.borrow_mut().enter(site);
        let output = part();
        self.names.borrow_mut().scope = outer;
        output
    }
}

/// Names of sites without their text, which is assembled only on request.
#[derive(Default)]
struct NameTable {
    known: Vec<KnownName>,
    numbers: FxHashMap<Name, usize>,
    /// The numbers in the order of the last run, which the next one mostly repeats.
    order: Vec<usize>,
    at: usize,
    run: u64,
    /// The number of the enclosing sub-model.
    scope: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    scope: Option<usize>,
    text: &'static str,
    iterations: Iterations,
}

struct KnownName {
    name: Name,
    /// The last run that reached it.
    run: u64,
}

impl NameTable {
    fn restart(&mut self) {
        self.run += 1;
        self.at = 0;
        self.scope = None;
    }

    /// The number of a site's name.
    fn number(&mut self, site: &Site) -> usize {
        let expected = self.order.get(self.at).copied();
        let number = match expected {
            Some(number) if self.is_clearly(number, site) => number,
            _ => {
                self.order.truncate(self.at);
                let name = Name {
                    scope: self.scope,
                    text: site.name,
                    iterations: site.iterations.clone(),
                };
                let number = match self.numbers.get(&name) {
                    Some(number) => *number,
                    None => {
                        self.known.push(KnownName {
                            name: name.clone(),
                            run: 0,
                        });
                        self.numbers.insert(name, self.known.len() - 1);
                        self.known.len() - 1
                    }
                };
                self.order.push(number);
                number
            }
        };
        self.at += 1;
        number
    }

    /// Whether the name of a number is quickly seen to be a site's: usually both come from the same place in the
    /// source.
    fn is_clearly(&self, number: usize, site: &Site) -> bool {
        let name = &self.known[number].name;
        std::ptr::eq(name.text, site.name)
            && self.scope == name.scope
            && site.iterations.len() == name.iterations.len()
            && site.iterations.iter().eq(&name.iterations)
    }

    /// The number of a site, and whether this run has reached it before.
    fn arrive(&mut self, site: &Site) -> (usize, bool) {
        let number = self.number(site);
        let last = std::mem::replace(&mut self.known[number].run, self.run);
        (number, last == self.run)
    }

    /// Enters a sub-model; returns the scope to go back to.
    fn enter(&mut self, site: &Site) -> Option<usize> {
        let number = self.number(site);
        self.scope.replace(number)
    }

    fn full(&self, number: usize) -> Cow<'static, str> {
        let name = &self.known[number].name;
        if name.scope.is_none() && name.iterations.is_empty() {
            return name.text.into();
        }
        let mut full = match name.scope {
            Some(scope) => [&*self.full(scope), "/"].concat(),
            None => String::new(),
        };
        full.push_str(name.text);
        write_iterations(&name.iterations, &mut full);
        full.into()
    }
}

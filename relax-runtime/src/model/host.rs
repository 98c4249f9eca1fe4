//! Runs in host numbers: every choice has a host value, every term of the objective is an `f64`, and
//! no record is kept. What needs tensors ends such a run.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{Kind, Site};
use crate::dist::{
    AnyDistribution, Distribution, IntoDistribution, IntoSiteValue, Number, SiteValue,
};
use crate::error::{Error, Result};

/// What answers the sites of a run in host numbers.
pub(crate) trait HostRun {
    /// Which of so many values a choice takes.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn choose(&self, at: &Place<'_>, dist: &dyn AnyDistribution, values: usize) -> Result<usize>;

    /// Adds a term of the objective: a cost, or the negative log-density of a value.
    fn pay(&self, at: &Place<'_>, kind: Kind, cost: f64);

    /// Notes that the run ends because it needs tensors.
    fn refuse(&self);
}

/// A site that a run has come to.
pub(crate) struct Place<'a> {
    /// The number of the site's name, the same in every run.
    pub(crate) number: usize,
    pub(crate) site: &'a Site,
    names: &'a RefCell<Names>,
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
    names: RefCell<Names>,
}

impl Host {
    pub(super) fn new(run: Rc<dyn HostRun>) -> Self {
        Self {
            run,
            names: RefCell::default(),
        }
    }

    pub(super) fn restart(&self) {
        self.names.borrow_mut().restart();
    }

    /// Ends the run.
    #[cold]
    pub(super) fn refuse(&self) -> Error {
        self.run.refuse();
        Error::Model("the program cannot be run in host numbers".into())
    }

    fn arrive<'a>(&'a self, site: &'a Site) -> Result<Place<'a>> {
        let (number, again) = self.names.borrow_mut().arrive(site);
        let names = &self.names;
        let place = Place {
            number,
            site,
            names,
        };
        match again {
            false => Ok(place),
            true => Err(place.locate(Error::DuplicateSite(place.name().into()))),
        }
    }

    fn pay(&self, at: &Place<'_>, kind: Kind, log_density: Number) -> Result<()> {
        let Number::Host(log_density) = log_density else {
            return Err(self.refuse());
        };
        self.run.pay(at, kind, -log_density);
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
        let chosen = self.run.choose(&at, &dist, values);
        let chosen = chosen.map_err(|e| at.locate(e))?;
        let Some(value) = dist.nth_value(chosen) else {
            return Err(self.refuse());
        };
        let log_density = Distribution::log_density(&dist, &value).map_err(|e| at.locate(e))?;
        self.pay(&at, Kind::Latent, log_density)?;
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
        let density = |dist: I::Distribution| dist.log_prob(&value.into_site_value());
        let density = dist.into_distribution().and_then(density);
        self.pay(&at, Kind::Observed, density.map_err(|e| at.locate(e))?)
    }

    pub(super) fn cost(&self, site: &Site, value: Number) -> Result<()> {
        let at = self.arrive(site)?;
        self.pay(&at, Kind::Cost, value.scale(-1.0))
    }

    /// Runs a part of the program with the site's name before all names.
    pub(super) fn inside<T>(&self, site: &Site, part: impl FnOnce() -> Result<T>) -> Result<T> {
        let outer = self.names.borrow_mut().enter(site);
        let output = part();
        self.names.borrow_mut().scope = outer;
        output
    }
}

/// Names of sites without their text, which is put together only where somebody wants to read it.
#[derive(Default)]
struct Names {
    known: Vec<Named>,
    numbers: FxHashMap<Name, usize>,
    /// The numbers in the order of the last run, which the next one repeats for the most part.
    order: Vec<usize>,
    at: usize,
    run: u64,
    /// The number of the enclosing sub-model.
    scope: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    scope: Option<usize>,
    text: &'static str,
    index: Index,
}

impl Name {
    /// Whether it is the other one, as far as a glance shows: in most cases both come from the same
    /// place of the source.
    fn is_clearly(&self, other: &Self) -> bool {
        std::ptr::eq(self.text, other.text)
            && self.scope == other.scope
            && self.index == other.index
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Index {
    /// Outside of loops.
    Single,
    /// Of all visits of a site in a loop.
    Loop,
    /// Of one visit.
    Visit(usize),
}

struct Named {
    name: Name,
    /// The last run that came by, and how often it did.
    run: u64,
    visits: usize,
}

impl Names {
    fn restart(&mut self) {
        self.run += 1;
        self.at = 0;
        self.scope = None;
    }

    /// The number of a name.
    fn number(&mut self, name: Name) -> usize {
        let expected = self.order.get(self.at).copied();
        let number = match expected {
            Some(number) if self.known[number].name.is_clearly(&name) => number,
            _ => {
                self.order.truncate(self.at);
                let number = *self.numbers.entry(name).or_insert(self.known.len());
                if number == self.known.len() {
                    self.known.push(Named {
                        name,
                        run: 0,
                        visits: 0,
                    });
                }
                self.order.push(number);
                number
            }
        };
        self.at += 1;
        number
    }

    /// How often the run has come by before.
    fn visit(&mut self, number: usize) -> usize {
        let named = &mut self.known[number];
        if named.run != self.run {
            (named.run, named.visits) = (self.run, 0);
        }
        named.visits += 1;
        named.visits - 1
    }

    fn next(&mut self, site: &Site) -> usize {
        let mut name = Name {
            scope: self.scope,
            text: site.name,
            index: Index::Single,
        };
        if site.indexed {
            name.index = Index::Loop;
            let number = self.number(name);
            name.index = Index::Visit(self.visit(number));
        }
        self.number(name)
    }

    /// The number of a site, and whether the run has come by it before.
    fn arrive(&mut self, site: &Site) -> (usize, bool) {
        let number = self.next(site);
        (number, self.visit(number) > 0)
    }

    /// Enters a sub-model; the scope to come back to.
    fn enter(&mut self, site: &Site) -> Option<usize> {
        let number = self.next(site);
        self.scope.replace(number)
    }

    fn full(&self, number: usize) -> Cow<'static, str> {
        let Name { scope, text, index } = self.known[number].name;
        let name = match scope {
            Some(scope) => [&*self.full(scope), "/", text].concat().into(),
            None => Cow::Borrowed(text),
        };
        match index {
            Index::Single | Index::Loop => name,
            Index::Visit(visit) => format!("{name}[{visit}]").into(),
        }
    }
}

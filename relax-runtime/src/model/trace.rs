//! The record of one run.

mod rows;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::outside::{Known, OutOfSupport};
use super::{MOST_SITES, SummedOut, Weight};
use crate::dist::{AnyDistribution, Number, Value};
use crate::error::{Error, Result};
use crate::tensor::{SiteSet, Tensor};

/// What a site does. Displays as the name of the macro that makes it.
///
/// ```
/// use relax_runtime::model::Kind;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.9));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.8 }), heads, name = "toss");
/// }
///
/// # fn main() -> Result<()> {
/// let trace = Simulation::seeded(1).run(&toss(true))?.trace;
/// let kinds: Vec<Kind> = trace.entries().iter().map(|entry| entry.kind).collect();
/// assert_eq!(kinds, [Kind::Latent, Kind::Observed]);
/// assert_eq!(trace.get("toss")?.kind.to_string(), "observe");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A random choice.
    Latent,
    /// An observed value.
    Observed,
    /// A learned parameter.
    Param,
    /// A term of the expected cost.
    Cost,
    /// A term of the log-probability.
    Factor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Latent => "sample",
            Kind::Observed => "observe",
            Kind::Param => "param",
            Kind::Cost => "cost",
            Kind::Factor => "factor",
        })
    }
}

/// Which rows a plate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rows {
    /// Those of one `plate!` block without a name, by its line and how often the run had entered it before.
    Entry {
        /// How often the run had entered it before.
        nth: usize,
        /// The user's line.
        line: u32,
        /// The user's file.
        file: &'static str,
    },
    /// Those of all blocks of one name.
    Named(&'static str),
}

/// A plate around a site: a set of independent rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plate {
    /// Which rows it holds.
    pub rows: Rows,
    /// Number of rows.
    pub size: usize,
    /// Size of the whole data set divided by the number of rows.
    pub scale: f64,
}

impl Plate {
    /// Whether row i of one plate is row i of the other, for all i.
    pub fn same_rows(&self, other: &Self) -> bool {
        self.rows == other.rows && self.size == other.size
    }
}

/// Whether the outermost of some plates are these: rows of the others lie in rows of theirs.
pub(crate) fn within(inner: &[Plate], outer: &[Plate]) -> bool {
    let mut pairs = inner.iter().zip(outer);
    outer.len() <= inner.len() && pairs.all(|(a, b)| a.same_rows(b))
}

/// One site of a run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Full name, with prefixes and index.
    pub name: Cow<'static, str>,
    /// What the site does.
    pub kind: Kind,
    /// Its distribution, if it has one.
    pub dist: Option<Rc<dyn AnyDistribution>>,
    /// The value of the site.
    pub value: Value,
    /// The plates around it, outermost first.
    pub plates: Rc<[Plate]>,
    /// Factor by which subsampling plates scale its log-probability or cost.
    pub scale: f64,
    /// The user's file.
    pub file: &'static str,
    /// The user's line.
    pub line: u32,
    /// How much handlers let its log-probability or cost count; `None` if they leave it unchanged.
    pub(crate) weight: Option<Rc<Weight>>,
    /// Whether it is hidden from outer handlers and guides.
    pub(crate) hidden: bool,
    /// Whether its log-probability is part of another term (a sum) and does not count here.
    pub(crate) elsewhere: bool,
    /// Set if it is an observation outside the support that earlier choices led to.
    pub(crate) outside: Option<Rc<OutOfSupport>>,
    /// The macro that the user wrote, whatever a handler made of it.
    pub(crate) written: Kind,
    /// Random sites that may affect this one invisibly: those that host control flow had seen when this one was
    /// reached, and the site itself. Empty for a parameter, which is not a term.
    pub(crate) influence: SiteSet,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
}

impl Entry {
    /// Log-density of the value, or log-weight of a factor: one number per row of the plates, without the plates'
    /// scale.
    ///
    /// # Errors
    /// If shapes do not fit, at the site's line.
    pub fn log_prob(&self) -> Result<Number> {
        if self.outside.is_some() {
            return Ok(Number::Host(f64::NEG_INFINITY));
        }
        let Some(dist) = &self.dist else {
            return Ok(match (self.kind, &self.value) {
                (Kind::Factor, Value::Real(x)) => Number::Host(*x),
                (Kind::Factor, Value::Tensor(t)) => Number::Tensor(t.clone()),
                _ => Number::Host(0.0),
            });
        };
        let number = dist.log_density(&self.value, self.plates.len());
        number
            .and_then(|n| self.per_row(n))
            .map_err(|e| self.locate(e))
    }

    /// What the site adds to the run's log-probability: its own, with the plates' scale and handlers' weights.
    ///
    /// # Errors
    /// As [`log_prob`](Self::log_prob), or if a mask does not fit.
    pub fn weighted_log_prob(&self) -> Result<f64> {
        Ok(self.log_prob_once()? * self.scale)
    }

    /// The same without the plates' scale.
    fn log_prob_once(&self) -> Result<f64> {
        if self.elsewhere {
            return Ok(0.0);
        }
        let log_prob = self.weighed(self.log_prob()?).map_err(|e| self.locate(e))?;
        Ok(log_prob.total()? * self.weight_factor())
    }

    /// A term of the site, with masked rows left out.
    pub(crate) fn weighed(&self, term: Number) -> Result<Number> {
        match &self.weight {
            Some(weight) => weight.mask(term),
            None => Ok(term),
        }
    }

    /// The factor by which handlers weight its terms.
    pub(crate) fn weight_factor(&self) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight.factor)
    }

    /// The total factor of its terms.
    pub(crate) fn factor(&self) -> f64 {
        self.scale * self.weight_factor()
    }

    /// Sizes of the plates around the site.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.plates.iter().map(|plate| plate.size).collect()
    }

    /// The error of an observation that lies outside its distribution's support whatever the parameters.
    pub(crate) fn mistake(&self) -> Option<Error> {
        let mistake = self.outside.as_ref()?.mistake()?;
        Some(self.locate(mistake.clone()))
    }

    /// What is known besides its log-density.
    pub(crate) fn known(&self) -> Known<'_> {
        Known::of(self.outside.as_ref(), self.dist.as_ref())
    }

    /// Wraps an error with the site's name and line.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.at_site(&self.name, self.file, self.line)
    }
}

/// The sites of one run, in order. Displays as a table.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.9));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.8 }), heads, name = "toss");
/// }
///
/// # fn main() -> Result<()> {
/// let trace = Simulation::seeded(1).run(&condition(toss(true), "fair", false))?.trace;
/// assert_eq!(trace.entries().len(), 2);
/// assert!(trace.find("unfair").is_none());
/// assert!((trace.get("toss")?.weighted_log_prob()? - 0.8_f64.ln()).abs() < 1e-6);
/// assert!((trace.log_prob()? - (0.1_f64 * 0.8).ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trace {
    entries: Vec<Entry>,
    /// Positions by name, if there are more than [`FEW`] entries.
    places: Places,
    /// Choices that were summed out.
    pub(crate) summed: Vec<Rc<dyn SummedOut>>,
}

/// Positions by the hash of a name, or the first free number after it: names are stored in the entries and not repeated
/// here.
type Places = FxHashMap<u64, usize>;

thread_local! {
    /// The memory of a trace that was taken apart: a training step needs as much as the one before.
    static SPARE: RefCell<(Vec<Entry>, Places)> = RefCell::default();
}

/// Up to this many names are compared one by one, which is faster than hashing.
const FEW: usize = 16;

impl Trace {
    /// An empty trace, in the memory of one that was [taken apart](Self::take_apart).
    pub(crate) fn in_spare_memory() -> Self {
        let (entries, places) = SPARE.take();
        Self {
            entries,
            places,
            summed: Vec::new(),
        }
    }

    /// Passes the sites to `take`, in the order of the run, and leaves the memory to a later trace.
    ///
    /// # Errors
    /// The errors of `take`.
    pub(crate) fn take_apart(
        mut self,
        mut take: impl FnMut(&mut Entry) -> Result<()>,
    ) -> Result<()> {
        for mut entry in self.entries.drain(..) {
            take(&mut entry)?;
        }
        self.places.clear();
        SPARE.set((self.entries, self.places));
        Ok(())
    }

    /// Adds a site.
    ///
    /// # Errors
    /// If there is a site of that name, or there are already [`MOST_SITES`].
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> Result<()> {
        if self.entries.len() == MOST_SITES {
            let is_certain = entry.dist.as_ref().is_some_and(|dist| {
                let is_coin = dist.count_values() == Some(2);
                is_coin && dist.excludes_values()
            });
            return Err(entry.locate(match is_certain {
                true => Error::EndlessLoop(MOST_SITES),
                false => Error::TooManySites(MOST_SITES),
            }));
        }
        if self.place(&entry.name).is_some() {
            return Err(duplicate(&entry));
        }
        self.entries.push(entry);
        if self.entries.len() > FEW {
            self.index();
        }
        Ok(())
    }

    /// Indexes the entries added since the last call.
    fn index(&mut self) {
        for (place, entry) in self.entries.iter().enumerate().skip(self.places.len()) {
            let (key, _) = self.find_key(&entry.name);
            self.places.insert(key, place);
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        match self.entries.len() > FEW {
            true => self.find_key(name).1,
            false => self.entries.iter().position(|entry| entry.name == name),
        }
    }

    /// The key of a name, and its position if it has one.
    fn find_key(&self, name: &str) -> (u64, Option<usize>) {
        let mut key = FxBuildHasher.hash_one(name);
        loop {
            match self.places.get(&key) {
                Some(&place) if self.entries[place].name == name => return (key, Some(place)),
                Some(_) => key = key.wrapping_add(1),
                None => return (key, None),
            }
        }
    }

    /// The sites, in the order of the run.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The site of a name, if the run reached it.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.place(name).map(|i| &self.entries[i])
    }

    /// The site of a name.
    ///
    /// # Errors
    /// [`Error::UnknownSite`], listing the sites that exist.
    pub fn get(&self, name: &str) -> Result<&Entry> {
        self.find(name)
            .ok_or_else(|| unknown_site(name, self.entries.iter().map(|entry| &*entry.name)))
    }

    /// The sum of all log-probabilities, each with its plates' scale and handlers' weights.
    ///
    /// # Errors
    /// As [`Entry::weighted_log_prob`].
    pub fn log_prob(&self) -> Result<f64> {
        self.entries.iter().map(Entry::weighted_log_prob).sum()
    }

    /// The same without the plates' scale.
    pub(crate) fn log_prob_once(&self) -> Result<f64> {
        self.entries.iter().map(Entry::log_prob_once).sum()
    }
}

/// What the run of a model under a handler reached: the sites of that model alone, by their names within it.
pub struct Ran<'t> {
    trace: &'t Trace,
    /// The first entry.
    first: usize,
    /// The names of the sub-models around the model, each with a slash.
    prefix: &'t str,
}

impl<'t> Ran<'t> {
    pub(super) fn new(trace: &'t Trace, first: usize, prefix: &'t str) -> Self {
        Self {
            trace,
            first,
            prefix,
        }
    }

    /// The sites, each with its name.
    pub fn sites(&self) -> impl Iterator<Item = (&'t str, &'t Entry)> {
        let prefix = self.prefix;
        let named = move |entry: &'t Entry| Some((entry.name.strip_prefix(prefix)?, entry));
        self.trace.entries[self.first..].iter().filter_map(named)
    }

    /// The site of a name.
    ///
    /// # Errors
    /// [`Error::UnknownSite`], listing the sites that exist.
    pub fn get(&self, name: &str) -> Result<&'t Entry> {
        let place = self.trace.place(&[self.prefix, name].concat());
        let place = place.filter(|place| *place >= self.first);
        let unknown = || unknown_site(name, self.sites().map(|(name, _)| name));
        Ok(&self.trace.entries[place.ok_or_else(unknown)?])
    }
}

#[cold]
fn duplicate(entry: &Entry) -> Error {
    entry.locate(Error::DuplicateSite(entry.name.to_string()))
}

/// The error of a name that no site has.
pub(crate) fn unknown_site<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::UnknownSite {
        name: name.to_owned(),
        known: names_in_words(known),
    }
}

/// The error of a name that no parameter has.
pub(crate) fn unknown_parameter<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::UnknownParameter {
        name: name.to_owned(),
        known: names_in_words(known),
    }
}

/// Names as an error lists them.
fn names_in_words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["site", "kind", "distribution", "shape", "value", "log_prob"];
        let mut rows = vec![header.map(String::from)];
        for entry in &self.entries {
            let log_prob = match (entry.kind, entry.weighted_log_prob()) {
                (Kind::Param | Kind::Cost, _) => String::new(),
                (_, Ok(x)) => format!("{x:.4}"),
                (_, Err(e)) => e.to_string(),
            };
            rows.push([
                entry.name.to_string(),
                entry.kind.to_string(),
                entry
                    .dist
                    .as_ref()
                    .map_or(String::new(), |d| d.name().to_owned()),
                entry.value.shape().to_string(),
                entry.value.to_string(),
                log_prob,
            ]);
        }
        crate::report::write_table(f, &rows)
    }
}

//! The record of one run.

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

/// What a site does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A random choice.
    Latent,
    /// A value whose probability counts.
    Observed,
    /// A learned number.
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
    /// Those of one `plate!` block, by its place among the blocks that the run entered.
    Entry(usize),
    /// Those of all blocks with a name.
    Named(&'static str),
}

/// A plate around a site: rows that are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plate {
    /// Which rows.
    pub rows: Rows,
    /// How many.
    pub size: usize,
    /// Size of the whole data set over the number of rows.
    pub scale: f64,
}

impl Plate {
    /// Whether row i here is row i there.
    pub fn same_rows(&self, other: &Self) -> bool {
        self.rows == other.rows && self.size == other.size
    }
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
    /// Its value.
    pub value: Value,
    /// The plates around it, outermost first.
    pub plates: Rc<[Plate]>,
    /// Factor by which subsampling plates scale its log-probability or cost.
    pub scale: f64,
    /// The user's file.
    pub file: &'static str,
    /// The user's line.
    pub line: u32,
    /// How much handlers let its log-probability or cost count; nothing where they leave it.
    pub(crate) weight: Option<Rc<Weight>>,
    /// Whether handlers and guides outside did not see it.
    pub(crate) hidden: bool,
    /// Whether its log-probability is part of another term, of a sum, and does not count here.
    pub(crate) elsewhere: bool,
    /// That it is an observation outside the support that earlier choices have led to.
    pub(crate) outside: Option<Rc<OutOfSupport>>,
    /// The macro that the user wrote, whatever a handler made of it.
    pub(crate) written: Kind,
    /// Random sites that may matter here unseen: those that host control flow had seen when this
    /// one was reached, and the site itself. None of a parameter, which is no term of anything.
    pub(crate) influence: SiteSet,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
}

impl Entry {
    /// Log-density of the value, or the log-weight of a factor, a number a row of the plates, without the
    /// plates' scale.
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

    /// What its log-probability adds to that of the run: with the plates' scale, and as much of it
    /// as handlers let count.
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

    /// A term of the site without what is masked.
    pub(crate) fn weighed(&self, term: Number) -> Result<Number> {
        match &self.weight {
            Some(weight) => weight.mask(term),
            None => Ok(term),
        }
    }

    /// How much handlers let its terms count.
    pub(crate) fn weight_factor(&self) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight.factor)
    }

    /// What its terms are multiplied by.
    pub(crate) fn factor(&self) -> f64 {
        self.scale * self.weight_factor()
    }

    /// Sizes of the plates around the site.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.plates.iter().map(|plate| plate.size).collect()
    }

    /// Checks that a number has one row a plate member.
    pub(crate) fn per_row(&self, number: Number) -> Result<Number> {
        // By iterators: to compare slices that are empty takes as long as a whole operation where the
        // address of one is invalid.
        let has_rows = |t: &Tensor| {
            let sizes = self.plates.iter().map(|plate| plate.size);
            t.shape().iter().copied().eq(sizes)
        };
        match &number {
            Number::Host(_) if self.plates.is_empty() => Ok(number),
            Number::Tensor(t) if has_rows(t.check()?) => Ok(number),
            Number::Host(x) => Err(Error::Plates(format!(
                "a host number, {x}, inside a plate: a plate's rows are computed together, so give \
                 a Tensor whose first axis is the plate's size, or use a `for` loop"
            ))),
            Number::Tensor(t) => Err(Error::Plates(format!(
                "inside a plate the leading axes of rows must be the plates': those around this site have \
                 sizes {:?}, but its rows have shape {}",
                self.sizes(),
                t.shape()
            ))),
        }
    }

    /// The error of an observation that lies outside of its distribution's support whatever the parameters are.
    pub(crate) fn mistake(&self) -> Option<Error> {
        let mistake = self.outside.as_ref()?.mistake()?;
        Some(self.locate(mistake.clone()))
    }

    /// Checks that a tensor that is observed has a row for each member of the plates. A single number is the same in
    /// all.
    pub(super) fn expect_observed_rows(&self) -> Result<()> {
        let Value::Tensor(value) = &self.value else {
            return Ok(());
        };
        let (shape, sizes) = (value.check()?.shape(), self.sizes());
        match shape.rank() == 0 || shape.starts_with(&sizes) {
            true => Ok(()),
            false => Err(Error::Plates(format!(
                "the observed value has shape {shape} inside plates of sizes {sizes:?}; its leading axes must be \
                 the plates', with a row for each member, or it is a single number, the same in all"
            ))),
        }
    }

    /// What is known beside its log-density.
    pub(crate) fn known(&self) -> Known<'_> {
        Known::of(self.outside.as_ref(), self.dist.as_ref())
    }

    /// Wraps an error with the site's name and line.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.at_site(&self.name, self.file, self.line)
    }
}

/// The sites of one run, in order. Prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    entries: Vec<Entry>,
    /// Places by names, where there are more than [`FEW`] entries.
    places: Places,
    /// Choices that were summed out.
    pub(crate) summed: Vec<Rc<dyn SummedOut>>,
}

/// Places by the hash of a name, or the first number after it that is free: a run's names stand in its
/// entries, and not here once more.
type Places = FxHashMap<u64, usize>;

thread_local! {
    /// The memory of a record that was taken apart: a step of training wants as much as the one before.
    static SPARE: RefCell<(Vec<Entry>, Places)> = RefCell::default();
}

/// So many names are compared one by one faster than they are hashed.
const FEW: usize = 16;

impl Trace {
    /// No sites, in the memory of a record that was [taken apart](Self::take_apart).
    pub(crate) fn in_spare_memory() -> Self {
        let (entries, places) = SPARE.take();
        Self {
            entries,
            places,
            summed: Vec::new(),
        }
    }

    /// Gives `take` the sites, in the order of the run, and leaves the memory to a later record.
    ///
    /// # Errors
    /// Those of `take`.
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
    /// If a site of that name is there, or [`MOST_SITES`] are.
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

    /// Notes the places of the entries that have been added since the last time.
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

    /// The key of a name, and its place if it has one.
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

    /// The site of a name, if the run came by it.
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

    /// The sum of all log-probabilities, each times its plates' scale and what handlers make of it.
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

/// What the run of a model under a handler has come by: the sites of that model alone, by the names
/// that they have there.
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
    let known: Vec<_> = known.map(|n| format!("`{n}`")).collect();
    let known = if known.is_empty() {
        "none".into()
    } else {
        known.join(", ")
    };
    Error::UnknownSite {
        name: name.to_owned(),
        known,
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

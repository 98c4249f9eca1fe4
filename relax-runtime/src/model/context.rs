//! The context that answers a running model's sites.

mod inside;
mod param;
mod random;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::host::{Host, HostRun};
use super::names::Scope;
use super::plates::Plates;
use super::{
    Entry, Handler, Interpreter, Kind, Model, ParamStore, Plate, Ran, Site, Trace, Weight,
};
use crate::dist::{Number, Value};
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Reads, SiteSet};

/// Placeholder for the value of a new entry until there is one.
const UNKNOWN: Value = Value::Real(0.0);

/// Maximum depth of models that call each other; the stack of a thread can hold this many.
pub const CALL_DEPTH: usize = 256;

/// Maximum number of sites in a run: an endless loop becomes an error before it uses up the memory. Sums over
/// combinations have the same limit, but report too many combinations first.
pub const MOST_SITES: usize = 1 << 20;

/// A handler around a part of the program.
#[derive(Clone)]
struct Installed {
    handler: Rc<dyn Handler>,
    /// Number of bytes in a site's name taken by the names of sub-models around the model.
    prefix: usize,
}

/// One run of a model: answers its sites through the handlers around it, and records them.
pub struct Context {
    key: Key,
    /// From the outermost to the innermost.
    handlers: RefCell<Vec<Installed>>,
    interpreter: Option<Rc<dyn Interpreter>>,
    params: ParamStore,
    /// Sites whose tensors the host has read in this run.
    reads: Reads,
    state: RefCell<State>,
    /// Current depth of models that call each other.
    depth: Cell<usize>,
    /// The error of a site on its way out of a model whose own error type cannot carry it.
    failure: Cell<Option<Error>>,
    /// Answers all sites instead, in a run in host numbers.
    host: Option<Box<Host>>,
    /// Whether it is one of several runs inside another.
    is_inside: bool,
}

struct State {
    trace: Trace,
    scope: Scope,
    plates: Plates,
    /// Sites with host values: anything after them may depend on them invisibly.
    host_sites: SiteSet,
}

impl Context {
    pub(crate) fn new(
        key: Key,
        interpreter: Option<Rc<dyn Interpreter>>,
        params: ParamStore,
    ) -> Self {
        Self {
            key,
            handlers: RefCell::default(),
            interpreter,
            params,
            reads: Reads::default(),
            state: RefCell::new(State::new()),
            depth: Cell::new(0),
            failure: Cell::new(None),
            host: None,
            is_inside: false,
        }
    }

    /// Writes the trace in memory that an earlier one left.
    pub(crate) fn use_spare_memory(&mut self) {
        self.state.get_mut().trace = Trace::in_spare_memory();
    }

    /// A context for runs in host numbers, one after the other.
    pub(crate) fn of_host(run: Rc<dyn HostRun>) -> Self {
        Self {
            host: Some(Box::new(Host::new(run))),
            ..Self::new(Key::new(0), None, ParamStore::default())
        }
    }

    /// Prepares for the next run in host numbers.
    pub(crate) fn restart(&self) {
        if let Some(host) = &self.host {
            host.restart();
        }
    }

    /// The trace of the run, and the sites that the host has read.
    pub(crate) fn finish(self) -> (Trace, SiteSet) {
        let influence = self.influence(&self.state.borrow());
        (self.state.into_inner().trace, influence)
    }

    /// Runs a part of the program under a handler.
    pub(super) fn under<T>(
        &self,
        handler: Rc<dyn Handler>,
        part: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(host) = &self.host {
            return Err(host.refuse());
        }
        let (prefix, first) = {
            let state = self.state.borrow();
            (state.scope.prefix().len(), state.trace.entries().len())
        };
        self.handlers.borrow_mut().push(Installed {
            handler: Rc::clone(&handler),
            prefix,
        });
        let output = part();
        self.handlers.borrow_mut().pop();
        let output = output?;
        let state = self.state.borrow();
        handler.finish(&Ran::new(&state.trace, first, state.scope.prefix()))?;
        Ok(output)
    }

    /// Shows a site to the handlers, from the innermost outwards, up to one that hides it from those outside; returns
    /// whether there is one.
    fn pass_by(
        &self,
        name: &str,
        mut see: impl FnMut(&dyn Handler, &str) -> Result<()>,
    ) -> Result<bool> {
        for Installed { handler, prefix } in self.handlers.borrow().iter().rev() {
            let name = &name[*prefix..];
            if handler.hides(name) {
                return Ok(true);
            }
            see(&**handler, name)?;
        }
        Ok(false)
    }

    /// How much a term of this name counts.
    fn weigh(&self, name: &str) -> Result<Option<Rc<Weight>>> {
        if self.handlers.borrow().is_empty() {
            return Ok(None);
        }
        let mut weight = Weight::ONE;
        self.pass_by(name, |handler, name| handler.weigh(name, &mut weight))?;
        Ok(weight.shared())
    }

    /// Adds a term to the cost whose expectation is minimized; inside plates, one row per member.
    ///
    /// # Errors
    /// If a tensor carries an error or its leading axes are not the plates'.
    pub fn cost(&self, site: Site, value: impl Into<Number>) -> Result<()> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.cost(&site, value.into());
        }
        self.record_number(site, Kind::Cost, value.into())
    }

    /// Adds a term to the log-probability of the run, as an observation does; inside plates, one row per member.
    ///
    /// # Errors
    /// As [`cost`](Self::cost).
    pub fn factor(&self, site: Site, log_weight: impl Into<Number>) -> Result<()> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.factor(&site, log_weight.into());
        }
        self.record_number(site, Kind::Factor, log_weight.into())
    }

    /// Records a term given as a number.
    fn record_number(&self, site: Site, kind: Kind, number: Number) -> Result<()> {
        let mut entry = self.entry(site, kind, UNKNOWN);
        let number = number.sum_from(entry.plates.len());
        let number = entry.per_row(number).map_err(|e| entry.locate(e))?;
        entry.value = match number {
            Number::Host(x) => Value::Real(x),
            Number::Tensor(t) => Value::Tensor(t),
        };
        entry.weight = self.weigh(&entry.name).map_err(|e| entry.locate(e))?;
        self.record(entry)
    }

    /// Number of plates around the current place of the run.
    pub(crate) fn plates_around(&self) -> usize {
        self.state.borrow().plates.around().len()
    }

    /// Enters a plate of `size` independent rows, a sample of `of` rows if given, until the guard is dropped. Different
    /// plates are taken to have different rows, unless they have the same name.
    ///
    /// # Errors
    /// If `size` is 0 or larger than `of`, or an earlier plate of the same name in this run had another `size` or `of`.
    pub fn plate(&self, site: Site, size: usize, of: Option<usize>) -> Result<PlateGuard<'_>> {
        if let Some(host) = &self.host {
            return Err(host.refuse());
        }
        let outer = self.state.borrow_mut().plates.enter(&site, size, of)?;
        Ok(PlateGuard {
            context: self,
            outer,
        })
    }

    /// Runs another model as part of this one, with its sites prefixed by the site's name.
    ///
    /// # Errors
    /// As [`Model::run`], and [`Error::CallDepth`] if models call each other more than [`CALL_DEPTH`] deep.
    pub fn call<M: Model + ?Sized>(&self, site: Site, model: &M) -> Result<M::Output> {
        site.check_name()?;
        let depth = self.depth.get();
        if depth == CALL_DEPTH {
            return Err(Error::CallDepth(CALL_DEPTH).at_site(site.text(), site.file, site.line));
        }
        self.depth.set(depth + 1);
        let output = self.run_inside(&site, model);
        self.depth.set(depth);
        output
    }

    fn run_inside<M: Model + ?Sized>(&self, site: &Site, model: &M) -> Result<M::Output> {
        if let Some(host) = &self.host {
            return host.inside(site, || model.run(self));
        }
        let outer = self.state.borrow_mut().scope.enter(site);
        let output = model.run(self);
        self.state.borrow_mut().scope.leave(outer);
        output
    }

    /// Keeps the error of a site until the model has returned.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.set(Some(error));
    }

    /// The error that was kept.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.take()
    }

    /// The random sites that host code may have seen so far.
    #[inline]
    fn influence(&self, state: &State) -> SiteSet {
        let mut sites = state.host_sites.clone();
        self.reads.add_to(&mut sites);
        sites
    }

    /// A new entry for a site.
    #[inline]
    fn entry(&self, site: Site, kind: Kind, value: Value) -> Entry {
        let state = self.state.borrow();
        Entry {
            name: state.scope.full(&site),
            kind,
            written: kind,
            dist: None,
            value,
            plates: Rc::clone(state.plates.around()),
            scale: state.plates.scale(),
            file: site.file,
            line: site.line,
            weight: None,
            hidden: false,
            elsewhere: false,
            outside: None,
            influence: match kind {
                Kind::Param => SiteSet::EMPTY,
                Kind::Latent | Kind::Observed | Kind::Cost | Kind::Factor => self.influence(&state),
            },
            estimator: site.estimator,
            context: site.context,
        }
    }

    #[inline]
    fn record(&self, entry: Entry) -> Result<()> {
        self.state.borrow_mut().trace.push(entry)
    }
}

impl State {
    fn new() -> Self {
        Self {
            trace: Trace::default(),
            scope: Scope::default(),
            plates: Plates::none(),
            host_sites: SiteSet::EMPTY,
        }
    }
}

/// Leaves the plate when dropped.
pub struct PlateGuard<'c> {
    context: &'c Context,
    outer: Rc<[Plate]>,
}

impl Drop for PlateGuard<'_> {
    fn drop(&mut self) {
        self.context.state.borrow_mut().plates.leave(&self.outer);
    }
}

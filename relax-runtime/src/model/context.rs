//! The context that answers a running model's sites.

mod inside;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::host::{Host, HostRun};
use super::into_param::IntoParam;
use super::names::Scope;
use super::plates::Plates;
use super::{
    Entry, Handler, Interpreter, Kind, Message, Model, OutOfSupport, ParamStore, Plate, Ran, Site,
    Trace, Weight,
};
use crate::dist::{
    AnyDistribution, Distribution, IntoDistribution, IntoSiteValue, Number, SiteValue, Value,
};
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Provenance, Reads, SiteSet, Tensor};

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

    /// Draws from a distribution, or takes the value that a handler provides.
    ///
    /// # Errors
    /// If the distribution's parameters are wrong, the value does not fit, or the name is taken.
    pub fn sample<I: IntoDistribution>(
        &self,
        site: Site,
        dist: I,
    ) -> Result<<I::Distribution as Distribution>::Value> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.sample(&site, dist);
        }
        let mut entry = self.entry(site, Kind::Latent, UNKNOWN);
        let drawn = dist
            .into_distribution()
            .and_then(|dist| self.draw(&mut entry, dist));
        entry.value = drawn.map_err(|e| entry.locate(e))?;
        let typed = SiteValue::from_value(&entry.value).map_err(|e| entry.locate(e))?;
        self.record(entry)?;
        Ok(typed)
    }

    fn draw<D: Distribution>(&self, entry: &mut Entry, dist: D) -> Result<Value> {
        let original: Rc<dyn AnyDistribution> = Rc::new(dist.clone());
        let sizes = entry.sizes();
        if let Some(context) = &entry.context {
            let shape = context.check()?.shape();
            if !shape.starts_with(&sizes) {
                return Err(Error::Plates(format!(
                    "the context has shape {shape} inside plates of sizes {sizes:?}; its leading \
                     axes must be the plates'"
                )));
            }
        }
        entry.weight = self.weigh(&entry.name)?;
        let full_name = &entry.name;
        let mut message = Message {
            name: full_name,
            full_name,
            hidden: false,
            weight: entry.weight.as_ref(),
            dist: &original,
            plates: &entry.plates,
            scale: entry.scale,
            file: entry.file,
            line: entry.line,
            key: self.key,
            influence: &entry.influence,
            reads: &self.reads,
            estimator: entry.estimator.as_ref(),
            context: entry.context.as_ref(),
            find: &|name, see| {
                self.state
                    .borrow()
                    .trace
                    .find(name)
                    .into_iter()
                    .for_each(see)
            },
            earlier: &|see| self.state.borrow().trace.entries().iter().for_each(see),
            expand: &|| Ok(Rc::new(dist.clone().expand(&sizes)?)),
            law: &|| match sizes.is_empty() {
                true => Distribution::law(&dist),
                false => Distribution::law(&dist.clone().expand(&sizes)?),
            },
            value: None,
            observed: false,
            origin: None,
        };
        message.hidden = self.pass_by(full_name, |handler, name| {
            message.name = &full_name[full_name.len() - name.len()..];
            handler.sample(&mut message)
        })?;
        message.name = full_name;
        if let Some(interpreter) = &self.interpreter {
            interpreter.sample(&mut message)?;
        }
        let Message {
            value,
            observed,
            hidden,
            origin,
            ..
        } = message;
        entry.hidden = hidden;
        if observed {
            entry.kind = Kind::Observed;
        }
        let Some(value) = value else {
            let dist = dist.expand(&entry.sizes())?;
            let value = AnyDistribution::sample(&dist, &mut self.key.stream(&entry.name))?;
            entry.dist = Some(Rc::new(dist));
            return Ok(value);
        };
        let value = original.convert(&value)?;
        entry.dist = Some(original);
        // A site's own density depends on its value, which a host number does not show.
        if let Some(origin) = origin {
            // A guide's law may depend on what it has read since the site was reached.
            self.reads.add_to(&mut entry.influence);
            entry.influence.insert(origin);
        }
        Ok(match origin {
            Some(origin) => self.attribute(value, origin),
            None => value,
        })
    }

    /// Marks a value as coming from a random site, so that costs know what they depend on.
    fn attribute(&self, value: Value, origin: usize) -> Value {
        match value {
            Value::Tensor(t) => {
                let mut sites = t.sites();
                sites.insert(origin);
                let reads = self.reads.clone();
                let rounding = t.rounding().cloned();
                Value::Tensor(t.with_provenance(Provenance::new(sites, reads, rounding)))
            }
            host => {
                self.state.borrow_mut().host_sites.insert(origin);
                host
            }
        }
    }

    /// Records a value and its log-probability: −∞ if host values drawn before led to a distribution whose support does
    /// not contain the value.
    ///
    /// # Errors
    /// If the distribution's parameters are wrong, the value lies outside its support whatever was drawn, or a tensor
    /// does not have the rows of the plates.
    pub fn observe<I: IntoDistribution>(
        &self,
        site: Site,
        dist: I,
        value: impl IntoSiteValue<<I::Distribution as Distribution>::Value>,
    ) -> Result<()> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return host.observe(&site, dist, value);
        }
        let mut entry = self.entry(site, Kind::Observed, UNKNOWN);
        let dist = dist.into_distribution().map_err(|e| entry.locate(e))?;
        entry.value = value.into_site_value().into_value();
        match AnyDistribution::check(&dist, &entry.value) {
            // The support may depend on choices: others may fit the value.
            Err(error)
                if error.is_of_this_support()
                    && entry.influence != SiteSet::EMPTY
                    && entry.plates.is_empty()
                    && entry.value.shape().numel() == 1 =>
            {
                let by_parameters = AnyDistribution::may_contain(&dist, &entry.value);
                let by_parameters = by_parameters.map_err(|e| entry.locate(e))?;
                entry.outside = Some(Rc::new(OutOfSupport::new(error, by_parameters)));
            }
            checked => checked.map_err(|e| entry.locate(e))?,
        }
        entry.expect_observed_rows().map_err(|e| entry.locate(e))?;
        entry.dist = Some(Rc::new(dist));
        entry.weight = self.weigh(&entry.name).map_err(|e| entry.locate(e))?;
        self.record(entry)
    }

    /// The parameter of a site, if it already exists; if constrained, as a value that satisfies the constraint.
    ///
    /// # Errors
    /// If the name is taken in this run, or a handler gives a value that the constraint excludes.
    pub fn param(&self, site: Site) -> Result<Option<Tensor>> {
        site.check_name()?;
        if let Some(host) = &self.host {
            return Err(host.refuse());
        }
        let name = self.state.borrow().scope.full(&site);
        let mut substituted = None;
        self.pass_by(&name, |handler, name| {
            substituted = substituted.take().or_else(|| handler.param(name));
            Ok(())
        })?;
        let value = match (substituted, site.constraint) {
            (Some(value), None) => value.check().cloned(),
            (Some(value), Some(constraint)) => constraint.check(&value).map(|()| value),
            (None, constraint) => match self.params.settled(&name) {
                Some(parameter) => Ok(self.params.constrained(&name, &parameter, constraint)),
                None => return Ok(None),
            },
        };
        let value = value.map_err(|e| e.at_site(&name, site.file, site.line))?;
        self.record_param(site, value).map(Some)
    }

    /// Creates the parameter of a site with its initial value, which must satisfy its constraint.
    ///
    /// # Errors
    /// If `init` violates the constraint, carries an error or holds a number that is not finite, if a checkpoint has
    /// another shape for it, or if the name is taken in this run.
    pub fn new_param(&self, site: Site, init: impl IntoParam) -> Result<Tensor> {
        site.check_name()?;
        let name = self.state.borrow().scope.full(&site);
        let created = init.into_param().and_then(|init| {
            let always = self.influence(&self.state.borrow()) == SiteSet::EMPTY;
            let free = match site.constraint {
                Some(constraint) => constraint.free(&init)?,
                None => init,
            };
            let parameter = self.params.create(&name, &free, always)?;
            Ok(self.params.constrained(&name, &parameter, site.constraint))
        });
        match created {
            Ok(value) => self.record_param(site, value),
            Err(error) => Err(self.entry(site, Kind::Param, UNKNOWN).locate(error)),
        }
    }

    fn record_param(&self, site: Site, value: Tensor) -> Result<Tensor> {
        self.record(self.entry(site, Kind::Param, Value::Tensor(value.clone())))?;
        Ok(value)
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

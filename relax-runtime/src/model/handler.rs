//! Handlers: interpretations of a model's sites, as in Pyro.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::trace::unknown_site;
use super::{Context, HandlerList, Kind, Model, ParamStore, Plate, Trace};
use crate::dist::{AnyDistribution, Law, SiteValue, Value, draw_shape, holds_indices};
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{SiteSet, Tensor};

/// A site on its way past the handlers, which may give it a value.
pub struct Message<'a> {
    /// Full name.
    pub name: &'a str,
    /// The distribution that the model states.
    pub dist: &'a Rc<dyn AnyDistribution>,
    /// The plates around the site, outermost first.
    pub plates: &'a Rc<[Plate]>,
    /// Factor of subsampling plates.
    pub scale: f64,
    /// The user's file.
    pub file: &'static str,
    /// The user's line.
    pub line: u32,
    /// Where the run stands in the random numbers.
    pub key: Key,
    /// The value, once a handler has given one; otherwise the site draws from `dist`.
    pub value: Option<Value>,
    /// Whether the value counts as observed.
    pub observed: bool,
    /// The name, to be kept.
    pub(crate) kept_name: &'a Cow<'static, str>,
    pub(crate) influence: SiteSet,
    pub(crate) estimator: Option<&'a Cow<'static, str>>,
    pub(crate) context: Option<&'a Tensor>,
    pub(crate) expand: &'a dyn Fn() -> Result<Rc<dyn AnyDistribution>>,
    pub(crate) law: &'a dyn Fn() -> Result<Rc<dyn Law>>,
    /// Index of the random choice that the value is, for the bookkeeping of costs.
    pub(crate) origin: Option<usize>,
}

impl Message<'_> {
    /// The distribution with a row for every member of the plates.
    ///
    /// # Errors
    /// If its parameters do not fit the plates.
    pub fn expanded(&self) -> Result<Rc<dyn AnyDistribution>> {
        (self.expand)()
    }

    /// The same as a law over tensors.
    ///
    /// # Errors
    /// As [`expanded`](Self::expanded), or if the distribution has no law.
    pub(crate) fn law(&self) -> Result<Rc<dyn Law>> {
        (self.law)()
    }

    /// Gives the site a value that it could have drawn itself.
    ///
    /// # Errors
    /// If the value is of another type or shape than a draw, or outside the support.
    pub fn give(&mut self, value: &Value) -> Result<()> {
        self.dist.check(value)?;
        self.give_shaped(value)
    }

    /// As [`give`](Self::give), but a site that can be relaxed takes points between the values of
    /// its support, too.
    fn give_relaxed(&mut self, value: &Value) -> Result<()> {
        if let (Value::Tensor(t), false) = (value, self.dist.is_host()) {
            let law = self.law()?;
            if let (Some(relaxation), true) = (law.relaxation(), law.takes_relaxed_values())
                && relaxation.spans(&law.to_vertex(t))?
            {
                return self.give_shaped(value);
            }
        }
        self.give(value)
    }

    fn give_shaped(&mut self, value: &Value) -> Result<()> {
        let law = self.law()?;
        let wanted = draw_shape(&law.parameters());
        let found = law.to_vertex(&value.to_tensor()?).check()?.shape();
        if found != wanted {
            // Indices have no axis of categories.
            let vectors = usize::from(holds_indices(&*law));
            let wanted = wanted.leading(wanted.rank() - vectors);
            return Err(Error::Model(format!(
                "a draw of the site has shape {wanted}, but the value that it was given has shape \
                 {}",
                value.shape()
            )));
        }
        self.value = Some(value.clone());
        Ok(())
    }
}

/// An interpretation of sites. Handlers see each site in turn; one that finds a value already there
/// usually leaves it.
pub trait Handler {
    /// May give a sample site its value.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn sample(&self, _message: &mut Message<'_>) -> Result<()> {
        Ok(())
    }

    /// May give a parameter its value.
    fn param(&self, _name: &str) -> Option<Tensor> {
        None
    }

    /// Looks at the finished run.
    ///
    /// # Errors
    /// If something that the handler was to do did not come about.
    fn finish(&self, _trace: &Trace) -> Result<()> {
        Ok(())
    }
}

/// Gives sites the values that they have in a trace, each checked as an observation is.
pub struct Replay(pub Rc<Trace>);

impl Handler for Replay {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if let (None, Some(entry)) = (&message.value, self.0.find(message.name)) {
            message.give_relaxed(&entry.value)?;
        }
        Ok(())
    }
}

/// Turns sites into observations.
#[derive(Default)]
pub struct Condition(pub BTreeMap<String, Value>);

impl Handler for Condition {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if let Some(value) = self.0.get(message.name) {
            message.give(value)?;
            message.observed = true;
        }
        Ok(())
    }

    fn finish(&self, trace: &Trace) -> Result<()> {
        expect_sites(&self.0, trace, "`sample!`", &[Kind::Latent])
    }
}

/// Gives sample sites and parameters fixed values, each checked as an observation is; sites stay random choices in the trace.
#[derive(Default)]
pub struct Substitute(pub BTreeMap<String, Value>);

impl Handler for Substitute {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        match self.0.get(message.name) {
            Some(value) => message.give(value),
            None => Ok(()),
        }
    }

    fn param(&self, name: &str) -> Option<Tensor> {
        let value = self.0.get(name)?;
        Some(value.to_tensor().unwrap_or_else(Tensor::poisoned))
    }

    fn finish(&self, trace: &Trace) -> Result<()> {
        let kinds = [Kind::Latent, Kind::Param];
        expect_sites(&self.0, trace, "`sample!` or `param!`", &kinds)
    }
}

/// Checks that each value had a site to go to.
fn expect_sites(
    values: &BTreeMap<String, Value>,
    trace: &Trace,
    macros: &str,
    kinds: &[Kind],
) -> Result<()> {
    for name in values.keys() {
        let Some(entry) = trace.find(name) else {
            let known = trace.entries().iter().map(|e| &*e.name);
            return Err(unknown_site(name, known));
        };
        if !kinds.contains(&entry.written) {
            let problem = format!("a value was given to it, but it is not a {macros} site");
            return Err(entry.locate(Error::Model(problem)));
        }
    }
    Ok(())
}

/// Keeps the handlers outside it from seeing some sites: those draw from their own distribution.
pub struct Block<H> {
    /// The handler that is kept off.
    pub inner: H,
    /// Which sites to hide from it, by name.
    pub hide: Box<dyn Fn(&str) -> bool>,
}

impl<H: Handler> Handler for Block<H> {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if (self.hide)(message.name) {
            Ok(())
        } else {
            self.inner.sample(message)
        }
    }

    fn param(&self, name: &str) -> Option<Tensor> {
        if (self.hide)(name) {
            None
        } else {
            self.inner.param(name)
        }
    }

    fn finish(&self, trace: &Trace) -> Result<()> {
        self.inner.finish(trace)
    }
}

/// Gives relaxable sites a relaxed draw: a point between the values of their support.
pub struct RelaxSites {
    /// Temperature λ of σ(z/λ) or softmax(z/λ).
    pub temperature: f64,
}

impl Handler for RelaxSites {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let problem = format!("is {}; it must be positive and finite", self.temperature);
            return Err(Error::Config {
                setting: "temperature",
                problem,
            });
        }
        if message.value.is_some() || message.dist.is_host() {
            return Ok(());
        }
        let law = message.law()?;
        if let (Some(relaxation), true) = (law.relaxation(), law.takes_relaxed_values()) {
            let noise = law.noise(&mut message.key.stream(message.name))?;
            let z = relaxation.relaxed(&law.parameters()[0], &noise);
            let temperature = Tensor::scalar(self.temperature as f32).to_device(&law.device())?;
            let draw = law.value_at(&relaxation.squash(&z, &temperature));
            message.value = Some(Value::Tensor(draw));
        }
        Ok(())
    }
}

/// The output and the record of one run.
#[derive(Debug)]
pub struct Run<O> {
    /// What the model returned.
    pub output: O,
    /// Its sites.
    pub trace: Trace,
}

/// Runs models under handlers.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() -> bool {
///     let fair = sample!(Bernoulli(0.9));
///     let heads = sample!(Bernoulli(if fair { 0.5 } else { 0.99 }));
///     heads
/// }
///
/// # fn main() -> Result<()> {
/// let run = Handlers::seeded(1).condition("fair", false).run(&coin())?;
/// println!("{}", run.trace);
/// let again = Handlers::seeded(2).replay(&run.trace).run(&coin())?;
/// assert_eq!(run.output, again.output);
/// # Ok(())
/// # }
/// ```
pub struct Handlers {
    key: Key,
    handlers: Vec<Rc<dyn Handler>>,
    condition: BTreeMap<String, Value>,
    substitute: BTreeMap<String, Value>,
    params: ParamStore,
}

impl Handlers {
    /// Plain simulation with the random numbers of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            key: Key::new(seed),
            handlers: Vec::new(),
            condition: BTreeMap::new(),
            substitute: BTreeMap::new(),
            params: ParamStore::default(),
        }
    }

    /// Gives sites the values that they have in `trace`.
    #[must_use]
    pub fn replay(self, trace: &Trace) -> Self {
        self.with(Replay(Rc::new(trace.clone())))
    }

    /// Observes a site's value.
    #[must_use]
    pub fn condition(mut self, site: &str, value: impl SiteValue) -> Self {
        self.condition.insert(site.to_owned(), value.into_value());
        self
    }

    /// Fixes a site's or parameter's value.
    #[must_use]
    pub fn substitute(mut self, site: &str, value: impl SiteValue) -> Self {
        self.substitute.insert(site.to_owned(), value.into_value());
        self
    }

    /// Relaxes the discrete sites over tensors.
    #[must_use]
    pub fn relax(self, temperature: f64) -> Self {
        self.with(RelaxSites { temperature })
    }

    /// Adds a handler behind those that are there.
    #[must_use]
    pub fn with(mut self, handler: impl Handler + 'static) -> Self {
        self.handlers.push(Rc::new(handler));
        self
    }

    /// Takes parameters from a store, and creates new ones there.
    #[must_use]
    pub fn params(mut self, params: &ParamStore) -> Self {
        self.params = params.clone();
        self
    }

    /// Runs a model once.
    ///
    /// # Errors
    /// As [`Model::run`]; and if a conditioned or substituted site does not exist.
    pub fn run<M: Model>(&self, model: &M) -> Result<Run<M::Output>> {
        let mut handlers = HandlerList::new();
        if !self.condition.is_empty() {
            handlers.push(Rc::new(Condition(self.condition.clone())));
        }
        if !self.substitute.is_empty() {
            handlers.push(Rc::new(Substitute(self.substitute.clone())));
        }
        handlers.extend(self.handlers.iter().cloned());
        let context = Context::new(self.key, handlers.clone(), self.params.clone());
        let output = model.run(&context)?;
        let (trace, _) = context.finish();
        handlers
            .iter()
            .try_for_each(|handler| handler.finish(&trace))?;
        Ok(Run { output, trace })
    }
}

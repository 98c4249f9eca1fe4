//! A site on its way past the handlers.

use std::borrow::Cow;
use std::rc::Rc;

use super::super::{Entry, Plate, Weight};
use crate::dist::{AnyDistribution, Law, Value, holds_indices};
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Reads, SiteSet, Tensor};

/// Shows the entries of a trace to a function.
type Earlier<'a> = dyn Fn(&mut dyn FnMut(&Entry)) + 'a;

/// Shows the entry of a name to a function, if there is one.
type Find<'a> = dyn Fn(&str, &mut dyn FnMut(&Entry)) + 'a;

/// A `sample!` site on its way past the handlers, which may give it a value. Passed to
/// [`Handler::sample`](super::Handler::sample).
///
/// ```
/// use relax_runtime::dist::Value;
/// use relax_runtime::model::{Handler, Message, Under};
/// use relax_runtime::prelude::*;
///
/// /// Makes every coin land on heads.
/// struct Heads;
///
/// impl Handler for Heads {
///     fn sample(&self, message: &mut Message<'_>) -> Result<()> {
///         match message.name.starts_with("coin") {
///             true => message.give(&Value::Bool(true)),
///             false => Ok(()),
///         }
///     }
/// }
///
/// #[model]
/// fn tosses() -> usize {
///     let mut heads = 0;
///     for _ in 0..3 {
///         let coin = sample!(Bernoulli(0.5));
///         heads += usize::from(coin);
///     }
///     heads
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&Under::new(tosses(), Heads))?;
/// assert_eq!(run.output, 3);
/// # Ok(())
/// # }
/// ```
pub struct Message<'a> {
    /// Name of the site, without the names of sub-models around the handler's own model.
    pub name: &'a str,
    /// The distribution that the model states.
    pub dist: &'a Rc<dyn AnyDistribution>,
    /// The plates around the site, outermost first.
    pub plates: &'a Rc<[Plate]>,
    /// Scale factor of subsampling plates.
    pub scale: f64,
    /// The user's file.
    pub file: &'static str,
    /// The user's line.
    pub line: u32,
    /// Position of the run in the random numbers.
    pub key: Key,
    /// The value, once a handler has given one; otherwise the site draws from `dist`.
    pub value: Option<Value>,
    /// Whether the value counts as observed.
    pub observed: bool,
    /// The name, with the names of all sub-models around it.
    pub(crate) full_name: &'a Cow<'static, str>,
    /// Whether it keeps its own distribution, whatever is outside its model.
    pub(crate) hidden: bool,
    pub(crate) weight: Option<&'a Rc<Weight>>,
    pub(crate) influence: &'a SiteSet,
    /// What host code has read so far.
    pub(crate) reads: &'a Reads,
    pub(crate) estimator: Option<&'a Cow<'static, str>>,
    pub(crate) context: Option<&'a Tensor>,
    /// Shows the entries of the trace so far.
    pub(crate) earlier: &'a Earlier<'a>,
    /// Shows the entry of a full name, if the run has reached it.
    pub(crate) find: &'a Find<'a>,
    pub(crate) expand: &'a dyn Fn() -> Result<Rc<dyn AnyDistribution>>,
    pub(crate) law: &'a dyn Fn() -> Result<Rc<dyn Law>>,
    /// Index of the random choice that the value is, for the bookkeeping of costs.
    pub(crate) origin: Option<usize>,
}

impl Message<'_> {
    /// The distribution, expanded to a row for every member of the plates.
    ///
    /// # Errors
    /// If its parameters do not fit the plates.
    pub fn expanded(&self) -> Result<Rc<dyn AnyDistribution>> {
        (self.expand)()
    }

    /// The expanded distribution as a law over tensors.
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

    /// As [`give`](Self::give), but a site that can be relaxed also takes points between the values of its support.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub fn give_relaxed(&mut self, value: &Value) -> Result<()> {
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
        let wanted = law.draw_shape();
        let found = law.to_vertex(&value.to_tensor()?).check()?.shape();
        if found != wanted {
            // Indices have no axis of categories.
            let vectors = usize::from(holds_indices(&*law));
            let wanted = wanted.leading(wanted.rank() - vectors);
            return Err(Error::Value(format!(
                "a draw of the site has shape {wanted}, but the value that it was given has shape \
                 {}; a posterior's draws have as many rows as were fitted: to draw other rows anew, hide the site \
                 with `block(model, |name| ..)`",
                value.shape()
            )));
        }
        self.value = Some(value.clone());
        Ok(())
    }
}

//! Handlers: interpretations of a model's sites, as in Pyro. Each wraps a model, and the result is a model: everything
//! that takes a model also takes one under handlers.

mod block;
mod condition;
mod given;
mod mask;
mod message;
mod relax;
mod replay;
mod scale;
mod substitute;

use std::rc::Rc;

pub use block::{Block, block};
pub use condition::{Condition, condition};
pub use mask::{Mask, mask};
pub use message::Message;
pub use relax::{RelaxSites, relax_sites};
pub use replay::{Replay, replay};
pub use scale::{Scale, scale};
pub use substitute::{Substitute, substitute};

use super::{Context, Model, Ran, Weight};
use crate::error::Result;
use crate::tensor::Tensor;

/// An interpretation of sites. A site passes the handlers around its model from the innermost to the outermost; a
/// handler that finds a value already there usually leaves it. [`Under`] puts a model under a handler.
///
/// ```
/// use std::cell::Cell;
/// use relax_runtime::model::{Handler, Message, Under};
/// use relax_runtime::prelude::*;
///
/// /// Counts choices.
/// #[derive(Default)]
/// struct Count(Cell<usize>);
///
/// impl Handler for Count {
///     fn sample(&self, _: &mut Message<'_>) -> Result<()> {
///         self.0.set(self.0.get() + 1);
///         Ok(())
///     }
/// }
///
/// #[model]
/// fn pair() {
///     let a = sample!(Bernoulli(0.5));
///     let b = sample!(Bernoulli(0.5));
/// }
///
/// # fn main() -> Result<()> {
/// let counted = Under::new(pair(), Count::default());
/// Simulation::seeded(1).run(&counted)?;
/// assert_eq!(counted.handler().0.get(), 2);
/// # Ok(())
/// # }
/// ```
pub trait Handler {
    /// May give a `sample!` site its value.
    ///
    /// # Errors
    /// If the site cannot be handled.
    fn sample(&self, _message: &mut Message<'_>) -> Result<()> {
        Ok(())
    }

    /// May give a parameter its value.
    fn param(&self, _name: &str) -> Option<Tensor> {
        None
    }

    /// May change how much a log-probability or a cost counts.
    ///
    /// # Errors
    /// If the weight cannot be changed.
    fn weigh(&self, _name: &str, _weight: &mut Weight) -> Result<()> {
        Ok(())
    }

    /// Whether a site or parameter is hidden from the handlers and the guide outside this one.
    fn hides(&self, _name: &str) -> bool {
        false
    }

    /// Checks the sites that the model's run reached.
    ///
    /// # Errors
    /// If the handler could not do something it was meant to do.
    fn finish(&self, _ran: &Ran<'_>) -> Result<()> {
        Ok(())
    }
}

/// A model under a handler, which is itself a model; built by [`Under::new`] or by functions such as [`condition()`].
/// See [`Handler`] for an example.
#[derive(Clone, Debug)]
pub struct Under<M, H> {
    model: M,
    handler: Rc<H>,
}

impl<M, H> Under<M, H> {
    /// Puts a model under a handler.
    pub fn new(model: M, handler: H) -> Self {
        Self {
            model,
            handler: Rc::new(handler),
        }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Replaces the handler by another of its type.
    fn with(self, change: impl FnOnce(H) -> H) -> Self
    where
        H: Clone,
    {
        let handler = Rc::unwrap_or_clone(self.handler);
        Self {
            handler: Rc::new(change(handler)),
            ..self
        }
    }
}

impl<M: Model, H: Handler + 'static> Model for Under<M, H> {
    type Output = M::Output;

    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn run(&self, context: &Context) -> Result<M::Output> {
        let handler = Rc::<H>::clone(&self.handler);
        context.under(handler, || self.model.run(context))
    }
}

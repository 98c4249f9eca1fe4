//! Models, their sites, and the handlers that interpret them.
//!
//! A `#[model]` function is a program over a [`Context`]: each `sample!`, `observe!`, `param!` or `cost!` asks the
//! context, which lets [`Handler`]s decide and records what happened in a [`Trace`]. One program thus serves prior
//! simulation, replay, conditioning, variational inference and enumeration.

mod constrained;
mod context;
mod given_up;
mod handler;
mod host;
mod interpreter;
mod into_param;
mod names;
mod outside;
mod params;
mod plates;
mod simulation;
mod site;
mod summed_out;
mod trace;
mod weight;

pub use context::{CALL_DEPTH, Context, MOST_SITES, PlateGuard};
pub(crate) use given_up::GivenUp;
pub use handler::{
    Block, Condition, Handler, Mask, Message, RelaxSites, Replay, Scale, Substitute, Under, block,
    condition, mask, relax_sites, replay, scale, substitute,
};
pub(crate) use host::{HostRun, Place};
pub(crate) use interpreter::Interpreter;
pub(crate) use outside::{Known, OutOfSupport};
pub use params::ParamStore;
pub(crate) use params::{Spread, Start};
pub use simulation::{Run, Simulation};
pub use site::Site;
pub(crate) use summed_out::{
    BesideSum, GivenOthers, Recovered, RecoveredKept, RecoveredKnown, RecoveredSite,
    RecoveredValues, SummedOut,
};
pub use trace::{Entry, Kind, Plate, Ran, Rows, Trace};
pub(crate) use trace::{unknown_parameter, unknown_site, within};
pub use weight::Weight;

use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;

/// A function annotated with `#[model]`, applied to its arguments: it can be run many times, under different handlers.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn two_heads() -> bool {
///     let first = sample!(Bernoulli(0.5));
///     let second = sample!(Bernoulli(0.5));
///     first && second
/// }
///
/// /// The share of runs whose output is true.
/// fn frequency(model: &impl Model<Output = bool>, runs: u64) -> Result<f64> {
///     let mut hits = 0;
///     for seed in 0..runs {
///         hits += u32::from(Simulation::seeded(seed).run(model)?.output);
///     }
///     Ok(f64::from(hits) / runs as f64)
/// }
///
/// # fn main() -> Result<()> {
/// let model = two_heads();
/// assert_eq!(model.name(), "two_heads");
/// assert!((frequency(&model, 2_000)? - 0.25).abs() < 0.06);
/// let sure = condition(condition(model, "first", true), "second", true);
/// assert_eq!(frequency(&sure, 10)?, 1.0);
/// # Ok(())
/// # }
/// ```
#[must_use = "a model does nothing until it is run: pass it to `Svi`, `Minimize` or `Simulation`, or \
              `call!` it inside another model"]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "expected a `#[model]` function applied to its arguments"
)]
pub trait Model {
    /// What the function returns.
    type Output;

    /// The function's name.
    fn name(&self) -> &'static str;

    /// Runs the function once; `context` answers its sites.
    ///
    /// # Errors
    /// Whatever goes wrong at a site, or the body's own errors.
    fn run(&self, context: &Context) -> Result<Self::Output>;
}

macro_rules! models_behind {
    ($($pointer:ty),*) => {$(
        impl<M: Model + ?Sized> Model for $pointer {
            type Output = M::Output;

            fn name(&self) -> &'static str {
                (**self).name()
            }

            fn run(&self, context: &Context) -> Result<M::Output> {
                (**self).run(context)
            }
        }
    )*};
}

models_behind!(&M, Box<M>, Rc<M>, Arc<M>);

/// A model whose output is ignored, so that models of different output types can be used as `&dyn Program`. Every
/// [`Model`] is a `Program`.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() -> bool {
///     let heads = sample!(Bernoulli(0.5));
///     heads
/// }
///
/// #[model]
/// fn die() -> usize {
///     let face = sample!(Categorical([1.0 / 6.0; 6]));
///     face
/// }
///
/// # fn main() -> Result<()> {
/// let (coin, die) = (coin(), die());
/// let programs: [&dyn Program; 2] = [&coin, &die];
/// for (program, (name, values)) in programs.into_iter().zip([("coin", 2), ("die", 6)]) {
///     assert_eq!(program.model_name(), name);
///     assert_eq!(exact_posterior(program)?.len(), values);
/// }
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "expected a `#[model]` function applied to its arguments"
)]
pub trait Program {
    /// The function's name, [`Model::name`].
    fn model_name(&self) -> &'static str;

    /// Runs the function once.
    ///
    /// # Errors
    /// As [`Model::run`].
    fn execute(&self, context: &Context) -> Result<()>;
}

impl<M: Model + ?Sized> Program for M {
    fn model_name(&self) -> &'static str {
        self.name()
    }

    fn execute(&self, context: &Context) -> Result<()> {
        self.run(context).map(drop)
    }
}

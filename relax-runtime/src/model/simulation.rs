//! Plain runs of a model.

use super::{Context, Model, ParamStore, Trace};
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::Device;

/// The output and the trace of one run; see [`Simulation`].
#[derive(Debug)]
pub struct Run<O> {
    /// What the model returned.
    pub output: O,
    /// Its sites.
    pub trace: Trace,
}

/// Runs models once, drawing random choices from their own distributions.
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
/// let run = Simulation::seeded(1).run(&condition(coin(), "fair", false))?;
/// println!("{}", run.trace);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    key: Key,
    params: ParamStore,
}

impl Simulation {
    /// A simulation with the random numbers of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            key: Key::new(seed),
            params: ParamStore::default(),
        }
    }

    /// Takes parameters from a store, and creates missing ones there.
    #[must_use]
    pub fn params(mut self, params: &ParamStore) -> Self {
        self.params = params.clone();
        self
    }

    /// Runs a model once.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run<M: Model>(&self, model: &M) -> Result<Run<M::Output>> {
        self.params.beside_data(|| {
            let context = Context::new(self.key, None, self.params.clone());
            let output = model.run(&context)?;
            let (trace, _) = context.finish();
            match misplaced(&trace) {
                Some(error) if self.params.has_any_here() => Err(error),
                _ => Ok(Run { output, trace }),
            }
        })
    }
}

/// The error of a density whose value and parameters are on different devices; densities are only computed on request.
fn misplaced(trace: &Trace) -> Option<Error> {
    let here = Device::cpu();
    let is_away = |value: &Value| matches!(value, Value::Tensor(t) if t.device() != here);
    if !trace.entries().iter().any(|entry| is_away(&entry.value)) {
        return None;
    }
    let error = trace.log_prob().err()?;
    matches!(error.cause(), Error::Device { .. }).then_some(error)
}

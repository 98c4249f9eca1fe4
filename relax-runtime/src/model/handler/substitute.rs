//! Gives sites and parameters fixed values.

use super::given::Given;
use super::{Handler, Message, Under};
use crate::dist::Value;
use crate::error::Result;
use crate::model::{Kind, Model, Ran};
use crate::tensor::Tensor;

/// Gives sample sites and parameters fixed values; see [`substitute`].
#[derive(Clone, Debug)]
pub struct Substitute(Given);

impl Handler for Substitute {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        match (&message.value, self.0.get(message.name)) {
            (None, Some(value)) => message.give(value),
            _ => Ok(()),
        }
    }

    fn param(&self, name: &str) -> Option<Tensor> {
        let value = self.0.get(name)?;
        Some(value.to_tensor().unwrap_or_else(Tensor::poisoned))
    }

    fn finish(&self, ran: &Ran<'_>) -> Result<()> {
        let kinds = [Kind::Latent, Kind::Param];
        self.0.expect_sites(ran, "`sample!` or `param!`", &kinds)
    }
}

/// Fixes the value of a `sample!` site or a parameter of a model. A site's value is checked like an observation, and
/// its log-probability counts; it stays a random choice in the trace, but is not drawn. A run that does not reach the
/// name is an error. A constrained parameter, `param!(init, positive)`, takes a value that satisfies the constraint.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss() -> bool {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = logit));
///     heads.to_vec()?[0] == 1.0
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&substitute(toss(), "logit", 100.0))?;
/// assert!(run.output);
/// # Ok(())
/// # }
/// ```
pub fn substitute<M: Model>(model: M, site: &str, value: impl Into<Value>) -> Under<M, Substitute> {
    Under::new(model, Substitute(Given::of(site, value)))
}

impl<M> Under<M, Substitute> {
    /// Fixes another site or parameter as well.
    #[must_use]
    pub fn and(self, site: &str, value: impl Into<Value>) -> Self {
        self.with(|Substitute(given)| Substitute(given.and(site, value)))
    }
}

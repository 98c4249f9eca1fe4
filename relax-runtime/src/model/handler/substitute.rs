//! Sites and parameters take fixed values.

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

/// A model of which a `sample!` site or a parameter has a fixed value. A site's value is checked as
/// an observation is, and its log-probability counts; it stays a random choice in the trace, but one
/// that is not drawn. A run that does not come by the name is an error.
/// Of a constrained parameter, `param!(init, positive)`, it is given a value of the constraint's set.
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

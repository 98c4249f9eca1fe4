//! Turns sites into observations.

use super::given::Given;
use super::{Handler, Message, Under};
use crate::dist::Value;
use crate::error::Result;
use crate::model::{Kind, Model, Ran};

/// Turns sites into observations; see [`condition`].
#[derive(Clone, Debug)]
pub struct Condition(Given);

impl Handler for Condition {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if let Some(value) = self.0.get(message.name) {
            message.give(value)?;
            message.observed = true;
        }
        Ok(())
    }

    fn finish(&self, ran: &Ran<'_>) -> Result<()> {
        self.0.expect_sites(ran, "`sample!`", &[Kind::Latent])
    }
}

/// Observes a `sample!` site of a model. The value is checked as in `observe!`: its type, shape and support. A run that
/// does not reach the site is an error.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn lawn() {
///     let rain = sample!(Bernoulli(0.2));
///     let wet = sample!(Bernoulli(if rain { 0.8 } else { 0.1 }));
/// }
///
/// # fn main() -> Result<()> {
/// let posterior = exact_posterior(&condition(lawn(), "wet", true))?;
/// assert!((posterior.mean("rain")? - 2.0 / 3.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub fn condition<M: Model>(model: M, site: &str, value: impl Into<Value>) -> Under<M, Condition> {
    Under::new(model, Condition(Given::of(site, value)))
}

impl<M> Under<M, Condition> {
    /// Observes another site as well.
    #[must_use]
    pub fn and(self, site: &str, value: impl Into<Value>) -> Self {
        self.with(|Condition(given)| Condition(given.and(site, value)))
    }
}

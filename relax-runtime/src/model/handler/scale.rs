//! Scales how much terms count.

use super::{Handler, Under};
use crate::error::{Error, Result};
use crate::model::{Model, Weight};

/// Multiplies log-probabilities and costs; see [`scale`].
#[derive(Clone, Copy, Debug)]
pub struct Scale(f64);

impl Handler for Scale {
    fn weigh(&self, _name: &str, weight: &mut Weight) -> Result<()> {
        if !(self.0 > 0.0 && self.0.is_finite()) {
            return Err(Error::Config {
                setting: "scale",
                problem: format!(
                    "is {}; it must be positive and finite (`mask` takes terms out)",
                    self.0
                ),
            });
        }
        weight.factor *= self.0;
        Ok(())
    }
}

/// Multiplies a model's log-probabilities and costs by `factor`, for tempering, or for data that stand for more than
/// themselves. Draws stay as they are. In a bound the model is scaled: an automatic guide's log q stays as it is, but a
/// guide that is a program can be scaled as well. Evidences and importance weights are those of the scaled model.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     observe!(Bernoulli(0.25), true);
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&scale(coin(), 2.0))?;
/// assert!((run.trace.log_prob()? - 2.0 * 0.25f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub fn scale<M: Model>(model: M, factor: f64) -> Under<M, Scale> {
    Under::new(model, Scale(factor))
}

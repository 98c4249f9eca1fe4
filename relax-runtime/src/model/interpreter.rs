//! What makes the random choices of a run.

use super::Message;
use crate::dist::Number;
use crate::error::Result;

/// Gives sites their values after the handlers have seen them; without an interpreter, each site draws from its own
/// distribution.
pub(crate) trait Interpreter {
    /// May give a `sample!` site its value.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn sample(&self, message: &mut Message<'_>) -> Result<()>;

    /// The log-density of a choice it made, under the law it used, with that law's own parameters held constant: one
    /// number per row of its plates; `None` if it does not know.
    fn log_density(&self, _origin: usize) -> Option<Result<Number>> {
        None
    }
}

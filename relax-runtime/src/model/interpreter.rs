//! Who makes the random choices of a run.

use super::Message;
use crate::dist::Number;
use crate::error::Result;

/// Gives sites their values after the handlers have seen them; without one, each site draws from its
/// own distribution.
pub(crate) trait Interpreter {
    /// May give a `sample!` site its value.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn sample(&self, message: &mut Message<'_>) -> Result<()>;

    /// The log-density of a choice that it made under the law that it made it by, whose own parameters are
    /// constants here, a number a row of its plates; nothing if it does not know.
    fn log_density(&self, _origin: usize) -> Option<Result<Number>> {
        None
    }
}

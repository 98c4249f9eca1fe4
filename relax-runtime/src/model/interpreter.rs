//! Who makes the random choices of a run.

use super::Message;
use crate::error::Result;

/// Gives sites their values after the handlers have seen them; without one, each site draws from its
/// own distribution.
pub(crate) trait Interpreter {
    /// May give a `sample!` site its value.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn sample(&self, message: &mut Message<'_>) -> Result<()>;
}

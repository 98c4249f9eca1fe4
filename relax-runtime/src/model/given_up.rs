//! What is no longer summed out of a program, where nobody has asked for it.

use serde::{Deserialize, Serialize};

/// How much of a sum has been given up. It goes with the parameters of a fit, which are those of the choices that are
/// left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GivenUp {
    #[default]
    Nothing,
    /// Continuous choices are drawn that were integrated out.
    Integrals,
    /// All choices are drawn.
    Sum,
}

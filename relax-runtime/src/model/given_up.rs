//! What is no longer summed out of a program, if the sum was not requested.

use serde::{Deserialize, Serialize};

/// How much of a sum has been given up. Stored with the parameters of a fit, which belong to the choices that are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GivenUp {
    #[default]
    Nothing,
    /// Continuous choices that were integrated out are drawn.
    Integrals,
    /// All choices are drawn.
    Sum,
}

//! What a posterior has where the guide it was drawn from rarely draws.

use serde::{Deserialize, Serialize};

/// A share of a posterior that a guide misses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::infer) struct Missed {
    /// Estimated share of the posterior.
    pub(in crate::infer) share: f64,
    pub(in crate::infer) at: Elsewhere,
}

/// Where a posterior was examined, besides at its guide's draws.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Elsewhere {
    /// At draws from the model's own laws.
    Stated,
    /// Where discrete choices ended up after changing one or two at a time.
    Moved,
    /// Where all discrete choices have their first value, all their second, and so on.
    Alike,
    /// At the guide's draws, with values exchanged or mirrored as the text says.
    Turned(String),
}

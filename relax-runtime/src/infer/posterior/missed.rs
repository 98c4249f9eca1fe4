//! What a posterior has where the guide that it was drawn from hardly draws.

use serde::{Deserialize, Serialize};

/// A share of a posterior that a guide misses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::infer) struct Missed {
    /// As far as is known.
    pub(in crate::infer) share: f64,
    pub(in crate::infer) at: Elsewhere,
}

/// Where a posterior was looked at, beside a guide's draws.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Elsewhere {
    /// At draws of the laws that the model states.
    Stated,
    /// Where discrete choices came to, one or two changed at a time.
    Moved,
    /// Where all discrete choices have their first value, their second, and so on.
    Alike,
    /// At the guide's draws, with what the text says exchanged or mirrored.
    Turned(String),
}

//! Why no chains have drawn a posterior.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why no chains have drawn a posterior that may be elsewhere than its guide. Prints as what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unchained {
    /// Each step of a chain takes a run of the model for each of so many host numbers, more than are moved unasked.
    HostNumbers(usize),
    /// They did not agree within what a run spends on them.
    Apart,
    /// Something went wrong.
    Failed(String),
}

impl fmt::Display for Unchained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNumbers(numbers) => write!(
                f,
                "chains were not tried, as each of their steps takes a run of the model for each of its {numbers} host \
                 numbers: ask `hmc(true)`, or compute with tensors"
            ),
            Self::Apart => f.write_str(
                "the chains that were tried did not agree: ask `hmc(true)`, which goes on for longer",
            ),
            Self::Failed(error) => {
                write!(f, "chains could not be had: {error}; take another guide")
            }
        }
    }
}

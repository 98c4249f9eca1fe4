//! Why no chains drew a posterior.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why no chains drew a posterior that may be elsewhere than its guide. Displays as advice on what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unchained {
    /// Each step of a chain needs a run of the model for each of this many host numbers, more than are moved by
    /// default.
    HostNumbers(usize),
    /// The chains did not agree within a run's budget for them.
    Apart,
    /// Something went wrong.
    Failed(String),
}

impl fmt::Display for Unchained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNumbers(numbers) => write!(
                f,
                "chains were not tried, as each of their steps needs a run of the model for each of its {numbers} host \
                 numbers: call `hmc(true)`, or compute with tensors"
            ),
            Self::Apart => f.write_str(
                "the chains that were tried did not agree: call `hmc(true)`, which runs them longer",
            ),
            Self::Failed(error) => {
                write!(f, "chains could not be run: {error}; use another guide")
            }
        }
    }
}

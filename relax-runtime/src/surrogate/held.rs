//! A surrogate as a site holds it.

use std::ops::Deref;

use super::{FreeForm, Surrogate};

/// A surrogate that is known to be a network alone, or something else: sites evaluate a network alone in
/// plain loops, past the trait.
#[derive(Debug)]
pub(crate) enum Held {
    Network(Box<FreeForm>),
    Other(Box<dyn Surrogate>),
}

impl Held {
    /// The network, where it is one and nothing else.
    pub(crate) fn network(&self) -> Option<&FreeForm> {
        match self {
            Self::Network(network) => Some(network),
            Self::Other(_) => None,
        }
    }
}

impl Deref for Held {
    type Target = dyn Surrogate;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Network(network) => &**network,
            Self::Other(surrogate) => &**surrogate,
        }
    }
}

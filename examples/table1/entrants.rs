//! The estimators that train.

use std::rc::Rc;

use relax_runtime::estimator::{Coupling, Estimator, by_name};
use relax_runtime::prelude::*;

use crate::program::Outcome;
use crate::published::Published;

/// An estimator under the name of the table.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    pub(crate) estimator: Rc<dyn Estimator>,
    /// Whether its surrogate is trained alone at first, where settings are the published ones: it has a network.
    pub(crate) pretrains: bool,
}

/// Adam's β₂ in the public code, of models and of surrogates; it is ours, too, but for surrogates.
pub(crate) const PUBLISHED_BETA2: f32 = 0.99999;
/// What Adam has for β₂ where nobody says anything.
pub(crate) const USUAL_BETA2: f32 = 0.999;

/// Names, and what the library calls those that it has.
const LIBRARY: [(&str, &str); 8] = [
    ("concrete", "gumbel-softmax"),
    ("nvil", "nvil"),
    ("muprop", "muprop"),
    ("rebar", "rebar"),
    ("relax", "relax"),
    ("rodeo", "rodeo"),
    ("disarm", "disarm"),
    ("rloo", "rloo"),
];

/// Those as published, how z̃ is drawn, and whether there is a network.
const PUBLISHED: [(&str, Coupling, bool); 3] = [
    ("rebar-published", Coupling::Coupled, false),
    ("relax-published-coupled", Coupling::Coupled, true),
    ("relax-published-independent", Coupling::Independent, true),
];

impl Entrant {
    /// The estimator of a name; those as published have a surrogate that learns at the rate given.
    ///
    /// # Errors
    /// With the names that exist, if it is none of them.
    pub(crate) fn named(name: &str, rate: f32) -> Outcome<Self> {
        if let Some(&(name, of_library)) = LIBRARY.iter().find(|(known, _)| *known == name) {
            return Ok(Self {
                name,
                estimator: by_name(of_library)?,
                pretrains: false,
            });
        }
        let published = PUBLISHED.iter().find(|(known, ..)| *known == name);
        if let Some(&(name, coupling, network)) = published {
            let estimator = Rc::new(Published {
                name,
                coupling,
                network,
                adam: Adam::new(rate).betas(0.9, PUBLISHED_BETA2),
            });
            return Ok(Self {
                name,
                estimator,
                pretrains: network,
            });
        }
        let names = LIBRARY.iter().map(|(name, _)| *name);
        let names: Vec<_> = names.chain(PUBLISHED.map(|(name, ..)| name)).collect();
        Err(format!(
            "--estimators: unknown estimator `{name}`; expected one of {}",
            names.join(", ")
        )
        .into())
    }
}

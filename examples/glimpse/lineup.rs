//! The estimators.

use std::rc::Rc;

use relax_runtime::estimator::{Enumerate, Estimator, IndeCateR, Rloo, StraightThrough};
use relax_runtime::prelude::*;

use crate::fitted::Fitted;
use crate::model::Crop;
use crate::program::Outcome;
use crate::table::{Sight, Table};

pub(crate) const NAMES: [&str; 7] = [
    "exact",
    "exact-place",
    "relax-table",
    "relax",
    "rloo-2",
    "reinforce",
    "straight-through",
];

/// Units of the surrogates' hidden layers.
const HIDDEN: usize = 64;

/// An estimator by its name.
pub(crate) fn estimator(name: &str, sight: &Sight, seed: u64) -> Outcome<Rc<dyn Estimator>> {
    Ok(match name {
        // Sums over all places: of all gradients, and of that by the place alone, where the second network
        // learns from the glimpse that was drawn, as it does by the other estimators.
        "exact" => Rc::new(Enumerate::default()),
        "exact-place" => Rc::new(IndeCateR),
        "relax-table" => Rc::new(Fitted(Table::new(HIDDEN, sight, seed)?)),
        "relax" => Rc::new(Relax {
            hidden: vec![HIDDEN, HIDDEN],
            ..Relax::free_form()
        }),
        "rloo-2" => Rc::new(Rloo::new(2)?),
        "reinforce" => Rc::new(Reinforce::default()),
        "straight-through" => Rc::new(StraightThrough::default()),
        other => {
            let names = NAMES.join(", ");
            return Err(format!("unknown estimator `{other}`; expected one of {names}").into());
        }
    })
}

/// How it wants the glimpse made.
pub(crate) fn crop(name: &str) -> Crop {
    match name {
        "straight-through" => Crop::Blend,
        "exact" | "exact-place" => Crop::Pick,
        _ => Crop::Cut,
    }
}

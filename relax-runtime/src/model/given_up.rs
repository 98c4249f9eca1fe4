//! What is no longer summed out of a program, where nobody has asked for it.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::ParamStore;

/// How much of a sum has been given up. It goes with the parameters of a fit, which are those of the choices that are
/// left: forks of their store share it, and checkpoints hold it.
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

impl GivenUp {
    /// That of a program in fits of these parameters.
    pub(crate) fn of(program: &'static str, params: &ParamStore) -> Rc<Cell<Self>> {
        params.note(program, || Cell::new(params.brought_given_up(program)))
    }
}

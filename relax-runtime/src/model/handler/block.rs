//! Hides sites from what is outside a model.

use std::fmt;

use super::{Handler, Under};
use crate::model::Model;

/// Hides sites and parameters; see [`block`].
pub struct Block(Box<dyn Fn(&str) -> bool>);

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Block").finish_non_exhaustive()
    }
}

impl Handler for Block {
    fn hides(&self, name: &str) -> bool {
        (self.0)(name)
    }
}

/// Hides the sites whose names `hide` accepts from handlers and guides outside the model. A hidden random choice draws
/// from its own distribution, also in a bound, where its guide is then the prior; a hidden parameter is not
/// substituted. Estimators still see the choice, so gradients stay unbiased.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn pair() {
///     let a = sample!(Bernoulli(0.5));
///     let b = sample!(Bernoulli(0.5));
/// }
///
/// # fn main() -> Result<()> {
/// let first = Simulation::seeded(1).run(&pair())?.trace;
/// let hidden = block(pair(), |name| name == "b");
/// // `a` is replayed, `b` is not.
/// let again = Simulation::seeded(2).run(&replay(hidden, &first))?.trace;
/// assert_eq!(again.get("a")?.value.to_f64s()?, first.get("a")?.value.to_f64s()?);
/// # Ok(())
/// # }
/// ```
pub fn block<M: Model>(model: M, hide: impl Fn(&str) -> bool + 'static) -> Under<M, Block> {
    Under::new(model, Block(Box::new(hide)))
}

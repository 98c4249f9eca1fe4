//! Leaves terms out, row by row.

use super::{Handler, Under};
use crate::error::Result;
use crate::model::{Model, Weight};
use crate::tensor::Tensor;

/// Which rows count; see [`mask`].
#[derive(Clone, Debug)]
pub enum Mask {
    /// All rows or none.
    All(bool),
    /// Rows with a 1, and not those with a 0; one number for each member of the outermost plates.
    Rows(Tensor),
}

impl From<bool> for Mask {
    fn from(all: bool) -> Self {
        Self::All(all)
    }
}

impl From<&Tensor> for Mask {
    fn from(rows: &Tensor) -> Self {
        Self::Rows(rows.clone())
    }
}

impl From<Tensor> for Mask {
    fn from(rows: Tensor) -> Self {
        Self::Rows(rows)
    }
}

impl Handler for Mask {
    fn weigh(&self, _name: &str, weight: &mut Weight) -> Result<()> {
        match self {
            Self::All(true) => {}
            Self::All(false) => weight.factor = 0.0,
            Self::Rows(rows) => weight.keep_rows(rows)?,
        }
        Ok(())
    }
}

/// Masks the log-probabilities and costs of a model: `true` or `false` for all, or a tensor with a number for each
/// member of the outermost plates, 1 if the row counts and 0 if it does not. Draws stay as they are; what is masked out
/// may be infinite. A mask of rows must only wrap what is in the plate: a site outside the plates is refused.
///
/// In a bound the model is masked, not an automatic guide's log q: the guide of a choice whose prior is masked out has
/// nothing left to follow but its entropy, which grows without bound for a continuous choice. Mask data, or, if the
/// guide is a program, mask it in the same way.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coins(x: &Tensor) {
///     plate!(x.rows() => {
///         observe!(Bernoulli(Tensor::full(x.rows(), 0.25, &Device::cpu())), x);
///     })
/// }
///
/// # fn main() -> Result<()> {
/// let (x, known) = (Tensor::from_slice(&[1.0, 0.0, 1.0]), Tensor::from_slice(&[1.0, 0.0, 0.0]));
/// let run = Simulation::seeded(1).run(&mask(coins(&x), &known))?;
/// assert!((run.trace.log_prob()? - 0.25f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn mask<M: Model>(model: M, mask: impl Into<Mask>) -> Under<M, Mask> {
    Under::new(model, mask.into())
}

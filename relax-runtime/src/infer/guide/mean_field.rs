//! The mean-field guide: every choice on its own.

use super::{Evaluation, Guide, Proposal};
use crate::error::Result;
use crate::model::{ParamStore, Program};

/// Gives every site a law of the family that the model states, with free parameters: q(z) = Π qᵢ(zᵢ). It is right if
/// the posterior's choices do not depend on each other.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn single() {
///     let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
///     observe!(Normal(&a, 1.0), 1.0);
/// }
///
/// # fn main() -> Result<()> {
/// let model = single();
/// let fit = Svi::new(&model).guide(&MeanFieldGuide).steps(2_000).seed(1).run()?;
/// // With a single choice the guide can be the posterior, and the bound ln N(1; 0, √2).
/// let exact = -0.5 * (1.0 / 2.0 + (std::f64::consts::TAU * 2.0).ln());
/// assert!((fit.posterior().log_evidence().elbo - exact).abs() < 0.01);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanFieldGuide;

impl Guide for MeanFieldGuide {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        evaluation.by_site(|site| site.mean_field())
    }

    fn is_mean_field(&self, _: &dyn Program, _: &ParamStore) -> bool {
        true
    }
}

//! The mean-field guide: every choice on its own.

use super::{Evaluation, Guide, Proposal};
use crate::error::Result;
use crate::model::{ParamStore, Program};

/// Gives every site a law of the family that the model states, with free parameters: q(z) = Π qᵢ(zᵢ).
/// Right where the posterior's choices do not depend on each other.
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

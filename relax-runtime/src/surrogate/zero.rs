//! No surrogate: c = 0 turns RELAX into REINFORCE.

use super::{Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// c(z) = 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zero;

impl Surrogate for Zero {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        Ok(Tensor::zeros(z.shape().leading(around.plates), &z.device()))
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn evaluations(&self) -> usize {
        0
    }
}

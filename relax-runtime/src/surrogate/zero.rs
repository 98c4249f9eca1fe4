//! No surrogate: c = 0 turns RELAX into REINFORCE.

use super::{CostAt, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Device, Parameter, Shape, Tensor};

/// c(z) = 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zero;

impl Surrogate for Zero {
    fn value(&self, z: &Tensor, around: Surroundings<'_>, _: &mut CostAt<'_>) -> Result<Tensor> {
        let device: Device = z.device();
        Ok(Tensor::zeros(
            Shape::try_from(&z.shape()[..around.plates])?,
            &device,
        ))
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn evaluations(&self) -> usize {
        0
    }
}

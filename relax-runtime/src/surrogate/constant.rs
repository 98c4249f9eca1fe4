//! A learned number.

use super::{Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Device, Parameter, Tensor};

/// c(z) = a: a learned baseline.
#[derive(Clone, Debug)]
pub struct Constant(Parameter);

impl Constant {
    /// A number that starts at `value`.
    pub fn new(value: f32, device: &Device) -> Self {
        Self(Parameter::new(Tensor::full([], value, device)))
    }

    /// Names the parameter.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self(self.0.named(name))
    }
}

impl Surrogate for Constant {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let rows = z.shape().leading(around.plates);
        // Plus 0 z, so that there is a derivative by z, which is zero.
        Ok(self.0.get().broadcast_to(rows) + (z * 0.0).sum_from(around.plates))
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.0.clone()]
    }

    fn evaluations(&self) -> usize {
        0
    }
}

//! The sum of two surrogates.

use super::{CostAt, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// c(z) = a(z) + b(z): with a relaxed cost and a network, the paper's choice for VAEs.
#[derive(Debug)]
pub struct Sum<A, B>(pub A, pub B);

impl<A: Surrogate, B: Surrogate> Surrogate for Sum<A, B> {
    fn value(&self, z: &Tensor, around: Surroundings<'_>, cost: &mut CostAt<'_>) -> Result<Tensor> {
        Ok(self.0.value(z, around, cost)? + self.1.value(z, around, cost)?)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.0.parameters();
        parameters.extend(self.1.parameters());
        parameters
    }

    fn evaluations(&self) -> usize {
        self.0.evaluations() + self.1.evaluations()
    }
}

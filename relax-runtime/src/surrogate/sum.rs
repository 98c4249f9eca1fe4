//! The sum of two surrogates.

use super::{Linearization, RelaxedCost, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// c(z) = a(z) + b(z): with a relaxed cost and a network, the paper's choice for VAEs.
#[derive(Debug)]
pub struct Sum<A, B>(pub A, pub B);

impl<A: Surrogate, B: Surrogate> Surrogate for Sum<A, B> {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        Ok(self.0.value(z, around)? + self.1.value(z, around)?)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.0.parameters();
        parameters.extend(self.1.parameters());
        parameters
    }

    fn evaluations(&self) -> usize {
        self.0.evaluations() + self.1.evaluations()
    }

    fn relaxed_cost(&self) -> Option<&RelaxedCost> {
        // With what is added to it in the first part, there would be two things beside it.
        let is_whole = self.0.beside_relaxed_cost().is_none();
        self.0.relaxed_cost().filter(|_| is_whole)
    }

    fn beside_relaxed_cost(&self) -> Option<&dyn Surrogate> {
        self.relaxed_cost().map(|_| &self.1 as &dyn Surrogate)
    }

    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let (a, b) = (self.0.linearize(z, around)?, self.1.linearize(z, around)?);
        let train = move |along: &Tensor, weight: &Tensor| {
            let (a, b) = ((a.train)(along, weight)?, (b.train)(along, weight)?);
            Ok(a.into_iter().chain(b).collect())
        };
        Ok(Linearization {
            value: a.value + b.value,
            gradient: a.gradient + b.gradient,
            train: Box::new(train),
        })
    }
}

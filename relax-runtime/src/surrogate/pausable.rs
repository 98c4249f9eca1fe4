//! A surrogate whose training can be paused.

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::Deref;

use super::{Linearization, RelaxedCost, Surrogate, Surroundings, VarianceGradient};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor};

/// A surrogate that computes what it would learn from only while it learns.
#[derive(Debug)]
pub(crate) struct Pausable<S> {
    surrogate: S,
    learns: Cell<bool>,
}

impl<S> Pausable<S> {
    /// A surrogate that learns.
    pub(crate) fn new(surrogate: S) -> Self {
        Self {
            surrogate,
            learns: Cell::new(true),
        }
    }

    /// The surrogate that can be paused.
    pub(crate) fn surrogate(&self) -> &S {
        &self.surrogate
    }

    /// Whether it learns.
    pub(crate) fn learns(&self) -> bool {
        self.learns.get()
    }

    /// Sets whether variance gradients are computed, or left empty.
    pub(crate) fn learn(&self, learns: bool) {
        self.learns.set(learns);
    }
}

impl<S: Deref<Target: Surrogate> + Debug> Surrogate for Pausable<S> {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        self.surrogate.value(z, around)
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.surrogate.parameters()
    }

    fn evaluations(&self) -> usize {
        self.surrogate.evaluations()
    }

    fn relaxed_cost(&self) -> Option<&RelaxedCost> {
        self.surrogate.relaxed_cost()
    }

    fn beside_relaxed_cost(&self) -> Option<&dyn Surrogate> {
        self.surrogate.beside_relaxed_cost()
    }

    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let at_z = self.surrogate.linearize(z, around)?;
        Ok(match self.learns.get() {
            true => at_z,
            false => Linearization {
                train: Box::new(|_, _| Ok(VarianceGradient::default())),
                ..at_z
            },
        })
    }

    fn train(
        &self,
        z: &Tensor,
        along: &Tensor,
        weight: &Tensor,
        around: Surroundings<'_>,
    ) -> Result<Vec<Tensor>> {
        match self.learns.get() {
            true => self.surrogate.train(z, along, weight, around),
            false => Ok(Vec::new()),
        }
    }
}

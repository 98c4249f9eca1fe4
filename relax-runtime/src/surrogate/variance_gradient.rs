//! Gradients of the variance by what a surrogate learns.

use std::rc::Rc;

use crate::tensor::{Shape, Tensor};

/// ∂/∂φ of an estimator's variance, one tensor per parameter.
///
/// Small networks leave the numbers of all parameters in one piece, which the optimizer takes as it
/// is; they become tensors only on request.
#[derive(Clone, Debug)]
pub struct VarianceGradient(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// One per parameter.
    Tensors(Vec<Tensor>),
    /// Those of all parameters, one parameter after the other, on the CPU; and their shapes.
    Numbers(Vec<f32>, Rc<[Shape]>),
}

impl VarianceGradient {
    /// The numbers of parameters of these shapes, one after the other.
    pub(super) fn of_numbers(numbers: Vec<f32>, shapes: Rc<[Shape]>) -> Self {
        Self(Kind::Numbers(numbers, shapes))
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Tensors(tensors) => tensors.len(),
            Kind::Numbers(_, shapes) => shapes.len(),
        }
    }

    /// Whether there is nothing to learn.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor per parameter.
    pub fn tensors(&self) -> Vec<Tensor> {
        match &self.0 {
            Kind::Tensors(tensors) => tensors.clone(),
            Kind::Numbers(numbers, shapes) => {
                let mut rest = &numbers[..];
                let mut next = |shape: &Shape| {
                    let (own, others) = rest.split_at(shape.numel());
                    rest = others;
                    Tensor::of_numbers(own, *shape)
                };
                shapes.iter().map(&mut next).collect()
            }
        }
    }

    /// The numbers of all parameters, where they are in one piece.
    pub(crate) fn numbers(&self) -> Option<&[f32]> {
        match &self.0 {
            Kind::Tensors(_) => None,
            Kind::Numbers(numbers, _) => Some(numbers),
        }
    }

    /// The same with zeros instead of numbers.
    #[must_use]
    pub(crate) fn zeroed(self) -> Self {
        match self.0 {
            Kind::Tensors(tensors) => tensors.iter().map(Tensor::zeros_like).collect(),
            Kind::Numbers(mut numbers, shapes) => {
                numbers.fill(0.0);
                Self::of_numbers(numbers, shapes)
            }
        }
    }
}

/// That of no parameters.
impl Default for VarianceGradient {
    fn default() -> Self {
        Self(Kind::Tensors(Vec::new()))
    }
}

impl From<Vec<Tensor>> for VarianceGradient {
    fn from(tensors: Vec<Tensor>) -> Self {
        Self(Kind::Tensors(tensors))
    }
}

impl FromIterator<Tensor> for VarianceGradient {
    fn from_iter<I: IntoIterator<Item = Tensor>>(tensors: I) -> Self {
        Self(Kind::Tensors(tensors.into_iter().collect()))
    }
}

impl IntoIterator for VarianceGradient {
    type Item = Tensor;
    type IntoIter = std::vec::IntoIter<Tensor>;

    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Kind::Tensors(tensors) => tensors.into_iter(),
            Kind::Numbers(..) => self.tensors().into_iter(),
        }
    }
}

//! What may stand as a distribution's parameter: host numbers or tensors.

use crate::tensor::{Parameter, Tensor};

/// A scalar parameter: `f64`, or a tensor of any shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be this parameter of a distribution",
    label = "expected a number (`f64`, such as `1.0`) or a `Tensor`"
)]
pub trait Operand {
    /// `f64` or [`Tensor`].
    type Repr;
    /// The parameter itself.
    fn into_repr(self) -> Self::Repr;
}

/// A vector parameter: `f64`s, or a tensor whose last axis is the vector.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be this parameter of a distribution",
    label = "expected numbers (`f64`s, such as `[0.2, 0.8]`) or a `Tensor`"
)]
pub trait VectorOperand {
    /// `Vec<f64>` or [`Tensor`].
    type Repr;
    /// The parameter itself.
    fn into_repr(self) -> Self::Repr;
}

macro_rules! operands {
    ($($trait:ident: $type:ty => $repr:ty, $self:ident => $body:expr;)*) => {$(
        impl $trait for $type {
            type Repr = $repr;
            fn into_repr($self) -> $repr {
                $body
            }
        }
    )*};
}

operands! {
    Operand: f64 => f64, self => self;
    Operand: &f64 => f64, self => *self;
    Operand: Tensor => Tensor, self => self;
    Operand: &Tensor => Tensor, self => self.clone();
    Operand: &Parameter => Tensor, self => self.get();
    VectorOperand: Vec<f64> => Vec<f64>, self => self;
    VectorOperand: &Vec<f64> => Vec<f64>, self => self.clone();
    VectorOperand: &[f64] => Vec<f64>, self => self.to_vec();
    VectorOperand: Tensor => Tensor, self => self;
    VectorOperand: &Tensor => Tensor, self => self.clone();
    VectorOperand: &Parameter => Tensor, self => self.get();
}

impl<const N: usize> VectorOperand for [f64; N] {
    type Repr = Vec<f64>;
    fn into_repr(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<const N: usize> VectorOperand for &[f64; N] {
    type Repr = Vec<f64>;
    fn into_repr(self) -> Vec<f64> {
        self.to_vec()
    }
}

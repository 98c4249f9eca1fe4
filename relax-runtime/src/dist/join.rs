//! Brings the parameters of one distribution into a common form.

use crate::tensor::{Shape, Tensor};

/// Two parameters of one distribution: numbers stay numbers unless one is a tensor.
pub trait Join<B> {
    /// `f64` or [`Tensor`].
    type Joined;
    /// Both in the common form: a number becomes a tensor of shape `[]` where the other is a tensor, and a
    /// tensor of that shape moves from the CPU to the other's device.
    fn join(self, other: B) -> (Self::Joined, Self::Joined);
}

/// Three parameters of one distribution, as [`Join`] for two.
pub trait JoinThree<B, C> {
    /// `f64` or [`Tensor`].
    type Joined;
    /// All in the common form.
    fn join_three(self, second: B, third: C) -> [Self::Joined; 3];
}

impl<A, B, C, P> JoinThree<B, C> for A
where
    A: Join<B>,
    A::Joined: Join<C, Joined = P> + Join<P, Joined = P>,
    P: Join<P, Joined = P> + Clone,
{
    type Joined = P;
    fn join_three(self, second: B, third: C) -> [P; 3] {
        let (first, second) = self.join(second);
        let (first, third) = first.join(third);
        let (second, third) = second.join(third);
        let (first, second) = first.join(second);
        [first, second, third]
    }
}

impl Join<f64> for f64 {
    type Joined = f64;
    fn join(self, other: f64) -> (f64, f64) {
        (self, other)
    }
}

impl Join<Tensor> for f64 {
    type Joined = Tensor;
    fn join(self, other: Tensor) -> (Tensor, Tensor) {
        (beside(self, &other), other)
    }
}

impl Join<f64> for Tensor {
    type Joined = Tensor;
    fn join(self, other: f64) -> (Tensor, Tensor) {
        let other = beside(other, &self);
        (self, other)
    }
}

impl Join<Tensor> for Tensor {
    type Joined = Tensor;
    fn join(self, other: Tensor) -> (Tensor, Tensor) {
        match self.device() == other.device() {
            true => (self, other),
            false => self.together(&other).unwrap_or((self, other)),
        }
    }
}

fn beside(number: f64, tensor: &Tensor) -> Tensor {
    Tensor::full(Shape::SCALAR, number as f32, &tensor.device())
}

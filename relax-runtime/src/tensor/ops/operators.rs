//! `+ - * /` between tensors and numbers, by reference and by value, and unary minus.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::super::Tensor;
use super::super::op::{Bits, Op};

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(self, other)
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(&self, &other)
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

/// A number to the right of an operator whose left side is a tensor. On the left only `f32` is possible:
/// with two types there, the type of `(2.0 - x).exp()` would be ambiguous.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be combined with a tensor",
    label = "expected an `f32`, an `f64` or a tensor"
)]
pub trait Scalar: Copy {
    /// The number in single precision.
    fn single(self) -> f32;
}

impl Scalar for f32 {
    #[inline]
    fn single(self) -> f32 {
        self
    }
}

impl Scalar for f64 {
    #[inline]
    fn single(self) -> f32 {
        self as f32
    }
}

/// `scalar_operator!(Trait, method, |tensor, number| tensor op number, number op tensor)`.
macro_rules! scalar_operator {
    ($trait:ident, $method:ident, |$t:ident, $s:ident| $right:expr, $left:expr) => {
        impl<S: Scalar> $trait<S> for &Tensor {
            type Output = Tensor;
            fn $method(self, number: S) -> Tensor {
                let ($t, $s) = (self, number.single());
                $right
            }
        }
        impl<S: Scalar> $trait<S> for Tensor {
            type Output = Tensor;
            fn $method(self, number: S) -> Tensor {
                let ($t, $s) = (&self, number.single());
                $right
            }
        }
        impl $trait<&Tensor> for f32 {
            type Output = Tensor;
            fn $method(self, $t: &Tensor) -> Tensor {
                let $s = self;
                $left
            }
        }
        impl $trait<Tensor> for f32 {
            type Output = Tensor;
            fn $method(self, tensor: Tensor) -> Tensor {
                let ($s, $t) = (self, &tensor);
                $left
            }
        }
    };
}
scalar_operator!(Add, add, |t, s| t.shifted(s), t.shifted(s));
scalar_operator!(Sub, sub, |t, s| t.shifted(-s), t.neg().shifted(s));
scalar_operator!(Mul, mul, |t, s| t.scaled(s), t.scaled(s));
scalar_operator!(Div, div, |t, s| t.divided(s), t.recip().scaled(s));

/// Constants take the shortcut of [`fused`](Tensor::fused).
impl Tensor {
    fn shifted(&self, by: f32) -> Tensor {
        if let Some(out) = Tensor::fused([self], |[x]| x + by) {
            return out;
        }
        let op = || Op::new("shift", [Bits::of(&by)]);
        self.lift(op, |x| dispatch!(shift(x, by)), |t, _, _| t.clone())
    }

    fn scaled(&self, by: f32) -> Tensor {
        if let Some(out) = Tensor::fused([self], |[x]| x * by) {
            return out;
        }
        let op = || Op::new("scale", [Bits::of(&by)]);
        self.linear_map(op, |x| dispatch!(scale(x, by)))
    }

    fn divided(&self, by: f32) -> Tensor {
        if let Some(out) = Tensor::fused([self], |[x]| x / by) {
            return out;
        }
        let op = || Op::new("divide", [Bits::of(&by)]);
        self.linear_map(op, |x| dispatch!(divide(x, by)))
    }
}

impl Neg for &Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

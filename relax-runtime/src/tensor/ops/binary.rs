//! Elementwise functions of two tensors, with NumPy's broadcasting.

use dfdx::tensor::{NoneTape, OnesTensor, ZerosTensor};
use dfdx::tensor_ops::{
    ChooseFrom, TryAdd, TryDiv, TryEq, TryGe, TryGt, TryLe, TryLt, TryMul, TrySub,
};

use super::super::dispatch::Backend;
use super::super::{Inner, Tensor};
use crate::error::{Error, Result};

/// `binary!(op, a, b, |dfdx, dfdx| forward, |ta, tb, x, y, out| tangent)`.
macro_rules! binary {
    (
        $op:literal, $a:expr, $b:expr,
        |$l:ident, $r:ident| $forward:expr,
        |$ta:ident, $tb:ident, $x:pat_param, $y:pat_param, $z:pat_param| $tangent:expr
    ) => {{
        let (a, b) = match $a.aligned($b, $op) {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        a.lift_pair(
            &b,
            |a, b| {
                on_device!(
                    &a.data,
                    flat => a.record_pair(b, flat, a.shape, |$l, $r| $forward)
                )
            },
            |$ta, $tb, [$x, $y, $z]| $tangent,
        )
    }};
}

/// The sum of those that are there; `like` gives the shape when none is.
fn total(terms: [Option<Tensor>; 2], like: &Tensor) -> Tensor {
    match terms {
        [Some(a), Some(b)] => a + b,
        [Some(a), None] | [None, Some(a)] => a,
        [None, None] => like.zeros_like(),
    }
}

/// Right-hand sides of a comparison: a tensor, which broadcasts, or a number.
pub trait Comparand {
    /// The right-hand side as a tensor beside `left`.
    fn beside(&self, left: &Tensor) -> Tensor;
}

impl Comparand for &Tensor {
    fn beside(&self, _: &Tensor) -> Tensor {
        (*self).clone()
    }
}

impl Comparand for f32 {
    fn beside(&self, left: &Tensor) -> Tensor {
        left.full_like(*self)
    }
}

macro_rules! comparison {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        ///
        /// A constant: no derivative flows through it.
        #[track_caller]
        pub fn $name(&self, other: impl Comparand) -> Tensor {
            let other = other.beside(self);
            let (a, b) = match self.aligned(&other, stringify!($name)) {
                Ok((a, b)) => (a.detach(), b.detach()),
                Err(refused) => return refused,
            };
            a.lift_pair(
                &b,
                |a, b| {
                    on_device!(&a.data, flat => a.record_pair(b, flat, a.shape, |l, r| {
                        let ones: dfdx::tensor::Tensor<_, f32, _, NoneTape> =
                            l.device().try_ones_like(&r)?;
                        let zeros = l.device().try_zeros_like(&r)?;
                        let (left, tape) = dfdx::tensor::SplitTape::split_tape(l);
                        let chosen = left.$method(&r)?.try_choose(ones, zeros)?;
                        Ok(dfdx::tensor::PutTape::put_tape(chosen, tape))
                    }))
                },
                |_, _, [_, _, out]| out.zeros_like(),
            )
        }
    };
}

/// Elementwise functions of two tensors. Shapes that do not broadcast, and operands on two
/// devices, give a poisoned tensor.
impl Tensor {
    /// Sum; the operator `+`.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        binary!(
            "add",
            self,
            other,
            |l, r| l.try_add(r),
            |ta, tb, _, _, z| total([ta.cloned(), tb.cloned()], z)
        )
    }

    /// Difference; the operator `-`.
    #[track_caller]
    pub fn sub(&self, other: &Tensor) -> Tensor {
        binary!(
            "sub",
            self,
            other,
            |l, r| l.try_sub(r),
            |ta, tb, _, _, z| total([ta.cloned(), tb.map(Tensor::neg)], z)
        )
    }

    /// Product; the operator `*`.
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        binary!(
            "mul",
            self,
            other,
            |l, r| l.try_mul(r),
            |ta, tb, x, y, z| total([ta.map(|t| t * y), tb.map(|t| x * t)], z)
        )
    }

    /// Quotient; the operator `/`.
    #[track_caller]
    pub fn div(&self, other: &Tensor) -> Tensor {
        binary!(
            "div",
            self,
            other,
            |l, r| l.try_div(r),
            |ta, tb, _, y, z| total([ta.cloned(), tb.map(|t| (z * t).neg())], z) / y
        )
    }

    /// The larger of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        binary!(
            "maximum",
            self,
            other,
            |l, r| l.try_maximum(r),
            |ta, tb, x, y, z| {
                let left = (x.gt(y) + x.ge(y)) * 0.5;
                total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
            }
        )
    }

    /// The smaller of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        binary!(
            "minimum",
            self,
            other,
            |l, r| l.try_minimum(r),
            |ta, tb, x, y, z| {
                let left = (x.lt(y) + x.le(y)) * 0.5;
                total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
            }
        )
    }

    comparison! {
        /// 1 where equal, 0 elsewhere.
        eq, try_eq
    }
    comparison! {
        /// 1 where `self` is greater, 0 elsewhere.
        gt, try_gt
    }
    comparison! {
        /// 1 where `self` is greater or equal, 0 elsewhere.
        ge, try_ge
    }
    comparison! {
        /// 1 where `self` is smaller, 0 elsewhere.
        lt, try_lt
    }
    comparison! {
        /// 1 where `self` is smaller or equal, 0 elsewhere.
        le, try_le
    }

    /// `a` where the condition `self` is above 0.5, `b` elsewhere; all three broadcast. The side
    /// that was not chosen gets a derivative of 0, the condition none. (A chosen-against value
    /// whose own derivative is infinite still gives NaN, 0 · ∞, further up: clamp its argument.)
    #[track_caller]
    pub fn select_where(&self, a: &Tensor, b: &Tensor) -> Tensor {
        if let Some(refused) = self.refuse_pair(a, "select_where") {
            return refused;
        }
        let (a, b) = match a.aligned(b, "select_where") {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        let shape = match self.shape().broadcast(&a.shape()) {
            Some(shape) => shape,
            None => return self.misfits(&a, "select_where", "needs shapes that broadcast"),
        };
        let condition = self.detach().broadcast_to(shape);
        let (a, b) = a.broadcast_to(shape).told_apart(b.broadcast_to(shape));
        let chosen = a.lift_pair(
            &b,
            |a, b| on_backend!(&a.data, D => choose::<D>(&condition, a, b)),
            |ta, tb, [x, _, _]| {
                let zeros = x.zeros_like();
                condition.select_where(ta.unwrap_or(&zeros), tb.unwrap_or(&zeros))
            },
        );
        chosen.also_from(self)
    }
}

/// dfdx's choice between two tensors on the condition's device.
fn choose<D: Backend>(condition: &Tensor, a: &Inner, b: &Inner) -> Result<Inner> {
    let misplaced = || Error::Autodiff("select_where: operands on two devices".into());
    let mask = D::flat(&condition.inner()?.data).ok_or_else(misplaced)?;
    let mask = mask.try_gt(0.5).map_err(D::error)?;
    let left = D::flat(&a.data).ok_or_else(misplaced)?;
    a.record_pair(b, left, a.shape, |l, r| mask.try_choose(l, r))
}

//! Comparisons, and the choice between two tensors.

use super::super::cpu::{self, Buffer, pointwise::pointwise};
use super::super::dispatch::{Data, record_cpu};
use super::super::{Inner, Tensor};
use crate::error::Result;

/// Right-hand sides of a comparison: a tensor, which broadcasts, or a number.
pub trait Comparand {
    /// The right-hand side as a tensor beside `left`.
    fn beside(&self, left: &Tensor) -> Tensor;

    /// The right-hand side, if it is a number.
    fn number(&self) -> Option<f32> {
        None
    }
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

    fn number(&self) -> Option<f32> {
        Some(*self)
    }
}

/// `comparison!(name, CPU function, dfdx trait and method)`.
macro_rules! comparison {
    ($(#[$doc:meta])* $name:ident, $holds:expr, $trait:ident::$method:ident) => {
        $(#[$doc])*
        ///
        /// A constant: no derivative flows through it.
        #[track_caller]
        pub fn $name(&self, other: impl Comparand) -> Tensor {
            let holds = $holds;
            self.mark_rough();
            let to_number = |y| move |[x]: [f32; 1]| f32::from(holds(&x, &y));
            let constant = self.detach();
            if let Some(out) =
                other.number().and_then(|y| Tensor::fused([&constant], to_number(y)))
            {
                return out;
            }
            let other = other.beside(self);
            other.mark_rough();
            let (a, b) = match constant.aligned(&other.detach(), stringify!($name)) {
                Ok(operands) => operands,
                Err(refused) => return refused,
            };
            a.lift_pair(
                &b,
                |a, b| match (&a.data, &b.data) {
                    (Data::Cpu(l), Data::Cpu(r)) => {
                        let number = move |[x, y]: [f32; 2]| f32::from(holds(&x, &y));
                        let values = pointwise([l, r].map(cpu::slice), number);
                        Ok(record_cpu(&[a, b], a.shape, values, |_, _| {}))
                    }
                    #[cfg(feature = "cuda")]
                    (Data::Cuda(l), _) => a.record_pair(b, l, a.shape, |l, r| {
                        use dfdx::tensor::{NoneTape, OnesTensor, PutTape, SplitTape, ZerosTensor};
                        use dfdx::tensor_ops::{ChooseFrom, $trait};
                        let ones: dfdx::tensor::Tensor<_, f32, _, NoneTape> =
                            l.device().try_ones_like(&r)?;
                        let zeros = l.device().try_zeros_like(&r)?;
                        let (left, tape) = l.split_tape();
                        Ok(left.$method(&r)?.try_choose(ones, zeros)?.put_tape(tape))
                    }),
                    #[cfg(feature = "cuda")]
                    _ => Err(two_devices(stringify!($name))),
                },
                |_, _, [_, _, out]| out.zeros_like(),
            )
        }
    };
}

#[cfg(feature = "cuda")]
fn two_devices(op: &str) -> crate::error::Error {
    crate::error::Error::Autodiff(format!("{op}: operands on two devices"))
}

/// Comparisons and choice. Shapes that do not broadcast, and operands on two devices, give a
/// poisoned tensor.
impl Tensor {
    comparison! {
        /// 1 where equal, 0 elsewhere.
        eq, |x: &f32, y: &f32| x == y, TryEq::try_eq
    }
    comparison! {
        /// 1 where `self` is greater, 0 elsewhere.
        gt, |x: &f32, y: &f32| x > y, TryGt::try_gt
    }
    comparison! {
        /// 1 where `self` is greater or equal, 0 elsewhere.
        ge, |x: &f32, y: &f32| x >= y, TryGe::try_ge
    }
    comparison! {
        /// 1 where `self` is smaller, 0 elsewhere.
        lt, |x: &f32, y: &f32| x < y, TryLt::try_lt
    }
    comparison! {
        /// 1 where `self` is smaller or equal, 0 elsewhere.
        le, |x: &f32, y: &f32| x <= y, TryLe::try_le
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
            |a, b| choose(&condition, a, b),
            |ta, tb, [x, _, _]| {
                let zeros = x.zeros_like();
                condition.select_where(ta.unwrap_or(&zeros), tb.unwrap_or(&zeros))
            },
        );
        chosen.also_from(&self.clone().severed())
    }
}

/// The elements of `a` or `b`, all three of one shape.
fn choose(condition: &Tensor, a: &Inner, b: &Inner) -> Result<Inner> {
    match (&condition.inner()?.data, &a.data, &b.data) {
        (Data::Cpu(mask), Data::Cpu(l), Data::Cpu(r)) => {
            Ok(choose_cpu(mask.clone(), (a, l), (b, r)))
        }
        #[cfg(feature = "cuda")]
        (Data::Cuda(mask), Data::Cuda(l), _) => a.record_pair(b, l, a.shape, |l, r| {
            use dfdx::tensor_ops::{ChooseFrom, TryGt};
            mask.try_gt(0.5)?.try_choose(l, r)
        }),
        #[cfg(feature = "cuda")]
        _ => Err(two_devices("select_where")),
    }
}

fn choose_cpu(mask: Buffer, (a, left): (&Inner, &Buffer), (b, right): (&Inner, &Buffer)) -> Inner {
    let operands = [&mask, left, right].map(cpu::slice);
    let values = pointwise(operands, |[mask, x, y]| if mask > 0.5 { x } else { y });
    record_cpu(&[a, b], a.shape, values, move |g, sinks| {
        let mask = cpu::slice(&mask);
        let first = |[g, mask]: [f32; 2]| if mask > 0.5 { g } else { 0.0 };
        sinks.add(0, [g, mask], first);
        sinks.pass(1, g, [mask], |g, [mask]| if mask > 0.5 { 0.0 } else { g });
    })
}

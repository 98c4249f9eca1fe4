//! Comparisons, and the choice between two tensors.

use super::super::Tensor;
use super::super::cases::broadcast;
use super::super::engine::Comparison;
use super::super::op::{Bits, Op};

/// The right-hand side of a comparison: a tensor, which broadcasts, or a number.
pub trait Comparand {
    /// The right-hand side as a tensor to go with `left`.
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

/// `comparison!(name, function, the engines' name)`.
macro_rules! comparison {
    ($(#[$doc:meta])* $name:ident, $holds:expr, $comparison:ident) => {
        $(#[$doc])*
        ///
        /// A constant: no derivative flows through it.
        #[track_caller]
        pub fn $name(&self, other: impl Comparand) -> Tensor {
            let holds = $holds;
            self.mark_rough();
            let to_number = |y| move |[x]: [f32; 1]| f32::from(holds(&x, &y));
            let constant = self.detach();
            if let Some(y) = other.number() {
                let of_case = |[x]: [&Tensor; 1]| Some(x.$name(y));
                let op = || Some(Op::new(stringify!($name), [Bits::of(&y)]));
                let out = broadcast([&constant], op, of_case);
                if let Some(out) = out.or_else(|| Tensor::fused([&constant], to_number(y))) {
                    return out;
                }
            }
            let other = other.beside(self);
            other.mark_rough();
            let of_case = |[x, y]: [&Tensor; 2]| Some(x.$name(y));
            let op = || Some(Op::new(stringify!($name), []));
            if let Some(out) = broadcast([&constant, &other], op, of_case) {
                return out;
            }
            let (a, b) = match constant.aligned(&other.detach(), stringify!($name)) {
                Ok(operands) => operands,
                Err(refused) => return refused,
            };
            a.lift_pair(
                &b,
                || Op::new(stringify!($name), []),
                |a, b| dispatch!(compare(a, b, Comparison::$comparison)),
                |_, _, [_, _, out]| out.zeros_like(),
            )
        }
    };
}

/// Comparisons and choice. Shapes that do not broadcast, and operands on two devices, give a
/// poisoned tensor.
impl Tensor {
    comparison! {
        /// 1 where equal, 0 elsewhere.
        eq, |x: &f32, y: &f32| x == y, Equal
    }
    comparison! {
        /// 1 where `self` is greater, 0 elsewhere.
        gt, |x: &f32, y: &f32| x > y, Greater
    }
    comparison! {
        /// 1 where `self` is greater or equal, 0 elsewhere.
        ge, |x: &f32, y: &f32| x >= y, GreaterOrEqual
    }
    comparison! {
        /// 1 where `self` is smaller, 0 elsewhere.
        lt, |x: &f32, y: &f32| x < y, Less
    }
    comparison! {
        /// 1 where `self` is smaller or equal, 0 elsewhere.
        le, |x: &f32, y: &f32| x <= y, LessOrEqual
    }

    /// `a` where the condition `self` is above 0.5, `b` elsewhere; all three broadcast. The side that is
    /// not chosen gets a derivative of 0, the condition none. (If the derivative of a value that is not chosen
    /// is infinite, other engines than this project's own get NaN, 0 · ∞, further up: clamp that value's
    /// argument.)
    #[track_caller]
    pub fn select_where(&self, a: &Tensor, b: &Tensor) -> Tensor {
        if self.0.is_err() {
            return self.clone();
        }
        let of_case = |[x, a, b]: [&Tensor; 3]| Some(x.select_where(a, b));
        let op = || Some(Op::new("select_where", []));
        if let Some(out) = broadcast([self, a, b], op, of_case) {
            return out;
        }
        let (a, b) = match a.aligned(b, "select_where") {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        let (condition, a, b) = match self.detach().together(&a) {
            Some((condition, a)) => (condition, a, b),
            None => match a.together(self) {
                None => return self.refuse_pair(&a, "select_where").unwrap_or(a),
                Some((a, condition)) => (condition, a, b),
            },
        };
        let shape = match self.shape().broadcast(&a.shape()) {
            Some(shape) => shape,
            None => return self.misfits(&a, "select_where", "needs shapes that broadcast"),
        };
        let condition = condition.broadcast_to(shape);
        let (a, b) = (a.broadcast_to(shape), b.broadcast_to(shape));
        let chosen = a.lifted_pair(
            &b,
            |a, b| dispatch!(choose(a, b, condition.inner()?)),
            |ta, tb, [x, _, _]| {
                let zeros = x.zeros_like();
                condition.select_where(ta.unwrap_or(&zeros), tb.unwrap_or(&zeros))
            },
        );
        chosen.also_from(&self.clone().severed())
    }
}

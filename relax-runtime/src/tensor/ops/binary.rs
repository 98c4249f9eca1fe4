//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::super::Tensor;
use super::super::cases::broadcast;
use super::super::op::Op;

/// `binary!(operation, "its name", a, b, |ta, tb, x, y, out| tangent)`.
macro_rules! binary {
    (
        $run:ident, $op:literal, $a:expr, $b:expr,
        |$ta:ident, $tb:ident, $x:pat_param, $y:pat_param, $z:pat_param| $tangent:expr
    ) => {{
        let of_case = |[a, b]: [&Tensor; 2]| Some(a.$run(b));
        if let Some(out) = broadcast([$a, $b], || Some(Op::new($op, [])), of_case) {
            return out;
        }
        let (a, b, shape) = match $a.paired($b, $op) {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        a.lift_pair(
            &b,
            || Op::new($op, []),
            |a, b| dispatch!($run(a, b, shape)),
            |$ta, $tb, [$x, $y, $z]| $tangent.broadcast_to(shape),
        )
    }};
}

/// The sum of those that are there; `like` gives the shape when there are none.
fn total(terms: [Option<Tensor>; 2], like: &Tensor) -> Tensor {
    match terms {
        [Some(a), Some(b)] => a + b,
        [Some(a), None] | [None, Some(a)] => a,
        [None, None] => like.zeros_like(),
    }
}

/// Elementwise functions of two tensors. Shapes that do not broadcast, and operands on two
/// devices, give a poisoned tensor.
impl Tensor {
    /// Sum; the operator `+`.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        binary!(add, "add", self, other, |ta, tb, _, _, z| total(
            [ta.cloned(), tb.cloned()],
            z
        ))
    }

    /// Difference; the operator `-`.
    #[track_caller]
    pub fn sub(&self, other: &Tensor) -> Tensor {
        binary!(sub, "sub", self, other, |ta, tb, _, _, z| total(
            [ta.cloned(), tb.map(Tensor::neg)],
            z
        ))
    }

    /// Product; the operator `*`.
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        binary!(mul, "mul", self, other, |ta, tb, x, y, z| total(
            [ta.map(|t| t * y), tb.map(|t| x * t)],
            z
        ))
    }

    /// Quotient; the operator `/`.
    #[track_caller]
    pub fn div(&self, other: &Tensor) -> Tensor {
        binary!(div, "div", self, other, |ta, tb, _, y, z| total(
            [ta.cloned(), tb.map(|t| (z * t).neg())],
            z
        ) / y)
    }

    /// log p(value | self) of coins with logits l = `self`, x l − softplus(l), element by element.
    #[track_caller]
    pub(crate) fn coin_log_mass(&self, value: &Tensor) -> Tensor {
        binary!(coin_log_mass, "log_mass", self, value, |tl, tx, l, x, z| {
            total([tl.map(|t| t * l.coin_score(x)), tx.map(|t| l * t)], z)
        })
    }

    /// x − σ(l) of coins x with logits l = `self`; the derivatives with respect to x and l are 1 and −σ′(l).
    #[track_caller]
    pub(crate) fn coin_score(&self, value: &Tensor) -> Tensor {
        binary!(coin_score, "score", self, value, |tl, tx, l, _, z| {
            let bent = |t: &Tensor| (t * l.sigmoid() * l.neg().sigmoid()).neg();
            total([tl.map(bent), tx.cloned()], z)
        })
    }

    /// The larger of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        if let Some(excess) = self.rounded_excess(other) {
            return excess + other;
        }
        binary!(maximum, "maximum", self, other, |ta, tb, x, y, z| {
            let left = (x.gt(y) + x.ge(y)) * 0.5;
            total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
        })
    }

    /// The smaller of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        if let Some(excess) = self.rounded_excess(other) {
            return self - excess;
        }
        binary!(minimum, "minimum", self, other, |ta, tb, x, y, z| {
            let left = (x.lt(y) + x.le(y)) * 0.5;
            total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
        })
    }
}

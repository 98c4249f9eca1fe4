//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::super::cpu::{self, Buffer, math, zip::Zip};
use super::super::dispatch::record_cpu;
#[cfg(feature = "cuda")]
use super::super::gpu::{Flat, Outcome, Taped};
use super::super::graph::{Gradient, Sinks};
use super::super::{Inner, Shape, Tensor};

/// `binary!(op, a, b, cpu: f, ∂f/∂a, ∂f/∂b; gpu: dfdx's method; |ta, tb, x, y, out| tangent)`.
macro_rules! binary {
    (
        $op:literal, $a:expr, $b:expr,
        cpu: $f:expr, $dl:expr, $dr:expr;
        gpu: $gpu:path;
        |$ta:ident, $tb:ident, $x:pat_param, $y:pat_param, $z:pat_param| $tangent:expr
    ) => {{
        let (a, b, shape) = match $a.paired($b, $op) {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        a.lift_pair(
            &b,
            |a, b| match (&a.data, &b.data) {
                (
                    $crate::tensor::dispatch::Data::Cpu(l),
                    $crate::tensor::dispatch::Data::Cpu(r),
                ) => Ok(zip_cpu(shape, (a, l), (b, r), $f, $dl, $dr)),
                #[cfg(feature = "cuda")]
                ($crate::tensor::dispatch::Data::Cuda(l), _) => {
                    a.record_pair(b, l, shape, |l, r| $gpu(l, r))
                }
                #[cfg(feature = "cuda")]
                _ => Err($crate::Error::Autodiff(
                    concat!($op, ": two devices").into(),
                )),
            },
            |$ta, $tb, [$x, $y, $z]| $tangent.broadcast_to(shape),
        )
    }};
}

/// A derivative of a function of two numbers.
#[derive(Clone, Copy)]
enum Slope<F> {
    Constant(f32),
    Of(F),
}

/// 1 everywhere.
const ONE: Slope<fn(f32, f32) -> f32> = Slope::Constant(1.0);

/// −1 everywhere.
const MINUS_ONE: Slope<fn(f32, f32) -> f32> = Slope::Constant(-1.0);

/// An elementwise CPU function of two shapes that broadcast to `shape`, with its two derivatives. dfdx's own
/// walks strides element by element and computes gradients of constants; this does neither.
fn zip_cpu(
    shape: Shape,
    (a, left): (&Inner, &Buffer),
    (b, right): (&Inner, &Buffer),
    f: impl Fn(f32, f32) -> f32 + Copy + Sync,
    dl: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync + 'static>,
    dr: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync + 'static>,
) -> Inner {
    let zip = Zip::new([a.shape.padded(), b.shape.padded()]);
    let operands = [left, right].map(cpu::slice);
    let values = zip.apply(operands, f);
    let saved = (left.clone(), right.clone());
    record_cpu(&[a, b], shape, values, move |g, sinks| {
        let operands = [cpu::slice(&saved.0), cpu::slice(&saved.1)];
        // The operand whose gradient may take the place of the result's comes last.
        if zip.is_whole(1) && sinks.wants(1) {
            back(&zip, (0, false), (g, sinks), operands, dl);
            back(&zip, (1, true), (g, sinks), operands, dr);
        } else {
            back(&zip, (1, false), (g, sinks), operands, dr);
            back(&zip, (0, true), (g, sinks), operands, dl);
        }
    })
}

/// Adds to the gradient of the operand on one side, perhaps as the last one to need `g`.
fn back(
    zip: &Zip,
    (side, last): (usize, bool),
    (g, sinks): (&mut Gradient, &mut Sinks<'_>),
    operands: [&[f32]; 2],
    slope: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync>,
) {
    if !sinks.wants(side) {
        return;
    }
    match (slope, zip.is_whole(side)) {
        (Slope::Constant(1.0), true) if last => sinks.pass_changed(side, g, |_| {}),
        (Slope::Constant(slope), true) if last => sinks.pass(side, g, [], move |g, []| slope * g),
        (Slope::Constant(slope), true) => sinks.add(side, [g], move |[g]| slope * g),
        (Slope::Of(f), true) if last => sinks.pass_changed(side, g, |g| {
            zip.change(g, operands, move |g, x, y| g * f(x, y));
        }),
        (Slope::Of(f), true) => {
            // The other side is whole, too, or it would come first.
            let [x, y] = operands;
            sinks.add(side, [g, x, y], move |[g, x, y]| g * f(x, y));
        }
        (slope, false) => {
            let Some(sink) = sinks.get(side) else { return };
            match slope {
                Slope::Constant(slope) => zip.sum(sink, side, g, operands, slope),
                Slope::Of(f) => zip.reduce(sink, side, g, operands, move |g, x, y| g * f(x, y)),
            }
        }
    }
}

/// How much of the derivative of the chosen one of two numbers goes to the first.
fn share(first: bool, tie: bool) -> f32 {
    match (first, tie) {
        (_, true) => 0.5,
        (true, _) => 1.0,
        (false, _) => 0.0,
    }
}

/// ∂(x/y)/∂y, with a quotient that a loop over one y computes once.
#[inline(always)]
fn by_divisor(x: f32, y: f32) -> f32 {
    let inverse = 1.0 / y;
    -(x * inverse) * inverse
}

/// [`Tensor::coin_log_mass`] by dfdx: the cross-entropy of a logit with the target x, negated.
#[cfg(feature = "cuda")]
fn coin_log_mass_gpu(l: Taped, x: Flat) -> Outcome<Taped> {
    l.try_bce_with_logits(x)?.try_negate()
}

#[cfg(feature = "cuda")]
fn coin_score_gpu(l: Taped, x: Flat) -> Outcome<Taped> {
    use dfdx::tensor_ops::TrySub;
    l.try_sigmoid()?.try_sub(x)?.try_negate()
}

/// The sum of those that are there; `like` gives the shape when none is.
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
        binary!(
            "add",
            self,
            other,
            cpu: |x, y| x + y, ONE, ONE;
            gpu: dfdx::tensor_ops::TryAdd::try_add;
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
            cpu: |x, y| x - y, ONE, MINUS_ONE;
            gpu: dfdx::tensor_ops::TrySub::try_sub;
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
            cpu: |x, y| x * y, Slope::Of(|_, y| y), Slope::Of(|x, _| x);
            gpu: dfdx::tensor_ops::TryMul::try_mul;
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
            cpu: |x, y| x / y, Slope::Of(|_, y: f32| 1.0 / y), Slope::Of(by_divisor);
            gpu: dfdx::tensor_ops::TryDiv::try_div;
            |ta, tb, _, y, z| total([ta.cloned(), tb.map(|t| (z * t).neg())], z) / y
        )
    }

    /// log p(value | self) of coins with logits `self`, x l − softplus(l), element by element.
    #[track_caller]
    pub(crate) fn coin_log_mass(&self, value: &Tensor) -> Tensor {
        binary!(
            "log_mass",
            self,
            value,
            cpu: |l, x| math::coin_log_mass(x, l),
            Slope::Of(|l, x| math::coin_score(x, l)), Slope::Of(|l, _| l);
            gpu: coin_log_mass_gpu;
            |tl, tx, l, x, z| total([tl.map(|t| t * l.coin_score(x)), tx.map(|t| l * t)], z)
        )
    }

    /// x − σ(l) of coins x with logits l = `self`; the derivative by x is 1, that by l −σ′(l).
    #[track_caller]
    pub(crate) fn coin_score(&self, value: &Tensor) -> Tensor {
        binary!(
            "score",
            self,
            value,
            cpu: |l, x| math::coin_score(x, l),
            Slope::Of(|l, _| -math::coin_variance(l)), ONE;
            gpu: coin_score_gpu;
            |tl, tx, l, _, z| {
                let bent = |t: &Tensor| (t * l.sigmoid() * l.neg().sigmoid()).neg();
                total([tl.map(bent), tx.cloned()], z)
            }
        )
    }

    /// The larger of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        if let Some(excess) = self.rounded_excess(other) {
            return excess + other;
        }
        binary!(
            "maximum",
            self,
            other,
            cpu: |x: f32, y: f32| if x > y || x.is_nan() { x } else { y },
            Slope::Of(|x, y| share(x > y, x == y)), Slope::Of(|x, y| share(y > x, x == y));
            gpu: dfdx::tensor::Tensor::try_maximum;
            |ta, tb, x, y, z| {
                let left = (x.gt(y) + x.ge(y)) * 0.5;
                total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
            }
        )
    }

    /// The smaller of two numbers; at a tie each gets half the derivative.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        if let Some(excess) = self.rounded_excess(other) {
            return self - excess;
        }
        binary!(
            "minimum",
            self,
            other,
            cpu: |x: f32, y: f32| if x < y || x.is_nan() { x } else { y },
            Slope::Of(|x, y| share(x < y, x == y)), Slope::Of(|x, y| share(y < x, x == y));
            gpu: dfdx::tensor::Tensor::try_minimum;
            |ta, tb, x, y, z| {
                let left = (x.lt(y) + x.le(y)) * 0.5;
                total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
            }
        )
    }
}

//! Elementwise functions of two tensors, with NumPy's broadcasting.

use super::super::cpu::{self, Buffer, pointwise::pointwise};
use super::super::dispatch::record_cpu;
use super::super::{Inner, Tensor};

/// `binary!(op, a, b, cpu: f, ∂f/∂a, ∂f/∂b; gpu: dfdx's method; |ta, tb, x, y, out| tangent)`.
macro_rules! binary {
    (
        $op:literal, $a:expr, $b:expr,
        cpu: $f:expr, $dl:expr, $dr:expr;
        gpu: $gpu:path;
        |$ta:ident, $tb:ident, $x:pat_param, $y:pat_param, $z:pat_param| $tangent:expr
    ) => {{
        let (a, b) = match $a.aligned($b, $op) {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        a.lift_pair(
            &b,
            |a, b| match (&a.data, &b.data) {
                (
                    $crate::tensor::dispatch::Data::Cpu(l),
                    $crate::tensor::dispatch::Data::Cpu(r),
                ) => Ok(zip_cpu((a, l), (b, r), $f, $dl, $dr)),
                #[cfg(feature = "cuda")]
                ($crate::tensor::dispatch::Data::Cuda(l), _) => {
                    a.record_pair(b, l, a.shape, |l, r| $gpu(l, r))
                }
                #[cfg(feature = "cuda")]
                _ => Err($crate::Error::Autodiff(
                    concat!($op, ": two devices").into(),
                )),
            },
            |$ta, $tb, [$x, $y, $z]| $tangent,
        )
    }};
}

/// An elementwise CPU function of two equal shapes with its two derivatives. dfdx's own walks
/// strides element by element and computes gradients of constants; this does neither.
fn zip_cpu(
    (a, left): (&Inner, &Buffer),
    (b, right): (&Inner, &Buffer),
    f: impl Fn(f32, f32) -> f32 + Copy + Sync,
    dl: impl Fn(f32, f32) -> f32 + Copy + Sync + 'static,
    dr: impl Fn(f32, f32) -> f32 + Copy + Sync + 'static,
) -> Inner {
    let (x, y) = (cpu::slice(left), cpu::slice(right));
    let values = Buffer::short(x.len(), |i| f(x[i], y[i]))
        .unwrap_or_else(|| pointwise([x, y], move |[x, y]| f(x, y)).into());
    let saved = (left.clone(), right.clone());
    record_cpu(&[a, b], a.shape, values, move |g, sinks| {
        let (x, y) = (cpu::slice(&saved.0), cpu::slice(&saved.1));
        sinks.add(0, [g, x, y], move |[g, x, y]| g * dl(x, y));
        sinks.add(1, [g, x, y], move |[g, x, y]| g * dr(x, y));
    })
}

/// How much of the derivative of the chosen one of two numbers goes to the first.
fn share(first: bool, tie: bool) -> f32 {
    match (first, tie) {
        (_, true) => 0.5,
        (true, _) => 1.0,
        (false, _) => 0.0,
    }
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
            cpu: |x, y| x + y, |_, _| 1.0, |_, _| 1.0;
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
            cpu: |x, y| x - y, |_, _| 1.0, |_, _| -1.0;
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
            cpu: |x, y| x * y, |_, y| y, |x, _| x;
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
            cpu: |x, y| x / y, |_, y| 1.0 / y, |x, y| -x / (y * y);
            gpu: dfdx::tensor_ops::TryDiv::try_div;
            |ta, tb, _, y, z| total([ta.cloned(), tb.map(|t| (z * t).neg())], z) / y
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
            cpu: f32::max, |x, y| share(x > y, x == y), |x, y| share(y > x, x == y);
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
            cpu: f32::min, |x, y| share(x < y, x == y), |x, y| share(y < x, x == y);
            gpu: dfdx::tensor::Tensor::try_minimum;
            |ta, tb, x, y, z| {
                let left = (x.lt(y) + x.le(y)) * 0.5;
                total([ta.map(|t| t * &left), tb.map(|t| t * (1.0 - &left))], z)
            }
        )
    }
}

//! Elementwise functions of one tensor.

use super::super::cpu::{self, Buffer, math};
use super::super::dispatch::{Data, record_cpu};
use super::super::{Inner, Tensor};

/// An elementwise CPU function with its derivative as a function of argument and result.
pub(super) fn map_cpu(
    inner: &Inner,
    flat: &Buffer,
    f: impl Fn(f32) -> f32 + Copy + Sync,
    df: impl Fn(f32, f32) -> f32 + Copy + Sync + 'static,
) -> Inner {
    let values = cpu::map(cpu::slice(flat), f);
    let saved = inner.node.is_some().then(|| (flat.clone(), values.clone()));
    record_cpu(&[inner], inner.shape, values, move |g, sinks| {
        if let Some((x, y)) = &saved {
            let elements = [x, y].map(cpu::slice);
            sinks.pass(0, g, elements, move |g, [x, y]| g * df(x, y));
        }
    })
}

/// An elementwise CPU function whose derivative is the same everywhere.
pub(super) fn map_linear_cpu(
    inner: &Inner,
    flat: &Buffer,
    f: impl Fn(f32) -> f32 + Copy + Sync,
    slope: f32,
) -> Inner {
    let values = cpu::map(cpu::slice(flat), f);
    record_cpu(&[inner], inner.shape, values, move |g, sinks| match slope {
        1.0 => sinks.pass_changed(0, g, |_| {}),
        _ => sinks.pass(0, g, [], move |g, []| g * slope),
    })
}

/// An elementwise function: on the CPU with its derivative, as dfdx operations on a GPU, and the
/// derivative once more as a tensor expression of argument and result.
macro_rules! unary {
    (
        $tensor:expr,
        cpu: $f:expr, $df:expr,
        gpu: |$t:ident| $gpu:expr,
        |$x:pat_param, $y:pat_param| $derivative:expr
    ) => {
        $tensor.lift(
            |inner| match &inner.data {
                $crate::tensor::dispatch::Data::Cpu(flat) => Ok(map_cpu(inner, flat, $f, $df)),
                #[cfg(feature = "cuda")]
                $crate::tensor::dispatch::Data::Cuda(flat) => {
                    inner.record(flat, inner.shape, |$t| $gpu)
                }
            },
            |direction, $x, $y| direction * $derivative,
        )
    };
}

/// Elementwise functions. Shapes stay; nothing here fails.
impl Tensor {
    /// eˣ.
    pub fn exp(&self) -> Tensor {
        unary!(
            self,
            cpu: math::exp, |_, y| y,
            gpu: |t| t.try_exp(),
            |_, y| y
        )
    }

    /// Natural logarithm.
    pub fn ln(&self) -> Tensor {
        unary!(
            self,
            cpu: math::ln, |x, _| 1.0 / x,
            gpu: |t| t.try_ln(),
            |x, _| x.recip()
        )
    }

    /// log(1 + x), accurate near 0 on the CPU.
    pub fn ln_1p(&self) -> Tensor {
        unary!(
            self,
            cpu: f32::ln_1p, |x, _| 1.0 / (1.0 + x),
            gpu: |t| {
                use dfdx::tensor_ops::TryAdd;
                t.try_add(1.0)?.try_ln()
            },
            |x, _| (x + 1.0).recip()
        )
    }

    /// Square root.
    pub fn sqrt(&self) -> Tensor {
        unary!(
            self,
            cpu: f32::sqrt, |_, y| 0.5 / y,
            gpu: |t| t.try_sqrt(),
            |_, y| (y * 2.0).recip()
        )
    }

    /// x².
    pub fn square(&self) -> Tensor {
        unary!(
            self,
            cpu: |x| x * x, |x, _| 2.0 * x,
            gpu: |t| t.try_square(),
            |x, _| x * 2.0
        )
    }

    /// |x|, with derivative 0 at 0.
    pub fn abs(&self) -> Tensor {
        if let Some(rounded) = self.rounded_abs() {
            return rounded;
        }
        unary!(
            self,
            cpu: f32::abs, |x, _| f32::from(x > 0.0) - f32::from(x < 0.0),
            gpu: |t| t.try_abs(),
            |x, _| x.sign()
        )
    }

    /// -x.
    pub fn neg(&self) -> Tensor {
        self.linear_map(|inner| match &inner.data {
            Data::Cpu(flat) => Ok(map_linear_cpu(inner, flat, |x| -x, -1.0)),
            #[cfg(feature = "cuda")]
            Data::Cuda(flat) => inner.record(flat, inner.shape, |t| t.try_negate()),
        })
    }

    /// 1 / x.
    pub fn recip(&self) -> Tensor {
        unary!(
            self,
            cpu: |x| 1.0 / x, |_, y| -(y * y),
            gpu: |t| t.try_recip(),
            |_, y| y.square().neg()
        )
    }

    /// xᵖ with a real exponent.
    pub fn powf(&self, exponent: f32) -> Tensor {
        if exponent == 0.0 {
            return self.ones_from();
        }
        unary!(
            self,
            cpu: move |x| x.powf(exponent), move |x, _| exponent * x.powf(exponent - 1.0),
            gpu: |t| t.try_powf(exponent),
            |x, _| x.powf(exponent - 1.0) * exponent
        )
    }

    /// xⁿ with an integer exponent.
    pub fn powi(&self, exponent: i32) -> Tensor {
        if exponent == 0 {
            return self.ones_from();
        }
        let below = exponent.saturating_sub(1);
        unary!(
            self,
            cpu: move |x| x.powi(exponent), move |x, _| exponent as f32 * x.powi(below),
            gpu: |t| t.try_powi(exponent),
            |x, _| x.powi(below) * exponent as f32
        )
    }

    /// Ones with the provenance of `self`: x⁰, whose derivative is 0 at x = 0 too.
    fn ones_from(&self) -> Tensor {
        self.on_host(self.shape(), |values| vec![1.0; values.len()])
    }

    /// Logistic function 1 / (1 + e⁻ˣ).
    pub fn sigmoid(&self) -> Tensor {
        unary!(
            self,
            cpu: math::sigmoid, |_, y| y * (1.0 - y),
            gpu: |t| t.try_sigmoid(),
            |_, y| y - y.square()
        )
    }

    /// Log-odds log p - log(1 - p); infinite at 0 and 1.
    pub fn logit(&self) -> Tensor {
        unary!(
            self,
            cpu: math::logit, |x, _| 1.0 / (x * (1.0 - x)),
            gpu: |t| {
                use dfdx::tensor::{PutTape, SplitTape};
                use dfdx::tensor_ops::{TryAdd, TrySub};
                let (t, tape) = t.split_tape();
                let others = t.clone().put_tape(tape.beside());
                let others = others.try_negate()?.try_add(1.0)?.try_ln()?;
                t.put_tape(tape).try_ln()?.try_sub(others)
            },
            |x, _| (x * (1.0 - x)).recip()
        )
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Tensor {
        unary!(
            self,
            cpu: math::tanh, |_, y| 1.0 - y * y,
            gpu: |t| t.try_tanh(),
            |_, y| 1.0 - y.square()
        )
    }

    /// max(x, 0), with derivative 0 at 0.
    pub fn relu(&self) -> Tensor {
        if let Some(rounded) = self.rounded_relu() {
            return rounded;
        }
        unary!(
            self,
            cpu: math::relu, |x, _| f32::from(x > 0.0),
            gpu: |t| t.try_relu(),
            |x, _| x.gt(0.0)
        )
    }

    /// x where positive, α (eˣ - 1) elsewhere; derivative α at 0.
    pub fn elu(&self, alpha: f32) -> Tensor {
        let negative = self.clamp(f32::NEG_INFINITY, 0.0).exp() - 1.0;
        self.relu() + negative * alpha
    }

    /// x where positive, slope · x elsewhere; derivative `slope` at 0.
    pub fn leaky_relu(&self, slope: f32) -> Tensor {
        self * slope + self.relu() * (1.0 - slope)
    }

    /// log(1 + eˣ): x for large x, never infinite; derivative σ(x).
    pub fn softplus(&self) -> Tensor {
        unary!(
            self,
            cpu: math::softplus, |x, _| math::sigmoid(x),
            gpu: |t| {
                // The cross-entropy of a logit with the target 0.
                let zeros = dfdx::tensor::ZerosTensor::try_zeros_like(t.device(), &t)?;
                t.try_bce_with_logits(zeros)
            },
            |x, _| x.sigmoid()
        )
    }

    /// log σ(x) = -softplus(-x).
    pub fn log_sigmoid(&self) -> Tensor {
        self.neg().softplus().neg()
    }

    /// x moved into [low, high]; derivative 1 inside and at the ends, 0 outside.
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        match self.rounded_clamp(low, high) {
            Some(rounded) => rounded,
            None => self.kept_within(low, high),
        }
    }

    /// [`clamp`](Self::clamp) that stays as it is where kinks are rounded off: for ends that hardly
    /// any number reaches.
    pub(crate) fn kept_within(&self, low: f32, high: f32) -> Tensor {
        unary!(
            self,
            cpu: move |x| math::clamp(x, low, high), move |x, _| f32::from(x >= low && x <= high),
            gpu: |t| t.try_clamp(low, high),
            |x, _| {
                let x = x.unrounded();
                x.ge(low) * x.le(high)
            }
        )
    }

    /// -1, 0 or 1: a constant.
    pub fn sign(&self) -> Tensor {
        self.gt(0.0) - self.lt(0.0)
    }
}

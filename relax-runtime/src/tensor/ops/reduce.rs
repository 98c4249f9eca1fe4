//! Sums, and what is built on them.

use super::super::cpu::{self, Buffer, softmax, sums, view::View, zip::Zip};
use super::super::dispatch::{Data, record_cpu};
use super::super::{Inner, Shape, Tensor};
use crate::error::Result;

/// Sums the middle of `(outer, n, inner)`.
fn sum_middle(inner: &Inner, split: (usize, usize, usize), shape: Shape) -> Result<Inner> {
    match &inner.data {
        Data::Cpu(flat) => Ok(sum_cpu(inner, flat, split, shape)),
        #[cfg(feature = "cuda")]
        Data::Cuda(flat) => inner.record(flat, shape, |t| {
            use dfdx::shapes::Axis;
            use dfdx::tensor_ops::{ReshapeTo, SumTo};
            let (outer, _, rest) = split;
            let sums = t
                .try_reshape_like(&split)?
                .try_sum::<(usize, usize), Axis<1>>()?;
            sums.try_reshape_like(&(outer * rest,))
        }),
    }
}

/// What a broadcast reads, a sum accumulates: its gradient is read through a view.
fn sum_cpu(inner: &Inner, flat: &Buffer, split: (usize, usize, usize), shape: Shape) -> Inner {
    let (outer, n, rest) = split;
    let mut values = vec![0.0; shape.numel()];
    sums::add_axis(&mut values, cpu::slice(flat), split);
    record_cpu(&[inner], shape, values, move |g, sinks| {
        let view = View {
            shape: [1, outer, n, rest],
            strides: [0, rest, 0, 1],
            offset: 0,
        };
        match sinks.get_or_fresh(0) {
            Some((sink, true)) => view.gather_into(g, sink),
            Some((sink, false)) => view.gather_add(g, sink),
            None => {}
        }
    })
}

/// log Σ exp over the middle of `(outer, n, rest)`.
fn logsumexp_cpu(
    inner: &Inner,
    flat: &Buffer,
    split: (usize, usize, usize),
    shape: Shape,
) -> Inner {
    let (values, weights, sums) = softmax::logsumexp(cpu::slice(flat), split);
    record_cpu(&[inner], shape, values, move |g, sinks| {
        let mut weights = weights.into_vec();
        softmax::logsumexp_back(&mut weights, split, g, cpu::slice(&sums));
        sinks.add_owned(0, weights);
    })
}

/// x − log Σ exp over the middle of `(outer, n, rest)`.
fn log_softmax_cpu(inner: &Inner, flat: &Buffer, split: (usize, usize, usize)) -> Inner {
    let (outer, n, rest) = split;
    let (totals, weights, sums) = softmax::logsumexp(cpu::slice(flat), split);
    let zip = Zip::new([[1, outer, n, rest], [1, outer, 1, rest]]);
    // The smallest number in place of −∞, as in `off_nothing`.
    let less = |x: f32, total: f32| x - if total < f32::MIN { f32::MIN } else { total };
    let values = zip.apply([flat, &totals].map(cpu::slice), less);
    record_cpu(&[inner], inner.shape, values, move |g, sinks| {
        sinks.pass_changed(0, g, |g| {
            softmax::log_softmax_back(g, split, cpu::slice(&weights), cpu::slice(&sums));
        });
    })
}

/// Reductions. Negative axes count from the end; an axis that is not there gives a poisoned
/// tensor.
impl Tensor {
    /// Sum along an axis, which is removed.
    #[track_caller]
    pub fn sum(&self, axis: isize) -> Tensor {
        match self.checked_axis(axis, "sum") {
            Ok(axis) => self.summed(self.shape().split(axis), self.shape().without(axis)),
            Err(refused) => refused,
        }
    }

    /// Sum along an axis, which stays with length 1.
    #[track_caller]
    pub fn sum_keepdim(&self, axis: isize) -> Tensor {
        match self.checked_axis(axis, "sum_keepdim") {
            Ok(axis) => self.summed(self.shape().split(axis), self.shape().with_axis(axis, 1)),
            Err(refused) => refused,
        }
    }

    /// Sum of all elements, of shape `[]`.
    pub fn sum_all(&self) -> Tensor {
        self.sum_from(0)
    }

    /// Sum over all axes from the `k`-th on: `[n, a, b]` and `k = 1` give `[n]`. Where there are
    /// no such axes the tensor stays.
    #[track_caller]
    pub fn sum_from(&self, k: usize) -> Tensor {
        if self.0.is_err() || k >= self.rank() {
            return self.clone();
        }
        let kept = self.shape().leading(k);
        let rest = self.shape()[k..].iter().product();
        self.summed((kept.numel(), rest, 1), kept)
    }

    #[track_caller]
    fn summed(&self, split: (usize, usize, usize), shape: Shape) -> Tensor {
        // Sums of nothing are more numbers than what is summed.
        if self.is_empty()
            && let Err(error) = shape.in_memory("sum")
        {
            return Tensor::poisoned(error);
        }
        self.linear_map(|inner| sum_middle(inner, split, shape))
    }

    /// Mean along an axis, which is removed.
    #[track_caller]
    pub fn mean(&self, axis: isize) -> Tensor {
        match self.checked_axis(axis, "mean") {
            Ok(axis) => {
                let (outer, n, inner) = self.shape().split(axis);
                self.summed((outer, n, inner), self.shape().without(axis)) / n as f32
            }
            Err(refused) => refused,
        }
    }

    /// Mean of all elements, of shape `[]`.
    pub fn mean_all(&self) -> Tensor {
        self.sum_all() / self.len() as f32
    }

    /// log Σ exp along an axis, which is removed; no overflow, and -∞ where all elements are: there
    /// with a derivative of 0.
    #[track_caller]
    pub fn logsumexp(&self, axis: isize) -> Tensor {
        self.logsumexp_as(axis, false, "logsumexp")
    }

    /// Softmax along an axis; 0 where all elements are −∞, as none of them has a share.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        (self - self.logsumexp_as(axis, true, "softmax").off_nothing()).exp()
    }

    /// Logarithm of the softmax along an axis, exact for far apart elements too; -∞ where all
    /// elements are.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        if let Ok(inner) = &self.0
            && let Some(flat) = inner.data.on_cpu()
            && let Some(axis) = inner.shape.axis(axis)
            && !self.is_empty()
        {
            let split = inner.shape.split(axis);
            let axis = axis as isize;
            return self.lift(
                |inner| Ok(log_softmax_cpu(inner, flat, split)),
                |direction, _, y| direction - (direction * y.exp()).sum_keepdim(axis),
            );
        }
        self - self.logsumexp_as(axis, true, "log_softmax").off_nothing()
    }

    /// log Σ exp, with the smallest number in place of −∞: what all of −∞ are made of is as far below
    /// it as below any other.
    fn off_nothing(&self) -> Tensor {
        let inner = self.0.as_ref().ok();
        match inner.and_then(|inner| inner.data.on_cpu()) {
            Some(flat) if !cpu::slice(flat).contains(&f32::NEG_INFINITY) => self.clone(),
            _ => self.kept_within(f32::MIN, f32::INFINITY),
        }
    }

    /// Shifted by the largest element, a constant whose derivative cancels; the axis is kept with
    /// length 1, or removed.
    #[track_caller]
    fn logsumexp_as(&self, axis: isize, keep: bool, op: &'static str) -> Tensor {
        let index = match self.checked_axis(axis, op) {
            Ok(axis) => axis,
            Err(refused) => return refused,
        };
        let axis = index as isize;
        let (split, kept) = (self.shape().split(index), self.shape().with_axis(index, 1));
        let shape = if keep { kept } else { kept.without(index) };
        if split.1 == 0 {
            return Tensor::poisoned(self.misfit(op, "needs a non-empty axis".into()));
        }
        if let Ok(inner) = &self.0
            && let Some(flat) = inner.data.on_cpu()
            && !self.is_empty()
        {
            return self.lift(
                |inner| Ok(logsumexp_cpu(inner, flat, split, shape)),
                |direction, x, y| {
                    let shares = (x - y.reshaped(kept).off_nothing()).exp();
                    (direction * shares).sum_keepdim(axis).reshaped(shape)
                },
            );
        }
        let largest = self.without_history().unrounded().max(axis);
        let largest = largest.clamp(f32::MIN, f32::MAX).reshaped(kept);
        let sums = (self - &largest).exp().sum_keepdim(axis);
        // Where all elements are −∞ the logarithm of a constant takes the place of that of 0.
        let nothing = sums.detach().unrounded().le(0.0);
        let logs = nothing.select_where(&sums.ones_like(), &sums).ln() + largest;
        let none = logs.full_like(f32::NEG_INFINITY);
        nothing.select_where(&none, &logs).reshaped(shape)
    }
}

//! Sums, and what is built on them.

use super::super::cpu::{self, Buffer, math, view::View};
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

/// The sum's places, seen from the operand: what a broadcast reads, a sum accumulates.
fn sum_cpu(
    inner: &Inner,
    flat: &Buffer,
    (outer, n, rest): (usize, usize, usize),
    shape: Shape,
) -> Inner {
    let view = View {
        shape: [1, outer, n, rest],
        strides: [0, rest, 0, 1],
        offset: 0,
    };
    let mut values = vec![0.0; shape.numel()];
    view.scatter_add(cpu::slice(flat), &mut values);
    record_cpu(&[inner], shape, values, move |g, sinks| {
        if let Some(sink) = sinks.get(0) {
            view.gather_add(g, sink);
        }
    })
}

/// log Σ exp over the middle of `(outer, n, rest)`, shifted by the largest element.
fn logsumexp_cpu(
    inner: &Inner,
    flat: &Buffer,
    (outer, n, rest): (usize, usize, usize),
    shape: Shape,
) -> Inner {
    let x = cpu::slice(flat);
    let mut largest = vec![f32::MIN; outer * rest];
    let blocks = || x.chunks(n * rest).zip(0..outer);
    for (block, o) in blocks() {
        let largest = &mut largest[o * rest..(o + 1) * rest];
        for row in block.chunks(rest) {
            for (largest, &x) in largest.iter_mut().zip(row) {
                // NaN stays, and infinity becomes a number that can be subtracted.
                *largest = if x <= *largest {
                    *largest
                } else {
                    x.min(f32::MAX)
                };
            }
        }
    }
    let mut shifted = Vec::with_capacity(x.len());
    for (block, o) in blocks() {
        let largest = &largest[o * rest..(o + 1) * rest];
        for row in block.chunks(rest) {
            shifted.extend(row.iter().zip(largest).map(|(x, largest)| x - largest));
        }
    }
    let weights = cpu::map(&shifted, math::exp);
    let mut sums = vec![0.0; outer * rest];
    for (block, o) in cpu::slice(&weights).chunks(n * rest).zip(0..outer) {
        let sums = &mut sums[o * rest..(o + 1) * rest];
        block.chunks(rest).for_each(|row| cpu::add(sums, row));
    }
    let values: Vec<f32> = (sums.iter().zip(&largest))
        .map(|(&sum, largest)| math::ln(sum) + largest)
        .collect();
    record_cpu(&[inner], shape, values, move |g, sinks| {
        let Some(sink) = sinks.get(0) else { return };
        let weights = cpu::slice(&weights).chunks(n * rest);
        for ((sink, weights), o) in sink.chunks_mut(n * rest).zip(weights).zip(0..outer) {
            let (g, sums) = (
                &g[o * rest..(o + 1) * rest],
                &sums[o * rest..(o + 1) * rest],
            );
            let shares: Vec<f32> = g.iter().zip(sums).map(|(g, sum)| g / sum).collect();
            for (sink, weights) in sink.chunks_mut(rest).zip(weights.chunks(rest)) {
                for ((sink, weight), share) in sink.iter_mut().zip(weights).zip(&shares) {
                    *sink += weight * share;
                }
            }
        }
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
    pub fn sum_from(&self, k: usize) -> Tensor {
        let kept = self.shape().leading(k);
        if self.0.is_err() || kept == self.shape() {
            return self.clone();
        }
        let rest = self.shape()[k..].iter().product();
        self.summed((kept.numel(), rest, 1), kept)
    }

    fn summed(&self, split: (usize, usize, usize), shape: Shape) -> Tensor {
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

    /// log Σ exp along an axis, which is removed; no overflow, and -∞ where all elements are.
    #[track_caller]
    pub fn logsumexp(&self, axis: isize) -> Tensor {
        let kept = self.logsumexp_keepdim(axis, "logsumexp");
        match self.checked_axis(axis, "logsumexp") {
            Ok(axis) if kept.0.is_ok() => kept.reshaped(kept.shape().without(axis)),
            _ => kept,
        }
    }

    /// Softmax along an axis.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        (self - self.logsumexp_keepdim(axis, "softmax")).exp()
    }

    /// Logarithm of the softmax along an axis, exact for far apart elements too.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        self - self.logsumexp_keepdim(axis, "log_softmax")
    }

    /// Shifted by the largest element, a constant whose derivative cancels.
    #[track_caller]
    fn logsumexp_keepdim(&self, axis: isize, op: &'static str) -> Tensor {
        let axis = match self.checked_axis(axis, op) {
            Ok(axis) => axis as isize,
            Err(refused) => return refused,
        };
        let shape = self.shape().with_axis(axis as usize, 1);
        if let Ok(inner) = &self.0
            && let Some(flat) = inner.data.on_cpu()
            && self.shape()[axis as usize] > 0
        {
            let split = self.shape().split(axis as usize);
            return self.lift(
                |inner| Ok(logsumexp_cpu(inner, flat, split, shape)),
                |direction, x, y| (direction * (x - y).exp()).sum_keepdim(axis),
            );
        }
        let largest = match self.shape()[axis as usize] {
            0 => Tensor::poisoned(self.misfit(op, "needs a non-empty axis".into())),
            _ => self
                .detach()
                .unrounded()
                .max(axis)
                .clamp(f32::MIN, f32::MAX)
                .reshaped(shape),
        };
        (self - &largest).exp().sum_keepdim(axis).ln() + largest
    }
}

//! Sums, and operations built on them.

use super::super::cases::{behind, broadcast};
use super::super::engine::Split;
use super::super::native::{self, reduce::log_softmax};
use super::super::op::{Bits, Op};
use super::super::shared::once;
use super::super::{Shape, Tensor};

/// What distinguishes a reduction to a shape from others of the same tensor.
fn of_split((outer, n, inner): Split, shape: Shape) -> [u64; 4] {
    [outer, n, inner, shape.rank()].map(|n| n as u64)
}

/// Reductions. Negative axes count from the end; an axis that does not exist gives a poisoned
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

    /// Sum over all axes from the `k`-th on: `[n, a, b]` and `k = 1` give `[n]`. Without such axes
    /// the tensor is unchanged.
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
    fn summed(&self, split: Split, shape: Shape) -> Tensor {
        // Empty sums have more numbers than what is summed.
        if self.is_empty()
            && let Err(error) = shape.in_memory("sum")
        {
            return Tensor::poisoned(error);
        }
        let op = || Op::new("sum", of_split(split, shape));
        let of_all = |x: &Tensor, lead: usize| {
            let front = x.shape().leading(lead);
            let (outer, n, inner) = split;
            Some(x.summed((front.numel() * outer, n, inner), front.join(&shape)?))
        };
        self.linear_shaped(op, |x| dispatch!(sum(x, split, shape)), of_all)
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

    /// Variance along an axis, which is removed: the sum of squared distances from the mean divided by n − `ddof`,
    /// where `ddof` is 0 for a whole population and 1 for a sample. An axis with no more than `ddof` elements gives
    /// a poisoned tensor.
    #[track_caller]
    pub fn var(&self, axis: isize, ddof: usize) -> Tensor {
        self.var_as(axis, ddof, "var")
    }

    #[track_caller]
    fn var_as(&self, axis: isize, ddof: usize, op: &'static str) -> Tensor {
        let at = match self.checked_axis(axis, op) {
            Ok(at) => at,
            Err(refused) => return refused,
        };
        let n = self.shape()[at];
        if ddof >= n {
            let problem =
                format!("needs more elements than `ddof`, {ddof}, along axis {at}, which has {n}");
            return Tensor::poisoned(self.misfit(op, problem));
        }
        let n = (n - ddof) as f32;
        let mean = self.mean(axis).reshaped(self.shape().with_axis(at, 1));
        (self - mean).square().sum(axis) / n
    }

    /// Standard deviation along an axis, which is removed: the square root of [`var`](Self::var). Its derivative is not
    /// finite where all numbers are equal.
    #[track_caller]
    pub fn std(&self, axis: isize, ddof: usize) -> Tensor {
        self.var_as(axis, ddof, "std").sqrt()
    }

    /// log Σ exp along an axis, which is removed; without overflow, and −∞ with a derivative of 0 where all
    /// elements are −∞.
    #[track_caller]
    pub fn logsumexp(&self, axis: isize) -> Tensor {
        self.logsumexp_as(axis, false, "logsumexp")
    }

    /// Softmax along an axis; 0 where all elements are −∞, since none of them has a share.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        (self - self.logsumexp_as(axis, true, "softmax").off_nothing()).exp()
    }

    /// Logarithm of the softmax along an axis, exact even for elements that are far apart; −∞ where all
    /// elements are.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "log_softmax", |x, axis| x.log_softmax(axis)) {
            return out;
        }
        let op = || Op::new("log_softmax", [Bits::of(&axis)]);
        once([self], op, || self.log_shares(axis))
    }

    #[track_caller]
    fn log_shares(&self, axis: isize) -> Tensor {
        if let Ok(inner) = &self.0
            && let Some(flat) = inner.data.native()
            && let Some(axis) = inner.shape.axis(axis)
            && !self.is_empty()
        {
            let split = inner.shape.split(axis);
            let axis = axis as isize;
            return self.lifted(
                |inner| Ok(log_softmax(inner, flat, split)),
                |direction, _, y| direction - (direction * y.exp()).sum_keepdim(axis),
            );
        }
        self - self.logsumexp_as(axis, true, "log_softmax").off_nothing()
    }

    /// log Σ exp, with the smallest number in place of −∞: where all elements are −∞, they are as far below it
    /// as below any other number.
    fn off_nothing(&self) -> Tensor {
        let of_case = |[x]: [&Tensor; 1]| Some(x.off_nothing());
        if let Some(out) = broadcast([self], || Some(Op::new("off_nothing", [])), of_case) {
            return out;
        }
        let inner = self.0.as_ref().ok();
        match inner.and_then(|inner| inner.data.native()) {
            Some(flat) if !native::slice(flat).contains(&f32::NEG_INFINITY) => self.clone(),
            _ => self.kept_within(f32::MIN, f32::INFINITY),
        }
    }

    /// log Σ exp; the axis is kept with length 1, or removed.
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
        if self.is_empty() {
            return self.summed(split, shape);
        }
        self.lift_shaped(
            || Op::new("logsumexp", of_split(split, shape)),
            |x| dispatch!(logsumexp(x, split, shape)),
            |direction, x, y| {
                let shares = (x - y.reshaped(kept).off_nothing()).exp();
                (direction * shares).sum_keepdim(axis).reshaped(shape)
            },
            |x, lead| Some(x.logsumexp_as(behind(axis, lead), keep, op)),
        )
    }
}

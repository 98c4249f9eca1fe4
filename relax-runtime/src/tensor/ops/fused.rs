//! Operations that read their operands once where plain ones would pass over memory several times.
//! Only in this project's own engine: in others, and for operands of several shapes, each is composed
//! of plain ones.

use super::super::cases::{each, each_of};
use super::super::native::record::record;
use super::super::native::{self, Buffer, bernoulli, pointwise, rows};
use super::super::op::Op;
use super::super::provenance::Provenance;
use super::super::storage::Data;
use super::super::{Inner, Shape, Tensor};

/// The numbers, if the tensor is not poisoned and belongs to this project's own engine.
fn numbers(tensor: &Tensor) -> Option<(&Inner, &Buffer)> {
    let inner = tensor.0.as_ref().ok()?;
    Some((inner, inner.data.native()?))
}

/// The axes before the `k`-th, and the number of elements in the others.
fn rows_from(tensor: &Tensor, k: usize) -> (Shape, usize) {
    let shape = tensor.shape();
    (
        shape.leading(k),
        shape[k.min(shape.rank())..].iter().product(),
    )
}

/// Whether loops over rows of this width would be too short, or empty.
fn few(tensor: &Tensor, width: usize) -> bool {
    width == 0 || (width == 1 && tensor.len() != 1)
}

impl Tensor {
    /// Applies `f` to the elements, where all operands are constants of one shape on the CPU, without
    /// tangents; `None` elsewhere, where the caller computes the same step by step. `f` is inlined into
    /// the loop where it is small or calls what is `#[inline(always)]`.
    pub(crate) fn fused<const N: usize>(
        operands: [&Tensor; N],
        f: impl Fn([f32; N]) -> f32 + Copy + Sync,
    ) -> Option<Tensor> {
        let constant = |inner: &Inner| inner.node.is_none() && inner.tangent.is_none();
        let constants = operands.map(|t| t.0.as_ref().is_ok_and(|inner| constant(inner)));
        constants
            .iter()
            .all(|&yes| yes)
            .then(|| Tensor::of_each(operands, f))?
    }

    /// Applies `f` to the elements, as a constant, where all operands are of one shape on the CPU.
    fn of_each<const N: usize>(
        operands: [&Tensor; N],
        f: impl Fn([f32; N]) -> f32 + Copy + Sync,
    ) -> Option<Tensor> {
        let first = operands.first()?.0.as_ref().ok()?;
        let mut slices: [&[f32]; N] = [&[]; N];
        for (slice, operand) in slices.iter_mut().zip(operands) {
            let inner = operand.0.as_ref().ok()?;
            if inner.shape != first.shape || inner.cases.is_some() {
                return None;
            }
            *slice = native::slice(inner.data.native()?);
        }
        let values = pointwise::pointwise(slices, f);
        let sources = operands
            .iter()
            .filter_map(|t| t.0.as_ref().ok()?.provenance.as_ref());
        Some(Tensor::new(Inner {
            provenance: Provenance::union(sources),
            ..Inner::constant(first.shape, Data::Native(values))
        }))
    }

    /// Applies `f` to the elements, as a constant; where the operands, as constants, are of several shapes or on a
    /// GPU, applies `composed` to them.
    pub(crate) fn pointwise<const N: usize>(
        operands: [&Tensor; N],
        f: impl Fn([f32; N]) -> f32 + Copy + Sync,
        composed: impl FnOnce([Tensor; N]) -> Tensor,
    ) -> Tensor {
        match Tensor::of_each(operands, f) {
            Some(out) => out,
            None => composed(operands.map(Tensor::detach)),
        }
    }

    /// ⟨self, other⟩ over all axes from the `k`-th on; both broadcast.
    #[track_caller]
    pub(crate) fn dot_from(&self, other: &Tensor, k: usize) -> Tensor {
        let of_case = |[x, y]: [&Tensor; 2]| Some(x.dot_from(y, k));
        let of_all = |[x, y]: [&Tensor; 2], lead: usize| Some(x.dot_from(y, k + lead));
        if let Some(out) = each(
            [self, other],
            || Op::new("dot_from", [k as u64]),
            of_case,
            of_all,
        ) {
            return out;
        }
        let (a, b) = match self.aligned(other, "dot_from") {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        let (Some((left, x)), Some((right, y))) = (numbers(&a), numbers(&b)) else {
            return (a * b).sum_from(k);
        };
        let (shape, width) = rows_from(&a, k);
        if few(&a, width) {
            return (a * b).sum_from(k);
        }
        let values = rows::dots(native::slice(x), native::slice(y), width);
        let saved = (x.clone(), y.clone());
        let out = record(&[left, right], shape, values, move |g, sinks| {
            for (i, factor) in [&saved.1, &saved.0].into_iter().enumerate() {
                if let Some(sink) = sinks.get(i) {
                    rows::add_scaled(sink, g, native::slice(factor), width);
                }
            }
        });
        let out = Tensor::new(out);
        let moved = [
            left.tangent.as_ref().map(|t| t.dot_from(&b.primal(), k)),
            right.tangent.as_ref().map(|t| a.primal().dot_from(t, k)),
        ];
        out.moved_by(moved)
    }

    /// log p(value | self) of coins with logits `self`, x l − softplus(l), summed over all axes from
    /// the `k`-th on; both broadcast.
    #[track_caller]
    pub(crate) fn coin_log_mass_from(&self, value: &Tensor, k: usize) -> Tensor {
        let of_case = |[l, x]: [&Tensor; 2]| Some(l.coin_log_mass_from(x, k));
        let of_all = |[l, x]: [&Tensor; 2], lead: usize| Some(l.coin_log_mass_from(x, k + lead));
        let op = || Op::new("coin_log_mass_from", [k as u64]);
        if let Some(out) = each([self, value], op, of_case, of_all) {
            return out;
        }
        let (l, x) = match self.aligned(value, "log_mass") {
            Ok(operands) => operands,
            Err(refused) => return refused,
        };
        let (Some((logits, of)), Some((value, at))) = (numbers(&l), numbers(&x)) else {
            return l.coin_log_mass(&x).sum_from(k);
        };
        let (shape, width) = rows_from(&l, k);
        if few(&l, width) {
            return l.coin_log_mass(&x).sum_from(k);
        }
        let (sums, residuals) = bernoulli::log_mass(native::slice(at), native::slice(of), width);
        let residuals = Buffer::from(residuals);
        let saved = (residuals.clone(), of.clone());
        let out = record(&[logits, value], shape, sums, move |g, sinks| {
            for (i, slope) in [&saved.0, &saved.1].into_iter().enumerate() {
                if let Some(sink) = sinks.get(i) {
                    rows::add_scaled(sink, g, native::slice(slope), width);
                }
            }
        });
        // The tangent along l is ⟨x − σ(l), t⟩.
        let along_logits = logits.tangent.as_ref().and_then(|t| {
            let (direction, t) = numbers(t)?;
            let sums = rows::dots(native::slice(&residuals), native::slice(t), width);
            let saved = [at.clone(), residuals.clone(), t.clone()];
            let operands = [logits, value, direction];
            Some(record(&operands, shape, sums, move |g, sinks| {
                let [x, residuals, t] = saved.each_ref().map(native::slice);
                if let Some(sink) = sinks.get(0) {
                    bernoulli::add_curvature(sink, g, [x, residuals, t], width);
                }
                for (i, slope) in [(1, t), (2, residuals)] {
                    if let Some(sink) = sinks.get(i) {
                        rows::add_scaled(sink, g, slope, width);
                    }
                }
            }))
        });
        let along_value = value.tangent.as_ref().map(|t| l.primal().dot_from(t, k));
        Tensor::new(out).moved_by([along_logits.map(Tensor::new), along_value])
    }

    /// The sum of `f` of three operands' elements over all axes from the `k`-th on, given its three
    /// derivatives, where there are few elements; a single number stands for all of them. `None` for
    /// more elements, for which vectorized loops are faster, and for operands with tangents, on a GPU, or
    /// that repeat along only some of their axes: there the caller computes the same step by step.
    pub(crate) fn summed_terms(
        operands: [&Tensor; 3],
        k: usize,
        f: impl Fn([f32; 3]) -> f32 + Copy,
        slopes: impl Fn([f32; 3]) -> [f32; 3] + Copy + 'static,
    ) -> Option<Tensor> {
        const FEW: usize = 64;
        if operands.iter().any(|x| x.has_cases()) {
            let of_case = |x: &[&Tensor]| Tensor::summed_terms([x[0], x[1], x[2]], k, f, slopes);
            let of_all = |x: &[&Tensor], lead: usize| {
                Tensor::summed_terms([x[0], x[1], x[2]], k + lead, f, slopes)
            };
            return each_of(&operands, None, &of_case, Some(&of_all));
        }
        let [a, b, c] = operands;
        let ((a, x), (b, y), (c, z)) = (numbers(a)?, numbers(b)?, numbers(c)?);
        let inners = [a, b, c];
        let all = a.shape.broadcast(&b.shape)?.broadcast(&c.shape)?;
        let (len, shape) = (all.numel(), all.leading(k));
        let fits =
            |inner: &&Inner| inner.tangent.is_none() && [1, len].contains(&inner.shape.numel());
        if !(1..=FEW).contains(&len) || !inners.iter().all(fits) {
            return None;
        }
        fn place(x: &[f32], i: usize) -> usize {
            if x.len() == 1 { 0 } else { i }
        }
        let at = |[x, y, z]: [&Buffer; 3], i: usize| {
            let of = |x: &Buffer| native::slice(x)[place(native::slice(x), i)];
            [of(x), of(y), of(z)]
        };
        let width = len / shape.numel();
        let values = Buffer::of_each(shape.numel(), |row| {
            let terms = (row * width..(row + 1) * width).map(|i| f(at([x, y, z], i)));
            terms.sum()
        });
        let (x, y, z) = (x.clone(), y.clone(), z.clone());
        let out = record(&inners, shape, values, move |g, sinks| {
            for operand in 0..3 {
                let Some(sink) = sinks.get(operand) else {
                    continue;
                };
                for i in (0..len).filter(|i| g[i / width] != 0.0) {
                    let slope = slopes(at([&x, &y, &z], i))[operand];
                    sink[place(sink, i)] += g[i / width] * slope;
                }
            }
        });
        Some(Tensor::new(out))
    }

    /// The tensor with the sum of tangents, if there are any.
    fn moved_by(self, tangents: [Option<Tensor>; 2]) -> Tensor {
        match tangents {
            [None, None] => self,
            [Some(t), None] | [None, Some(t)] => self.with_tangent(&t),
            [Some(a), Some(b)] => self.with_tangent(&(a + b)),
        }
    }
}

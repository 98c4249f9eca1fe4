//! Reading by index.

use std::rc::Rc;

use super::super::cases::{broadcast, each};
use super::super::op::Op;
use super::super::provenance::Provenance;
use super::super::{Device, Shape, Tensor};

/// Reading by index. An index out of bounds, like a wrong shape, gives a poisoned tensor.
impl Tensor {
    pub(super) fn taken(&self, indices: Vec<usize>, shape: Shape) -> Tensor {
        let op = || {
            let places = indices.iter().map(|&i| i as u64);
            Op::new("take", shape.numbers().chain(places))
        };
        let indices: Rc<[usize]> = indices.as_slice().into();
        let of_all = |x: &Tensor, lead: usize| {
            let front = x.shape().leading(lead);
            let size: usize = x.shape()[lead..].iter().product();
            let places =
                (0..front.numel()).flat_map(|row| indices.iter().map(move |i| row * size + i));
            Some(x.taken(places.collect(), front.join(&shape)?))
        };
        self.linear_shaped(op, |x| dispatch!(take(x, &indices, shape)), of_all)
    }

    /// The parts of `axis` at these indices, in order; an index may repeat.
    #[track_caller]
    pub fn gather(&self, axis: isize, at: &[usize]) -> Tensor {
        let axis = match self.checked_axis(axis, "gather") {
            Ok(axis) => axis,
            Err(refused) => return refused,
        };
        let shape = self.shape();
        let (outer, n, inner) = shape.split(axis);
        if let Some(bad) = at.iter().find(|&&i| i >= n) {
            let problem = format!("index {bad} is not within axis {axis}");
            return Tensor::poisoned(self.misfit("gather", problem));
        }
        let taken = match shape.with_axis(axis, at.len()).in_memory("gather") {
            Ok(taken) => taken,
            Err(error) => return Tensor::poisoned(error),
        };
        let mut indices = Vec::with_capacity(outer * at.len() * inner);
        for row in 0..outer {
            for &i in at {
                let start = (row * n + i) * inner;
                indices.extend(start..start + inner);
            }
        }
        self.taken(indices, taken)
    }

    /// Reverses `axis`.
    #[track_caller]
    pub fn flip(&self, axis: isize) -> Tensor {
        match self.checked_axis(axis, "flip") {
            Ok(axis) => {
                let backwards: Vec<usize> = (0..self.shape()[axis]).rev().collect();
                self.gather(axis as isize, &backwards)
            }
            Err(refused) => refused,
        }
    }

    /// The diagonals of matrices with `n` rows and columns, known to be square.
    pub(super) fn on_diagonal(&self, n: usize) -> Tensor {
        let shape = self.shape();
        let rows = shape.without(shape.rank() - 1);
        let place = |at: usize| at / n.max(1) * n * n + at % n.max(1) * (n + 1);
        self.taken((0..rows.numel()).map(place).collect(), rows)
    }

    /// The rows (first axis) at these indices.
    #[track_caller]
    pub fn rows_at(&self, at: &[usize]) -> Tensor {
        self.gather(0, at)
    }

    /// One element of the last axis for each index: `[.., k]` and indices `[..]` below `k` give
    /// `[..]`. Indices may be on the CPU, wherever the elements are.
    #[track_caller]
    pub fn pick(&self, at: &Tensor) -> Tensor {
        if self.has_cases() || at.has_cases() {
            let of_case = |[x, at]: [&Tensor; 2]| Some(x.pick(at));
            let of_case_shape = at.shape();
            let of_all = |[x, at]: [&Tensor; 2], lead: usize| {
                let rows = self.shape().leading(self.rank().checked_sub(1)?);
                if of_case_shape != rows {
                    return None;
                }
                // Axes were added in front of the rows that the indices belong to.
                let at = match at.rank() > rows.rank() {
                    true => {
                        let front = at.shape().leading(lead);
                        at.reshaped(front.join(&rows)?)
                    }
                    false => at.clone(),
                };
                let own = x.shape().leading(x.rank().checked_sub(1)?);
                let all = own.broadcast(&at.shape())?;
                Some(x.picked(&at.broadcast_to(all), &own.places_in(all)))
            };
            if let Some(out) = each([self, at], || Op::new("pick", []), of_case, of_all) {
                return out;
            }
        }
        let refused = match at.0.as_ref().is_ok_and(|at| at.device() == Device::cpu()) {
            true => self.0.is_err().then(|| self.clone()),
            false => self.refuse_pair(at, "pick"),
        };
        if let Some(refused) = refused {
            return refused;
        }
        let shape = self.shape();
        let Some(axes) = shape.rank().checked_sub(1) else {
            return self.misfits(at, "pick", "needs an axis to pick from");
        };
        let rows = shape.leading(axes);
        if at.shape() != rows {
            return self.misfits(at, "pick", format!("needs indices of shape {rows}"));
        }
        self.picked(at, &rows.places_in(rows))
    }

    /// The element at one index of the last axis in each of these rows.
    #[track_caller]
    fn picked(&self, at: &Tensor, rows: &[usize]) -> Tensor {
        let k = self.shape().last().copied().unwrap_or(0);
        let indices = match at.indices_below(k) {
            Ok(indices) => indices,
            Err(value) => {
                let problem = format!("{value} is not an index of the last axis");
                return self.misfits(at, "pick", problem);
            }
        };
        let places = rows.iter().zip(&indices).map(|(row, i)| row * k + i);
        self.taken(places.collect(), at.shape())
            .also_from(&at.clone().severed())
    }

    /// One-hot vectors of indices: `[..]` with indices below `k` gives `[.., k]`, a constant.
    #[track_caller]
    pub fn one_hot(&self, k: usize) -> Tensor {
        let of_case = |[x]: [&Tensor; 1]| Some(x.one_hot(k));
        if let Some(out) = broadcast([self], || Some(Op::new("one_hot", [k as u64])), of_case) {
            return out;
        }
        if self.0.is_err() {
            return self.clone();
        }
        let Some(shape) = self.shape().join(&[k]) else {
            return Tensor::poisoned(self.misfit("one_hot", "has no room for an axis".into()));
        };
        if let Err(error) = shape.in_memory("one_hot") {
            return Tensor::poisoned(error);
        }
        match self.indices_below(k) {
            Ok(indices) => self
                .on_host(shape, |_| {
                    let mut values = vec![0.0; shape.numel()];
                    for (row, i) in indices.into_iter().enumerate() {
                        values[row * k + i] = 1.0;
                    }
                    values
                })
                .severed(),
            Err(value) => {
                let problem = format!("{value} is not an index below {k}");
                Tensor::poisoned(self.misfit("one_hot", problem))
            }
        }
    }

    /// Index of the largest element along an axis, the first in case of ties; the axis is removed. A
    /// constant.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "argmax", |x, axis| x.argmax(axis)) {
            return out;
        }
        self.index_of_largest(axis, "argmax")
    }

    #[track_caller]
    fn index_of_largest(&self, axis: isize, op: &'static str) -> Tensor {
        match self.largest(axis, op) {
            Ok((_, indices, shape)) => {
                let to_numbers = |_: &[f32]| indices.into_iter().map(|i| i as f32).collect();
                self.on_host(shape, to_numbers).severed()
            }
            Err(refused) => refused,
        }
    }

    /// The largest element along an axis, which is removed; the derivative goes to the first in case of
    /// ties. NaN counts as the largest.
    #[track_caller]
    pub fn max(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "max", |x, axis| x.max(axis)) {
            return out;
        }
        match self.largest(axis, "max") {
            Ok((places, _, shape)) => self.taken(places, shape),
            Err(refused) => refused,
        }
    }

    /// The smallest element along an axis, which is removed; the derivative goes to the first in case of ties. NaN
    /// counts as the smallest.
    #[track_caller]
    pub fn min(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "min", |x, axis| x.min(axis)) {
            return out;
        }
        match self.neg().largest(axis, "min") {
            Ok((places, _, shape)) => self.taken(places, shape),
            Err(refused) => refused,
        }
    }

    /// Index of the smallest element along an axis, the first in case of ties; the axis is removed. A constant.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Tensor {
        if let Some(out) = self.along_in_cases(axis, "argmin", |x, axis| x.argmin(axis)) {
            return out;
        }
        self.neg().index_of_largest(axis, "argmin")
    }

    /// The largest element, as a single number.
    #[track_caller]
    pub fn max_all(&self) -> Tensor {
        if self.has_cases() {
            return self.reshaped(self.len().into()).max(0);
        }
        match self.reshaped(self.len().into()).largest(0, "max_all") {
            Ok((places, _, shape)) => self.taken(places, shape),
            Err(refused) => refused,
        }
    }

    /// Places in the buffer and indices along the axis of the largest elements, and the shape of
    /// both.
    #[track_caller]
    fn largest(
        &self,
        axis: isize,
        op: &'static str,
    ) -> Result<(Vec<usize>, Vec<usize>, Shape), Tensor> {
        let axis = self.checked_axis(axis, op)?;
        self.mark_rough();
        let (outer, n, inner) = self.shape().split(axis);
        if n == 0 {
            let problem = "needs a non-empty axis".into();
            return Err(Tensor::poisoned(self.misfit(op, problem)));
        }
        let values = self.peek().map_err(Tensor::poisoned)?;
        let (mut places, mut indices) = (Vec::new(), Vec::new());
        for row in 0..outer {
            for column in 0..inner {
                let place = |i: usize| (row * n + i) * inner + column;
                let best = (1..n).fold(0, |best, i| {
                    let (x, most) = (values[place(i)], values[place(best)]);
                    let more = x > most || (x.is_nan() && !most.is_nan());
                    if more { i } else { best }
                });
                indices.push(best);
                places.push(place(best));
            }
        }
        Ok((places, indices, self.shape().without(axis)))
    }

    /// The values as indices, or the first one that is not an index below `k`.
    fn indices_below(&self, k: usize) -> Result<Vec<usize>, f32> {
        let values = self.peek().unwrap_or_default();
        (values.into_iter())
            .map(|value| {
                let fits = value >= 0.0 && value < k as f32 && value.fract() == 0.0;
                if fits { Ok(value as usize) } else { Err(value) }
            })
            .collect()
    }

    /// The tensor, marked as depending on the random sites of `source`, too.
    pub(super) fn also_from(&self, source: &Tensor) -> Tensor {
        let provenance = [self, source]
            .into_iter()
            .filter_map(|t| t.0.as_ref().ok()?.provenance.as_ref());
        match Provenance::union(provenance) {
            Some(all) => self.with_provenance(all),
            None => self.clone(),
        }
    }
}

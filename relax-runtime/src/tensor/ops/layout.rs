//! Operations that move numbers without computing any.

use std::ops::Range;

use super::super::cases::each_of;
use super::super::native::view::View;
use super::super::op::Op;
use super::super::shape::MAX_RANK;
use super::super::{Shape, Tensor};
use crate::error::Result;

/// Operations on the shape. Wrong axes and shapes give a poisoned tensor; negative axes count
/// from the end.
impl Tensor {
    pub(super) fn viewed(&self, view: View, shape: Shape) -> Tensor {
        let op = || Op::new("view", view.numbers().chain(shape.numbers()));
        let of_all = |x: &Tensor, lead: usize| {
            let (front, rest) = (x.shape().leading(lead), x.shape()[lead..].iter().product());
            let all = view.repeated(front.numel(), rest, shape.rank())?;
            let out = x.viewed(all, Shape::from(front.numel()).join(&shape)?);
            Some(out.reshaped(front.join(&shape)?))
        };
        self.linear_shaped(op, |x| dispatch!(view(x, &view, shape)), of_all)
    }

    /// The same numbers, in row-major order, in another shape with as many elements.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.0.is_ok() && shape.numel() != self.len() {
            let problem = format!("{} elements do not fill {shape}", self.len());
            return Tensor::poisoned(self.misfit("reshape", problem));
        }
        match shape.in_memory("reshape") {
            Ok(shape) => self.reshaped(shape),
            Err(error) => Tensor::poisoned(error),
        }
    }

    /// [`reshape`](Self::reshape) to a shape known to fit. A constant shares its buffer; a
    /// variable gets a new identity, so that its gradient stays separate from the original's.
    pub(in super::super) fn reshaped(&self, shape: Shape) -> Tensor {
        if self.0.is_err() || shape == self.shape() {
            return self.clone();
        }
        let op = || Op::new("reshape", shape.numbers());
        let of_all = |x: &Tensor, lead: usize| {
            let front = x.shape().leading(lead);
            Some(x.reshaped(front.join(&shape)?))
        };
        self.linear_shaped(op, |x| dispatch!(reshape(x, shape)), of_all)
    }

    /// Exchanges the last two axes.
    #[track_caller]
    pub fn transpose(&self) -> Tensor {
        let rank = self.rank();
        if self.0.is_ok() && rank < 2 {
            return Tensor::poisoned(self.misfit("transpose", "needs two axes".into()));
        }
        let shape = self.shape();
        let mut view = View::contiguous(shape.padded());
        view.shape.swap(MAX_RANK - 2, MAX_RANK - 1);
        view.strides.swap(MAX_RANK - 2, MAX_RANK - 1);
        if self.0.is_err() {
            return self.clone();
        }
        let swapped = shape.with_axis(rank - 2, shape[rank - 1]);
        self.viewed(view, swapped.with_axis(rank - 1, shape[rank - 2]))
    }

    /// Puts an axis of length 1 before `axis`; -1 puts it last.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Tensor {
        if self.0.is_err() {
            return self.clone();
        }
        let rank = self.rank() as isize;
        let index = if axis < 0 { axis + rank + 1 } else { axis };
        if !(0..=rank).contains(&index) {
            let problem = format!("there is no place {axis} for an axis");
            return Tensor::poisoned(self.misfit("unsqueeze", problem));
        }
        match self.shape().inserted(index as usize, 1) {
            Some(shape) => self.reshaped(shape),
            None => Tensor::poisoned(self.misfit("unsqueeze", too_many_axes())),
        }
    }

    /// Removes an axis of length 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Tensor {
        let axis = match self.checked_axis(axis, "squeeze") {
            Ok(axis) => axis,
            Err(refused) => return refused,
        };
        let shape = self.shape();
        if shape[axis] != 1 {
            let problem = format!("axis {axis} has length {}, not 1", shape[axis]);
            return Tensor::poisoned(self.misfit("squeeze", problem));
        }
        self.reshaped(shape.without(axis))
    }

    /// The part of `axis` with these indices.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: Range<usize>) -> Tensor {
        let axis = match self.checked_axis(axis, "slice") {
            Ok(axis) => axis,
            Err(refused) => return refused,
        };
        let shape = self.shape();
        if range.start > range.end || range.end > shape[axis] {
            let problem = format!("{range:?} is not within axis {axis}");
            return Tensor::poisoned(self.misfit("slice", problem));
        }
        let mut view = View::contiguous(shape.padded());
        let place = MAX_RANK - shape.rank() + axis;
        view.shape[place] = range.len();
        view.offset = range.start * view.strides[place];
        self.viewed(view, shape.with_axis(axis, range.len()))
    }

    /// The part of `axis` at one index; the axis is removed.
    #[track_caller]
    pub fn index(&self, axis: isize, at: usize) -> Tensor {
        let place = match self.checked_axis(axis, "index") {
            Ok(place) => place,
            Err(refused) => return refused,
        };
        if at >= self.shape()[place] {
            let problem = format!("index {at} is not within axis {place}");
            return Tensor::poisoned(self.misfit("index", problem));
        }
        let shape = self.shape();
        let mut view = View::contiguous(shape.padded());
        let own = MAX_RANK - shape.rank() + place;
        view.offset = at * view.strides[own];
        // The axes in front move up.
        view.shape.copy_within(..own, 1);
        view.strides.copy_within(..own, 1);
        view.shape[0] = 1;
        self.viewed(view, shape.without(place))
    }

    /// Repeats axes of length 1, and new axes in front, until the shape is `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor {
        let (from, shape) = (self.shape(), shape.into());
        if self.0.is_err() || from == shape {
            return self.clone();
        }
        if from.broadcast(&shape) != Some(shape) {
            let problem = format!("does not broadcast to {shape}");
            return Tensor::poisoned(self.misfit("broadcast_to", problem));
        }
        if let Err(error) = shape.in_memory("broadcast_to") {
            return Tensor::poisoned(error);
        }
        let mut view = View::contiguous(from.padded());
        for (axis, len) in shape.padded().into_iter().enumerate() {
            if view.shape[axis] != len {
                view.shape[axis] = len;
                view.strides[axis] = 0;
            }
        }
        self.viewed(view, shape)
    }

    /// Joins tensors end to end along an axis; the other axes must agree.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
        let Some((first, rest)) = tensors.split_first() else {
            let nothing = Tensor::from_slice(&[]);
            return Tensor::poisoned(nothing.misfit("concat", "needs at least one tensor".into()));
        };
        let axis = match first.checked_axis(axis, "concat") {
            Ok(axis) => axis,
            Err(refused) => return refused,
        };
        let mut shape = first.shape();
        for next in rest {
            if let Some(refused) = first.refuse_pair(next, "concat") {
                return refused;
            }
            let other = next.shape();
            if other.rank() != shape.rank() || other.with_axis(axis, 0) != shape.with_axis(axis, 0)
            {
                let problem = format!("needs shapes that agree except along axis {axis}");
                return first.misfits(next, "concat", problem);
            }
            shape = shape.with_axis(axis, shape[axis].saturating_add(other[axis]));
        }
        if let Err(error) = shape.in_memory("concat") {
            return Tensor::poisoned(error);
        }
        joined(tensors, axis, shape)
    }

    /// Joins tensors of one shape along a new axis put before `axis`; -1 puts it last.
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
        let Some(first) = tensors.first() else {
            let nothing = Tensor::from_slice(&[]);
            return Tensor::poisoned(nothing.misfit("stack", "needs at least one tensor".into()));
        };
        if let Some(other) = tensors
            .iter()
            .find(|t| t.0.is_ok() && t.shape() != first.shape())
        {
            return match &first.0 {
                Ok(_) => first.misfits(other, "stack", "needs equal shapes"),
                Err(_) => (*first).clone(),
            };
        }
        // No closure, in which an error's line would be this one.
        let mut slices = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            slices.push(tensor.unsqueeze(axis));
        }
        Tensor::concat(&slices.iter().collect::<Vec<_>>(), axis)
    }
}

fn too_many_axes() -> String {
    format!("a tensor has at most {MAX_RANK} axes")
}

/// Concatenation of valid operands whose shapes fit.
fn joined(tensors: &[&Tensor], axis: usize, shape: Shape) -> Tensor {
    if tensors.iter().any(|x| x.has_cases()) {
        let op = Op::new("concat", shape.numbers().chain([axis as u64]));
        let of_case = |x: &[&Tensor]| Some(joined(x, axis, shape));
        let of_all = |x: &[&Tensor], lead: usize| {
            let fronts = x.iter().map(|x| match x.rank() > shape.rank() {
                true => x.shape().leading(lead),
                false => Shape::SCALAR,
            });
            let front = fronts.reduce(|a, b| a.broadcast(&b).unwrap_or(a))?;
            let wide = x.iter().map(|x| {
                let own = x.rank().checked_sub(shape.rank())?;
                Some(x.broadcast_to(front.join(&x.shape()[own..])?))
            });
            let wide = wide.collect::<Option<Vec<_>>>()?;
            let wide: Vec<&Tensor> = wide.iter().collect();
            Some(joined(&wide, front.rank() + axis, front.join(&shape)?))
        };
        if let Some(out) = each_of(tensors, Some(op), &of_case, Some(&of_all)) {
            return out;
        }
    }
    let build = || {
        let inners = tensors
            .iter()
            .map(|t| t.inner())
            .collect::<Result<Vec<_>>>()?;
        dispatch!(concat(inners[0], &inners, axis, shape)).map(Tensor::new)
    };
    let out = build().unwrap_or_else(Tensor::poisoned);
    if tensors.iter().all(|t| t.tangent().is_none()) {
        return out;
    }
    let tangents: Vec<Tensor> = tensors
        .iter()
        .map(|t| t.tangent().unwrap_or_else(|| t.zeros_like()))
        .collect();
    out.with_tangent(&joined(&tangents.iter().collect::<Vec<_>>(), axis, shape))
}

//! Tensor operations. Each one checks shapes, has the operands' engine run and record it, and defines
//! its forward-mode rule in terms of other tensor operations, which makes tangents differentiable.

mod binary;
mod compare;
mod einsum;
mod expanded;
mod fused;
mod in_double;
mod layout;
mod matmul;
mod operators;
mod reduce;
mod scan;
mod select;
mod sort;
mod triangular;
mod unary;
mod weighed;

pub use compare::Comparand;
pub use operators::Scalar;

use std::borrow::Cow;
use std::panic::Location;

use super::cases::{behind, broadcast, each};
use super::op::{Bits, Op};
use super::shared::once;
use super::{Inner, Shape, Tensor};
use crate::error::{Error, Result};

impl Tensor {
    /// An operation on each element of one operand. `tangent` maps the operand's tangent, the operand and the
    /// result (both without tangents) to the result's tangent.
    pub(super) fn lift(
        &self,
        op: impl Fn() -> Op,
        run: impl Fn(&Inner) -> Result<Inner>,
        tangent: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let of_case = |[x]: [&Tensor; 1]| Some(x.lifted(&run, &tangent));
        broadcast([self], || Some(op()), of_case)
            .unwrap_or_else(|| once([self], &op, || self.lifted(&run, &tangent)))
    }

    /// The result of `f` along an axis in all cases, where there are cases.
    fn along_in_cases(
        &self,
        axis: isize,
        op: &'static str,
        f: impl Fn(&Tensor, isize) -> Tensor,
    ) -> Option<Tensor> {
        let of_case = |[x]: [&Tensor; 1]| Some(f(x, axis));
        let is_there = self.shape().axis(axis).is_some();
        let of_all = |[x]: [&Tensor; 1], lead: usize| is_there.then(|| f(x, behind(axis, lead)));
        each([self], || Op::new(op, [Bits::of(&axis)]), of_case, of_all)
    }

    /// An operation of one operand, as [`lift`](Self::lift), that depends on the operand's shape: `of_all` applies it
    /// to an operand with this many axes in front.
    fn lift_shaped(
        &self,
        op: impl Fn() -> Op,
        run: impl Fn(&Inner) -> Result<Inner>,
        tangent: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
        of_all: impl Fn(&Tensor, usize) -> Option<Tensor>,
    ) -> Tensor {
        let of_case = |[x]: [&Tensor; 1]| Some(x.lifted(&run, &tangent));
        each([self], &op, of_case, |[x], lead| of_all(x, lead))
            .unwrap_or_else(|| once([self], &op, || self.lifted(&run, &tangent)))
    }

    pub(super) fn lifted(
        &self,
        run: impl FnOnce(&Inner) -> Result<Inner>,
        tangent: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let inner = match &self.0 {
            Ok(inner) => inner,
            Err(_) => return self.clone(),
        };
        let out = match run(inner) {
            Ok(out) => Tensor::new(out),
            Err(error) => return Tensor::poisoned(error),
        };
        match &inner.tangent {
            None => out,
            Some(direction) => {
                let moved = tangent(direction, &self.primal(), &out);
                out.with_tangent(&moved)
            }
        }
    }

    /// A linear operation on each element: it maps the tangent as it maps the value.
    fn linear_map(&self, op: impl Fn() -> Op, run: impl Fn(&Inner) -> Result<Inner>) -> Tensor {
        self.lift(op, &run, |t, _, _| t.lifted(&run, |t, _, _| t.clone()))
    }

    /// As [`linear_map`](Self::linear_map), for operations as those of [`lift_shaped`](Self::lift_shaped).
    fn linear_shaped(
        &self,
        op: impl Fn() -> Op,
        run: impl Fn(&Inner) -> Result<Inner>,
        of_all: impl Fn(&Tensor, usize) -> Option<Tensor>,
    ) -> Tensor {
        let tangent = |t: &Tensor, _: &Tensor, _: &Tensor| t.lifted(&run, |t, _, _| t.clone());
        self.lift_shaped(op, &run, tangent, of_all)
    }

    /// An operation of two operands that are valid, on one device and ready for `run`.
    /// `tangent` gets the operands' tangents, at least one, and the operands and the result
    /// without theirs.
    fn lift_pair(
        &self,
        other: &Tensor,
        op: impl Fn() -> Op,
        run: impl Fn(&Inner, &Inner) -> Result<Inner>,
        tangent: impl Fn(Option<&Tensor>, Option<&Tensor>, [&Tensor; 3]) -> Tensor,
    ) -> Tensor {
        once([self, other], &op, || {
            self.lifted_pair(other, &run, &tangent)
        })
    }

    fn lifted_pair(
        &self,
        other: &Tensor,
        run: impl FnOnce(&Inner, &Inner) -> Result<Inner>,
        tangent: impl FnOnce(Option<&Tensor>, Option<&Tensor>, [&Tensor; 3]) -> Tensor,
    ) -> Tensor {
        let (a, b) = match (&self.0, &other.0) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(_), _) => return self.clone(),
            (_, Err(_)) => return other.clone(),
        };
        let out = match run(a, b) {
            Ok(out) => Tensor::new(out),
            Err(error) => return Tensor::poisoned(error),
        };
        let (ta, tb) = (a.tangent.as_ref(), b.tangent.as_ref());
        if ta.is_none() && tb.is_none() {
            return out;
        }
        let moved = tangent(ta, tb, [&self.primal(), &other.primal(), &out]);
        out.with_tangent(&moved)
    }

    /// The error of the first poisoned operand, or of operands on two devices.
    #[track_caller]
    fn refuse_pair(&self, other: &Tensor, op: &'static str) -> Option<Tensor> {
        match (&self.0, &other.0) {
            (Err(_), _) => Some(self.clone()),
            (_, Err(_)) => Some(other.clone()),
            (Ok(a), Ok(b)) if a.device() != b.device() => Some(Tensor::poisoned(Error::Device {
                op,
                left: a.device().to_string(),
                right: b.device().to_string(),
                location: Location::caller(),
            })),
            _ => None,
        }
    }

    /// The poisoned result of shapes that do not fit together.
    #[track_caller]
    fn misfits(&self, other: &Tensor, op: &'static str, problem: impl Into<String>) -> Tensor {
        Tensor::poisoned(Error::Shape {
            op,
            problem: problem.into(),
            shapes: vec![self.shape(), other.shape()],
            location: Location::caller(),
        })
    }

    /// `self` and `other` on one device, in the shape that both broadcast to; or the poisoned result.
    #[track_caller]
    fn aligned(&self, other: &Tensor, op: &'static str) -> Result<(Tensor, Tensor), Tensor> {
        let Some((a, b)) = self.together(other) else {
            return Err(self.refuse_pair(other, op).unwrap_or_else(|| self.clone()));
        };
        if a.shape() == b.shape() {
            return Ok((a, b));
        }
        let Some(shape) = a.shape().broadcast(&b.shape()) else {
            let problem = "needs shapes that broadcast (equal axes, or 1, from the right)";
            return Err(self.misfits(other, op, problem));
        };
        Ok((a.broadcast_to(shape), b.broadcast_to(shape)))
    }

    /// As [`aligned`](Self::aligned), but in their own shapes where the engine broadcasts in its
    /// operations. The shape is the result's.
    #[track_caller]
    fn paired<'a>(
        &'a self,
        other: &'a Tensor,
        op: &'static str,
    ) -> Result<(Cow<'a, Tensor>, Cow<'a, Tensor>, Shape), Tensor> {
        if let (Ok(a), Ok(b)) = (&self.0, &other.0)
            && a.data.native().is_some()
            && b.data.native().is_some()
            && let Some(shape) = a.shape.broadcast(&b.shape)
        {
            if shape != a.shape && shape != b.shape {
                shape.in_memory(op).map_err(Tensor::poisoned)?;
            }
            return Ok((Cow::Borrowed(self), Cow::Borrowed(other), shape));
        }
        let (a, b) = self.aligned(other, op)?;
        let shape = a.shape();
        Ok((Cow::Owned(a), Cow::Owned(b), shape))
    }

    /// The index of `axis`, which may count from the end; or the poisoned result.
    #[track_caller]
    fn checked_axis(&self, axis: isize, op: &'static str) -> Result<usize, Tensor> {
        if self.0.is_err() {
            return Err(self.clone());
        }
        match self.shape().axis(axis) {
            Some(index) => Ok(index),
            None => Err(Tensor::poisoned(
                self.misfit(op, format!("there is no axis {axis}")),
            )),
        }
    }

    /// A constant computed on the host from the values of `self`, on the same device and from the
    /// same random sites.
    fn on_host(&self, shape: Shape, compute: impl FnOnce(&[f32]) -> Vec<f32>) -> Tensor {
        self.mark_rough();
        let build = || {
            let inner = self.inner()?;
            let out = Tensor::upload(compute(&self.peek()?), shape, &inner.device())?;
            Ok(match &inner.provenance {
                Some(provenance) => out.with_provenance(provenance.clone()),
                None => out,
            })
        };
        build().unwrap_or_else(Tensor::poisoned)
    }
}

//! dfdx's tape, as this crate's graph records it: the backward operations of one tensor operation.

use dfdx::tensor::{Gradients, HasErr, Merge, NoneTape, Storage, Tape};

/// One backward operation that dfdx recorded.
pub(super) type Op<D> = Box<dyn FnOnce(&mut Gradients<f32, D>) -> Result<(), <D as HasErr>::Err>>;

/// dfdx's tape of a single operation: keeps its backward operations in order, or drops them when
/// no operand is tracked.
///
/// Public because [`Tensor::apply_module`](crate::Tensor::apply_module) hands tensors with this
/// tape to dfdx modules.
pub struct Recorder<D: Storage<f32>> {
    ops: Option<Vec<Op<D>>>,
}

impl<D: Storage<f32>> Recorder<D> {
    pub(super) fn new(recording: bool) -> Self {
        Self {
            ops: recording.then(Vec::new),
        }
    }

    pub(super) fn into_ops(self) -> Vec<Op<D>> {
        self.ops.unwrap_or_default()
    }
}

impl<D: Storage<f32>> Default for Recorder<D> {
    fn default() -> Self {
        Self { ops: None }
    }
}

impl<D: Storage<f32>> Tape<f32, D> for Recorder<D> {
    const OWNS_TAPE: bool = true;

    fn add_backward_op<F>(&mut self, operation: F)
    where
        F: 'static + FnOnce(&mut Gradients<f32, D>) -> Result<(), D::Err>,
    {
        if let Some(ops) = &mut self.ops {
            ops.push(Box::new(operation));
        }
    }
}

impl<D: Storage<f32>> Merge<NoneTape> for Recorder<D> {
    fn merge(self, _: NoneTape) -> Self {
        self
    }
}

impl<D: Storage<f32>> Merge<Self> for Recorder<D> {
    fn merge(self, other: Self) -> Self {
        let ops = match (self.ops, other.ops) {
            (Some(mut ops), Some(more)) => {
                ops.extend(more);
                Some(ops)
            }
            (ops, more) => ops.or(more),
        };
        Self { ops }
    }
}

//! CPU kernels on slices.

pub(super) mod math;
pub(super) mod matmul;
pub(super) mod view;

use dfdx::tensor::{Cpu, TensorFromVec};

use super::device;
use super::dispatch::Flat;

/// The numbers of a flat CPU tensor.
pub(super) fn slice(flat: &Flat<Cpu>) -> &[f32] {
    use dfdx::shapes::HasShape;
    let len = flat.shape().0;
    if len == 0 {
        return &[];
    }
    let first: *const f32 = &flat[[0]];
    // SAFETY: a `Flat` is contiguous with stride 1 over a `Vec` of exactly `len` elements, which
    // the tensor keeps alive and unchanged for the borrow.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// A flat CPU tensor that takes over `values`.
pub(super) fn flat(values: Vec<f32>) -> Flat<Cpu> {
    let shape = (values.len(),);
    device::cpu().tensor_from_vec(values, shape)
}

/// `into += from`.
pub(super) fn add(into: &mut [f32], from: &[f32]) {
    for (x, y) in into.iter_mut().zip(from) {
        *x += y;
    }
}

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

/// The numbers of a flat CPU tensor, to be changed; copied first if another tensor shares them.
pub(super) fn slice_mut(flat: &mut Flat<Cpu>) -> &mut [f32] {
    use dfdx::shapes::HasShape;
    let len = flat.shape().0;
    if len == 0 {
        return &mut [];
    }
    let first: *mut f32 = &mut flat[[0]];
    // SAFETY: as in `slice`; indexing for writing has made this tensor the only owner.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
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

/// Runs a loop compiled for the widest vectors that the machine has. The
/// numbers are the same: the compiler never fuses a product and a sum by itself.
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has the one feature that the function requires.
            return unsafe { avx2(work) };
        }
    }
    work()
}

/// `f` of every element.
pub(super) fn map(values: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    // Not `vectorised`: the compiler does not inline a closure as large as some functions here.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has the one feature that the function requires.
        unsafe { map_avx2(values, &mut out, f) };
        return out;
    }
    map_into(values, &mut out, f);
    out
}

#[inline(always)]
fn map_into(values: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    for (out, &x) in out.iter_mut().zip(values) {
        *out = f(x);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn map_avx2(values: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    map_into(values, out, f);
}

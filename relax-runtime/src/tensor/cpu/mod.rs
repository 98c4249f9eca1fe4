//! CPU kernels on slices.

pub(crate) mod math;
pub(super) mod matmul;
pub(super) mod view;

use std::rc::Rc;

/// Numbers on the CPU, shared by clones.
#[derive(Clone)]
pub(crate) struct Buffer(pub(super) Rc<Vec<f32>>);

/// The numbers.
pub(super) fn slice(buffer: &Buffer) -> &[f32] {
    &buffer.0
}

/// The numbers, to be changed; copied first if another buffer shares them.
pub(super) fn slice_mut(buffer: &mut Buffer) -> &mut [f32] {
    Rc::<Vec<f32>>::make_mut(&mut buffer.0)
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self(Rc::new(values))
    }
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

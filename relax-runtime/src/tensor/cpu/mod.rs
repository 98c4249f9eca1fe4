//! CPU kernels on slices.

#[macro_use]
pub(crate) mod simd;

pub(super) mod bernoulli;
mod buffer;
pub(crate) mod math;
pub(super) mod matmul;
pub(crate) mod pointwise;
mod pool;
pub(super) mod rows;
pub(crate) mod threads;
pub(super) mod view;

pub(crate) use buffer::Buffer;

/// The numbers.
pub(super) fn slice(buffer: &Buffer) -> &[f32] {
    buffer.as_slice()
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
pub(super) fn map(values: &[f32], f: impl Fn(f32) -> f32) -> Buffer {
    if let Some(short) = Buffer::short(values.len(), |i| f(values[i])) {
        return short;
    }
    let mut out = vec![0.0; values.len()];
    // Not `vectorised`: the compiler does not inline a closure as large as some functions here.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has the one feature that the function requires.
        unsafe { map_avx2(values, &mut out, f) };
        return out.into();
    }
    map_into(values, &mut out, f);
    out.into()
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

//! This project's own engine on the CPU: its operations, and the kernels on slices beneath them.

#[macro_use]
pub(crate) mod simd;

pub(super) mod bernoulli;
mod buffer;
mod engine;
pub(crate) mod math;
#[expect(unsafe_code, reason = "`gemm` takes its matrices by address")]
pub(super) mod matmul;
pub(crate) mod memory;
mod moves;
pub(crate) mod pointwise;
#[expect(
    unsafe_code,
    reason = "threads that live on borrow a job that does not"
)]
mod pool;
pub(super) mod product;
pub(super) mod record;
pub(super) mod reduce;
pub(crate) mod rows;
pub(super) mod softmax;
mod starts;
pub(super) mod sums;
#[expect(unsafe_code, reason = "threads write to disjoint parts of one slice")]
pub(crate) mod threads;
pub(super) mod triangular;
pub(super) mod view;
pub(super) mod zip;

pub(crate) use buffer::Buffer;
pub(super) use engine::Native;

/// Reports, once, that an environment variable has a value that makes no sense.
fn warn_setting(name: &str, value: &str, instead: &str) {
    eprintln!("relax: {name}=`{value}` makes no sense here; {instead}");
}

/// The numbers.
pub(super) fn slice(buffer: &Buffer) -> &[f32] {
    buffer.as_slice()
}

/// `into += from`.
pub(super) fn add(into: &mut [f32], from: &[f32]) {
    pointwise::add_pointwise(into, [from], |[x]| x);
}

/// `f` of every element.
pub(super) fn map(values: &[f32], f: impl Fn(f32) -> f32 + Copy + Sync) -> Buffer {
    pointwise::pointwise([values], move |[x]| f(x))
}

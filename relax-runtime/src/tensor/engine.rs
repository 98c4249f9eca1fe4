//! What an engine does: every number is made, combined, differentiated and read by one.

use std::rc::Rc;

use super::native::view::View;
use super::slot::Slot;
use super::storage::Data;
use super::{Device, Inner, Shape};
use crate::error::Result;
use crate::special::Special;

/// A comparison of two numbers; none holds for NaN.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A batch of products of `m` by `k` with `k` by `n` matrices.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    /// Whether the operands are stored as the transposes of the factors.
    pub(super) transposed: (bool, bool),
    pub(super) shape: Shape,
}

/// `(outer, n, inner)`: the numbers of elements before, along and after an axis.
pub(super) type Split = (usize, usize, usize);

/// An engine. Its operations get operands of its own whose shapes are known to fit, and record how
/// to differentiate their results. They agree with [`Native`](super::native::Native)'s up to rounding,
/// including NaN, infinities and subnormal numbers: the tests of this folder compare each operation
/// that is listed here.
pub(super) trait Engine {
    /// Takes over numbers in row-major order.
    fn upload(values: Vec<f32>, device: &Device) -> Result<Data>;
    /// `len` times the same number.
    fn full(len: usize, value: f32, device: &Device) -> Result<Data>;
    /// The numbers, copied to the host.
    fn read(x: &Inner) -> Result<Vec<f32>>;
    /// The same numbers with a gradient separate from that of `x`.
    fn renewed(x: &Inner) -> Result<Data>;
    /// The same numbers for a constant.
    fn detached(x: &Inner) -> Data;
    /// Where the engine keeps the gradient of these numbers; `None` if the pass keeps it.
    fn slot(data: &Data) -> Option<Box<dyn Slot>>;

    // Elementwise functions of one tensor.
    fn exp(x: &Inner) -> Result<Inner>;
    fn ln(x: &Inner) -> Result<Inner>;
    fn ln_1p(x: &Inner) -> Result<Inner>;
    fn sqrt(x: &Inner) -> Result<Inner>;
    fn square(x: &Inner) -> Result<Inner>;
    fn abs(x: &Inner) -> Result<Inner>;
    fn neg(x: &Inner) -> Result<Inner>;
    fn recip(x: &Inner) -> Result<Inner>;
    fn powf(x: &Inner, exponent: f32) -> Result<Inner>;
    fn powi(x: &Inner, exponent: i32) -> Result<Inner>;
    fn sigmoid(x: &Inner) -> Result<Inner>;
    fn logit(x: &Inner) -> Result<Inner>;
    fn tanh(x: &Inner) -> Result<Inner>;
    fn relu(x: &Inner) -> Result<Inner>;
    fn softplus(x: &Inner) -> Result<Inner>;
    fn clamp(x: &Inner, low: f32, high: f32) -> Result<Inner>;
    /// A function that is computed on the host.
    fn special(x: &Inner, function: Special) -> Result<Inner>;
    fn shift(x: &Inner, by: f32) -> Result<Inner>;
    fn scale(x: &Inner, by: f32) -> Result<Inner>;
    fn divide(x: &Inner, by: f32) -> Result<Inner>;

    // Elementwise functions of two tensors of shape `shape`, or, in this project's own engine,
    // of two that broadcast to it.
    fn add(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    fn sub(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    fn mul(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    fn div(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    fn maximum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    fn minimum(x: &Inner, y: &Inner, shape: Shape) -> Result<Inner>;
    /// log p(x | logit).
    fn coin_log_mass(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner>;
    /// x − σ(logit).
    fn coin_score(logit: &Inner, x: &Inner, shape: Shape) -> Result<Inner>;

    // Functions of tensors of one shape.
    /// 1 where it holds, 0 elsewhere, for constants.
    fn compare(x: &Inner, y: &Inner, comparison: Comparison) -> Result<Inner>;
    /// x where `condition`, a constant, is above 0.5, and y elsewhere.
    fn choose(x: &Inner, y: &Inner, condition: &Inner) -> Result<Inner>;

    // Sums and products.
    fn sum(x: &Inner, split: Split, shape: Shape) -> Result<Inner>;
    /// log Σ exp along the middle axis; −∞ with derivative 0 where all elements are −∞.
    fn logsumexp(x: &Inner, split: Split, shape: Shape) -> Result<Inner>;
    fn matmul(x: &Inner, y: &Inner, product: &Product) -> Result<Inner>;

    // Operations that move numbers.
    /// The same numbers in another shape.
    fn reshape(x: &Inner, shape: Shape) -> Result<Inner>;
    fn view(x: &Inner, view: &View, shape: Shape) -> Result<Inner>;
    /// Element `indices[o]` at place `o`.
    fn take(x: &Inner, indices: &Rc<[usize]>, shape: Shape) -> Result<Inner>;
    /// Joins tensors end to end along an axis; `x` is the first of `all`.
    fn concat(x: &Inner, all: &[&Inner], axis: usize, shape: Shape) -> Result<Inner>;
}

#[cfg(test)]
thread_local! {
    /// The operations that engines other than this project's own have run in this thread.
    static MET: std::cell::RefCell<std::collections::BTreeSet<&'static str>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
    /// How many numbers the host has read from another engine each time, in this thread.
    static READ: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(all(test, feature = "dfdx"))]
pub(super) fn note_read(numbers: usize) {
    READ.with_borrow_mut(|read| read.push(numbers));
}

/// The sizes of all reads since the last call.
#[cfg(all(test, feature = "dfdx"))]
pub(crate) fn taken_reads() -> Vec<usize> {
    READ.take()
}

#[cfg(test)]
pub(super) fn note(op: &'static str, x: &Inner) {
    if x.data.native().is_none() {
        met(|met| _ = met.insert(op));
    }
}

#[cfg(test)]
pub(super) fn met<R>(look: impl FnOnce(&mut std::collections::BTreeSet<&'static str>) -> R) -> R {
    MET.with_borrow_mut(look)
}

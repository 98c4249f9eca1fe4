//! One pass over several arrays of one length.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Buffer;
use super::threads::{fill, rows_a_share, share};

/// With fewer elements it is not worth choosing among kinds of vectors.
pub(super) const FEW: usize = 16;

/// The elements at a place. A loop, here and below: the closure of a `map` would not be inlined into
/// the caller, and would be compiled again for each of them.
#[inline(always)]
fn at<const N: usize>(operands: [&[f32]; N], i: usize) -> [f32; N] {
    let mut elements = [0.0; N];
    for (element, operand) in elements.iter_mut().zip(&operands) {
        *element = operand[i];
    }
    elements
}

/// Parts of all operands.
#[inline(always)]
fn part<const N: usize>(mut operands: [&[f32]; N], range: Range<usize>) -> [&[f32]; N] {
    for operand in &mut operands {
        *operand = &operand[range.clone()];
    }
    operands
}

vectorised! {
    /// Without a branch per element, so that the loop is vectorized.
    fn all_of[F: Fn(f32) -> bool](values: &[f32], holds: F) -> bool {
        values.iter().fold(true, |all, &x| all & holds(x))
    }

    fn apply[const N: usize, F: Fn([f32; N]) -> f32](
        out: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = part(operands, 0..out.len());
        for (i, out) in out.iter_mut().enumerate() {
            *out = f(at(operands, i));
        }
    }

    fn add_applied[const N: usize, F: Fn([f32; N]) -> f32](
        sink: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = part(operands, 0..sink.len());
        for (i, sink) in sink.iter_mut().enumerate() {
            *sink += f(at(operands, i));
        }
    }

    fn changed[const N: usize, F: Fn(f32, [f32; N]) -> f32](
        values: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = part(operands, 0..values.len());
        for (i, value) in values.iter_mut().enumerate() {
            *value = f(*value, at(operands, i));
        }
    }
}

/// `f` of the elements at each place; `f` should be `#[inline(always)]`.
#[inline]
pub(in super::super) fn pointwise<const N: usize>(
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) -> Buffer {
    let len = operands[0].len();
    match len <= FEW {
        true => Buffer::of_each(len, |i| f(at(operands, i))),
        false => Buffer::filled(len, |out| set(out, operands, f)),
    }
}

/// `out = f` of the elements at each place.
pub(in super::super) fn set<const N: usize>(
    out: &mut [f32],
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) {
    if out.len() <= FEW {
        return (out.iter_mut().enumerate()).for_each(|(i, out)| *out = f(at(operands, i)));
    }
    fill([(out, 1)], rows_a_share(1), |range, [out]| {
        apply(out, part(operands, range), f);
    });
}

/// `sink += f` of the elements at each place.
pub(in super::super) fn add_pointwise<const N: usize>(
    sink: &mut [f32],
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) {
    if sink.len() <= FEW {
        return (sink.iter_mut().enumerate()).for_each(|(i, sink)| *sink += f(at(operands, i)));
    }
    fill([(sink, 1)], rows_a_share(1), |range, [sink]| {
        add_applied(sink, part(operands, range), f);
    });
}

/// `values = f` of themselves and of the elements at each place.
pub(in super::super) fn change<const N: usize>(
    values: &mut [f32],
    operands: [&[f32]; N],
    f: impl Fn(f32, [f32; N]) -> f32 + Copy + Sync,
) {
    if values.len() <= FEW {
        let values = values.iter_mut().enumerate();
        return values.for_each(|(i, value)| *value = f(*value, at(operands, i)));
    }
    fill([(values, 1)], rows_a_share(1), |range, [values]| {
        changed(values, part(operands, range), f);
    });
}

/// Whether a condition holds for every element.
pub(crate) fn all(values: &[f32], holds: impl Fn(f32) -> bool + Copy + Sync) -> bool {
    if values.len() / 2 < rows_a_share(1) {
        return all_of(values, holds);
    }
    let fails = AtomicBool::new(false);
    share(values.len(), rows_a_share(1), |range| {
        if !all_of(&values[range], holds) {
            fails.store(true, Ordering::Relaxed);
        }
    });
    !fails.into_inner()
}

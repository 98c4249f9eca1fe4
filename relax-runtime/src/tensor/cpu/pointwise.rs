//! One pass over several arrays of one length.

use std::sync::atomic::{AtomicBool, Ordering};

use super::memory;
use super::threads::{fill, rows_a_share, share};

vectorised! {
    /// Without a branch an element, so that it is a loop of vectors.
    fn all_of[F: Fn(f32) -> bool](values: &[f32], holds: F) -> bool {
        values.iter().fold(true, |all, &x| all & holds(x))
    }

    fn apply[const N: usize, F: Fn([f32; N]) -> f32](
        out: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = operands.map(|x| &x[..out.len()]);
        for (i, out) in out.iter_mut().enumerate() {
            *out = f(std::array::from_fn(|k| operands[k][i]));
        }
    }

    fn add_applied[const N: usize, F: Fn([f32; N]) -> f32](
        sink: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = operands.map(|x| &x[..sink.len()]);
        for (i, sink) in sink.iter_mut().enumerate() {
            *sink += f(std::array::from_fn(|k| operands[k][i]));
        }
    }

    fn changed[const N: usize, F: Fn(f32, [f32; N]) -> f32](
        values: &mut [f32],
        operands: [&[f32]; N],
        f: F,
    ) {
        let operands = operands.map(|x| &x[..values.len()]);
        for (i, value) in values.iter_mut().enumerate() {
            *value = f(*value, std::array::from_fn(|k| operands[k][i]));
        }
    }
}

/// `f` of the elements at each place; `f` is to be `#[inline(always)]`.
pub(in super::super) fn pointwise<const N: usize>(
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) -> Vec<f32> {
    let mut out = memory::take(operands[0].len());
    fill([(&mut out, 1)], rows_a_share(1), |range, [out]| {
        apply(out, operands.map(|x| &x[range.clone()]), f);
    });
    out
}

/// `sink += f` of the elements at each place.
pub(in super::super) fn add_pointwise<const N: usize>(
    sink: &mut [f32],
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) {
    fill([(sink, 1)], rows_a_share(1), |range, [sink]| {
        add_applied(sink, operands.map(|x| &x[range.clone()]), f);
    });
}

/// `values = f` of themselves and of the elements at each place.
pub(in super::super) fn change<const N: usize>(
    values: &mut [f32],
    operands: [&[f32]; N],
    f: impl Fn(f32, [f32; N]) -> f32 + Copy + Sync,
) {
    fill([(values, 1)], rows_a_share(1), |range, [values]| {
        changed(values, operands.map(|x| &x[range.clone()]), f);
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

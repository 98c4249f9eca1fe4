//! Sums along an axis. A few terms are added in f32 and the sums of such blocks in f64, so that
//! rounding does not grow with the length.

use std::ops::Range;

use super::super::shape::MAX_RANK;
use super::rows::sum_of_blocks;
use super::threads::{fill, rows_a_share};
use super::{Buffer, memory};

/// Number of terms that are added one after the other in f32.
pub(super) const FEW: usize = 128;

/// Number of columns that are summed at a time: their sums stay in the nearest cache.
const STRIP: usize = 256;

/// `sink +=` the sum over rows of some columns; each row has `width` elements.
#[inline(always)]
pub(super) fn add_columns(sink: &mut [f32], rows: &[f32], width: usize, columns: Range<usize>) {
    if rows.len() <= FEW * width {
        for row in rows.chunks_exact(width) {
            for (sink, x) in sink.iter_mut().zip(&row[columns.clone()]) {
                *sink += x;
            }
        }
        return;
    }
    for (strip, sink) in sink.chunks_mut(STRIP).enumerate() {
        let start = columns.start + strip * STRIP;
        let columns = start..start + sink.len();
        let mut double = [0.0; STRIP];
        for block in rows.chunks(FEW * width) {
            let mut single = [0.0; STRIP];
            let single = &mut single[..sink.len()];
            for row in block.chunks_exact(width) {
                for (single, x) in single.iter_mut().zip(&row[columns.clone()]) {
                    *single += x;
                }
            }
            for (double, single) in double.iter_mut().zip(&*single) {
                *double += f64::from(*single);
            }
        }
        for (sink, double) in sink.iter_mut().zip(double) {
            *sink += double as f32;
        }
    }
}

vectorised! {
    fn add_rows_of(sink: &mut [f32], rows: &[f32], width: usize, columns: Range<usize>) {
        add_columns(sink, rows, width, columns);
    }

    /// `sink +=` the sums of rows of `width` elements.
    fn add_totals(sink: &mut [f32], rows: &[f32], width: usize) {
        for (sink, row) in sink.iter_mut().zip(rows.chunks_exact(width)) {
            *sink += sum_of_blocks(row);
        }
    }

    /// `sink +=` the sums over the middle of `(.., n, rest)`.
    fn add_middles(sink: &mut [f32], x: &[f32], n: usize, rest: usize) {
        for (sink, x) in sink.chunks_exact_mut(rest).zip(x.chunks_exact(n * rest)) {
            add_columns(sink, x, rest, 0..rest);
        }
    }
}

/// Adds a number of terms to each element of `sink`, where `add` adds a range of them.
pub(super) fn in_blocks(sink: &mut [f32], terms: usize, add: impl Fn(&mut [f32], Range<usize>)) {
    if terms <= FEW {
        return add(sink, 0..terms);
    }
    let (mut single, mut double) = (memory::take(sink.len()), vec![0.0; sink.len()]);
    for start in (0..terms).step_by(FEW) {
        single.fill(0.0);
        add(&mut single, start..terms.min(start + FEW));
        for (double, single) in double.iter_mut().zip(&single) {
            *double += f64::from(*single);
        }
    }
    for (sink, double) in sink.iter_mut().zip(double) {
        *sink += double as f32;
    }
    memory::give(single);
}

/// Adds every row of `g` to `sink`; threads share the columns.
pub(in super::super) fn add_rows(sink: &mut [f32], g: &[f32]) {
    let width = sink.len();
    let rows = g.len() / width.max(1);
    fill([(sink, 1)], rows_a_share(rows), |columns, [sink]| {
        add_rows_of(sink, g, width.max(1), columns);
    });
}

/// `sink +=` the sums over the middle of `(outer, n, rest)`.
pub(in super::super) fn add_axis(
    sink: &mut [f32],
    x: &[f32],
    (outer, n, rest): (usize, usize, usize),
) {
    if x.is_empty() {
        return;
    }
    match (outer, rest) {
        (_, 1) => fill([(sink, 1)], rows_a_share(n), |rows, [sink]| {
            add_totals(sink, &x[rows.start * n..rows.end * n], n);
        }),
        (1, _) => add_rows(sink, x),
        _ => fill([(sink, rest)], rows_a_share(n * rest), |blocks, [sink]| {
            let width = n * rest;
            add_middles(sink, &x[blocks.start * width..blocks.end * width], n, rest);
        }),
    }
}

/// `sink +=` the sums of `x` along the axes of its shape marked in `repeats`.
pub(in super::super) fn add_axes(
    sink: &mut [f32],
    x: &[f32],
    mut shape: [usize; MAX_RANK],
    repeats: [bool; MAX_RANK],
) {
    let mut partial: Option<Buffer> = None;
    for axis in (0..MAX_RANK).rev() {
        if !repeats[axis] || shape[axis] == 1 {
            continue;
        }
        let product = |axes: &[usize]| axes.iter().product::<usize>();
        let split = (
            product(&shape[..axis]),
            shape[axis],
            product(&shape[axis + 1..]),
        );
        let mut sums = memory::take(split.0 * split.2);
        sums.fill(0.0);
        add_axis(
            &mut sums,
            partial.as_ref().map_or(x, Buffer::as_slice),
            split,
        );
        partial = Some(sums.into());
        shape[axis] = 1;
    }
    super::add(sink, partial.as_ref().map_or(x, Buffer::as_slice));
}

/// Adds each number of `x` to the element of `sink` at its place; places may repeat.
pub(in super::super) fn add_at(sink: &mut [f32], places: &[usize], x: &[f32]) {
    if x.len() <= FEW {
        for (&place, x) in places.iter().zip(x) {
            sink[place] += x;
        }
        return;
    }
    let mut double: Vec<f64> = sink.iter().copied().map(f64::from).collect();
    for (&place, &x) in places.iter().zip(x) {
        double[place] += f64::from(x);
    }
    for (sink, double) in sink.iter_mut().zip(double) {
        *sink = double as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::with_threads;
    use super::*;

    #[test]
    fn long_sums_are_as_good_as_short_ones_whatever_the_thread_count() {
        for split in [
            (1, 300_000, 3),
            (2, 70_000, 2),
            (3, 5_000, 300),
            (2, 400_000, 1),
        ] {
            let (outer, n, rest) = split;
            let x: Vec<f32> = (0..outer * n * rest)
                .map(|i| 0.1 + (i * 7_919 % 13) as f32 * 1e-3)
                .collect();
            let run = |threads: usize| {
                let mut sink = vec![0.5; outer * rest];
                with_threads(threads, || add_axis(&mut sink, &x, split));
                sink
            };
            let found = run(1);
            assert!(found == run(3), "threads change numbers");
            for (i, found) in found.into_iter().enumerate() {
                let (block, column) = (i / rest, i % rest);
                let terms = (0..n).map(|k| f64::from(x[(block * n + k) * rest + column]));
                let want = 0.5 + terms.sum::<f64>();
                let error = (f64::from(found) - want).abs() / want;
                assert!(error < 3e-6, "{split:?}: {found} is not {want}");
            }
        }
    }

    #[test]
    fn several_axes_are_summed_one_by_one() {
        let shape = [3, 2, 400, 5];
        let x: Vec<f32> = (0..shape.iter().product())
            .map(|i| (i % 11) as f32)
            .collect();
        for bits in 0..16usize {
            let repeats: [bool; MAX_RANK] = std::array::from_fn(|axis| bits >> axis & 1 == 1);
            let kept: Vec<usize> = (0..MAX_RANK)
                .map(|axis| if repeats[axis] { 1 } else { shape[axis] })
                .collect();
            let mut want = vec![1.0; kept.iter().product()];
            for (i, x) in x.iter().enumerate() {
                let (mut rest, mut place, mut stride) = (i, 0, 1);
                for axis in (0..MAX_RANK).rev() {
                    place += (rest % shape[axis]) % kept[axis] * stride;
                    stride *= kept[axis];
                    rest /= shape[axis];
                }
                want[place] += x;
            }
            let mut found = vec![1.0; want.len()];
            add_axes(&mut found, &x, shape, repeats);
            assert_eq!(found, want, "{repeats:?}");
        }
    }
}

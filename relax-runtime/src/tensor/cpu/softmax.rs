//! log Σ exp along an axis, and the softmax that is its derivative.

use super::math::{exp, ln};
use super::pointwise::pointwise;
use super::rows::sum;
use super::threads::{fill, rows_a_share};
use super::{Buffer, memory};

/// log Σ exp over the middle of `(outer, n, rest)`, shifted by the largest element, and what its
/// derivative needs: the shifted exponentials and their sums.
pub(in super::super) fn logsumexp(
    x: &[f32],
    (outer, n, rest): (usize, usize, usize),
) -> (Buffer, Buffer, Buffer) {
    let mut largest = memory::take(outer * rest);
    let (mut sums, mut weights) = (memory::take(outer * rest), memory::take(x.len()));
    let outs = [
        (&mut largest, rest),
        (&mut sums, rest),
        (&mut weights, n * rest),
    ];
    let outs = outs.map(|(out, unit)| (&mut out[..], unit));
    fill(outs, rows_a_share(n * rest), |blocks, outs| {
        let x = &x[blocks.start * n * rest..blocks.end * n * rest];
        if rest == 1 {
            exponentials_along_rows(x, n, outs);
        } else {
            exponentials(x, (n, rest), outs);
        }
    });
    let values = pointwise([&sums, &largest], |[sum, largest]| ln(sum) + largest);
    memory::give(largest);
    (values, weights.into(), sums.into())
}

/// The larger number: NaN counts as large, and infinity as a number that can be subtracted.
#[inline(always)]
fn larger(largest: f32, x: f32) -> f32 {
    if x <= largest {
        largest
    } else {
        x.min(f32::MAX)
    }
}

/// Elements that are done at once, in one vector. The last ones are filled up to it: done one by one
/// they would take longer than all others.
const LANES: usize = 16;

/// `count` elements of a row.
#[inline(always)]
fn lanes(row: &[f32], (from, count): (usize, usize)) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..count].copy_from_slice(&row[from..from + count]);
    lanes
}

/// Writes the first ones back.
#[inline(always)]
fn put(lanes: [f32; LANES], row: &mut [f32], (from, count): (usize, usize)) {
    row[from..from + count].copy_from_slice(&lanes[..count]);
}

/// Calls `work` with the start and length of each part of a row: a macro, so that both lengths have a
/// loop of their own.
macro_rules! for_each_part {
    ($len:expr, |$part:ident| $body:block) => {{
        let whole = $len - $len % LANES;
        for from in (0..whole).step_by(LANES) {
            let $part = (from, LANES);
            $body
        }
        if whole < $len {
            let $part = (whole, $len - whole);
            $body
        }
    }};
}

vectorised! {
    fn exponentials(x: &[f32], split: (usize, usize), outs: [&mut [f32]; 3]) {
        let ((n, rest), [largest, sums, weights]) = (split, outs);
        let outs = largest.chunks_mut(rest).zip(sums.chunks_mut(rest));
        let blocks = x.chunks(n * rest).zip(weights.chunks_mut(n * rest));
        for ((x, weights), (largest, sums)) in blocks.zip(outs) {
            for_each_part!(rest, |part| {
                let mut top = [f32::MIN; LANES];
                for row in x.chunks_exact(rest) {
                    let row = lanes(row, part);
                    top.iter_mut().zip(row).for_each(|(top, x)| *top = larger(*top, x));
                }
                let mut totals = [0.0; LANES];
                for (row, weights) in x.chunks_exact(rest).zip(weights.chunks_exact_mut(rest)) {
                    let mut row = lanes(row, part);
                    for ((x, top), total) in row.iter_mut().zip(&top).zip(&mut totals) {
                        *x = exp(*x - top);
                        *total += *x;
                    }
                    put(row, weights, part);
                }
                put(top, largest, part);
                put(totals, sums, part);
            });
        }
    }

    fn exponentials_along_rows(x: &[f32], n: usize, outs: [&mut [f32]; 3]) {
        let [largest, sums, weights] = outs;
        let outs = largest.iter_mut().zip(sums);
        for ((x, weights), (largest, total)) in x.chunks(n).zip(weights.chunks_mut(n)).zip(outs) {
            *largest = x.iter().fold(f32::MIN, |largest, &x| larger(largest, x));
            for_each_part!(n, |part| {
                put(lanes(x, part).map(|x| exp(x - *largest)), weights, part);
            });
            *total = sum(weights);
        }
    }

    /// Weights times shares, one for each column.
    fn scale(weights: &mut [f32], split: (usize, usize), g: &[f32], sums: &[f32]) {
        let (n, rest) = split;
        let rows = g.chunks(rest).zip(sums.chunks(rest));
        for (weights, (g, sums)) in weights.chunks_mut(n * rest).zip(rows) {
            for_each_part!(rest, |part| {
                let mut shares = lanes(g, part);
                let sums = lanes(sums, part);
                shares.iter_mut().zip(sums).for_each(|(g, sum)| *g /= sum);
                for weights in weights.chunks_exact_mut(rest) {
                    let mut row = lanes(weights, part);
                    row.iter_mut().zip(shares).for_each(|(weight, share)| *weight *= share);
                    put(row, weights, part);
                }
            });
        }
    }

    fn scale_rows(weights: &mut [f32], n: usize, g: &[f32], sums: &[f32]) {
        for (weights, (g, sum)) in weights.chunks_mut(n).zip(g.iter().zip(sums)) {
            let share = g / sum;
            weights.iter_mut().for_each(|weight| *weight *= share);
        }
    }
}

/// The derivative: turns the exponentials into the softmax times `g`.
pub(in super::super) fn logsumexp_back(
    weights: &mut [f32],
    (_, n, rest): (usize, usize, usize),
    g: &[f32],
    sums: &[f32],
) {
    fill(
        [(weights, n * rest)],
        rows_a_share(n * rest),
        |blocks, [weights]| {
            let places = blocks.start * rest..blocks.end * rest;
            let (g, sums) = (&g[places.clone()], &sums[places]);
            if rest == 1 {
                scale_rows(weights, n, g, sums);
            } else {
                scale(weights, (n, rest), g, sums);
            }
        },
    );
}

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

vectorised! {
    fn exponentials(x: &[f32], split: (usize, usize), outs: [&mut [f32]; 3]) {
        let ((n, rest), [largest, sums, weights]) = (split, outs);
        let outs = largest.chunks_mut(rest).zip(sums.chunks_mut(rest));
        let blocks = x.chunks(n * rest).zip(weights.chunks_mut(n * rest));
        for ((x, weights), (largest, sums)) in blocks.zip(outs) {
            largest.fill(f32::MIN);
            for x in x.chunks(rest) {
                for (largest, &x) in largest.iter_mut().zip(x) {
                    *largest = larger(*largest, x);
                }
            }
            sums.fill(0.0);
            for (x, weights) in x.chunks(rest).zip(weights.chunks_mut(rest)) {
                let outs = weights.iter_mut().zip(sums.iter_mut());
                for ((weight, sum), (&x, &largest)) in outs.zip(x.iter().zip(&*largest)) {
                    *weight = exp(x - largest);
                    *sum += *weight;
                }
            }
        }
    }

    fn exponentials_along_rows(x: &[f32], n: usize, outs: [&mut [f32]; 3]) {
        let [largest, sums, weights] = outs;
        let outs = largest.iter_mut().zip(sums);
        for ((x, weights), (largest, total)) in x.chunks(n).zip(weights.chunks_mut(n)).zip(outs) {
            *largest = x.iter().fold(f32::MIN, |largest, &x| larger(largest, x));
            for (weight, &x) in weights.iter_mut().zip(x) {
                *weight = exp(x - *largest);
            }
            *total = sum(weights);
        }
    }

    fn scale(weights: &mut [f32], split: (usize, usize), g: &[f32], sums: &[f32]) {
        let (n, rest) = split;
        let rows = g.chunks(rest).zip(sums.chunks(rest));
        for (weights, (g, sums)) in weights.chunks_mut(n * rest).zip(rows) {
            for weights in weights.chunks_mut(rest) {
                for ((weight, g), sum) in weights.iter_mut().zip(g).zip(sums) {
                    *weight *= g / sum;
                }
            }
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

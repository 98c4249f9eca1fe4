//! log Σ exp along an axis, and the softmax that is its derivative.

use super::math::{exp, ln};
use super::pointwise::pointwise;
use super::rows::sum_of_blocks;
use super::sums::add_columns;
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

/// The larger number: NaN counts as the largest, and infinity as a number that can be subtracted.
#[inline(always)]
fn larger(largest: f32, x: f32) -> f32 {
    if x <= largest {
        largest
    } else {
        x.min(f32::MAX)
    }
}

/// g / sum. A sum of 0 comes from elements that are all −∞, none of which has a share.
#[inline(always)]
fn share_of(g: f32, sum: f32) -> f32 {
    if sum == 0.0 { 0.0 } else { g / sum }
}

vectorised! {
    /// The exponentials in one loop over all rows: with a loop for each row, its last
    /// elements, done one by one, would take as long as all others.
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
            for (x, weights) in x.chunks(rest).zip(weights.chunks_mut(rest)) {
                for ((weight, x), largest) in weights.iter_mut().zip(x).zip(&*largest) {
                    *weight = x - largest;
                }
            }
            for weight in weights.iter_mut() {
                *weight = exp(*weight);
            }
            sums.fill(0.0);
            add_columns(sums, weights, rest, 0..rest);
        }
    }

    fn exponentials_along_rows(x: &[f32], n: usize, outs: [&mut [f32]; 3]) {
        let [largest, sums, weights] = outs;
        for ((x, weights), largest) in x.chunks(n).zip(weights.chunks_mut(n)).zip(largest) {
            *largest = f32::MIN;
            for &x in x {
                *largest = larger(*largest, x);
            }
            for (weight, x) in weights.iter_mut().zip(x) {
                *weight = x - *largest;
            }
        }
        for weight in weights.iter_mut() {
            *weight = exp(*weight);
        }
        for (total, weights) in sums.iter_mut().zip(weights.chunks(n)) {
            *total = sum_of_blocks(weights);
        }
    }

    /// `shares` has room for one row.
    fn scale(
        weights: &mut [f32],
        split: (usize, usize),
        g: &[f32],
        sums: &[f32],
        shares: &mut [f32],
    ) {
        let (n, rest) = split;
        let rows = g.chunks(rest).zip(sums.chunks(rest));
        for (weights, (g, sums)) in weights.chunks_mut(n * rest).zip(rows) {
            if let ([g], [sum]) = (g, sums) {
                let share = share_of(*g, *sum);
                weights.iter_mut().for_each(|weight| *weight *= share);
                continue;
            }
            for (share, (g, sum)) in shares.iter_mut().zip(g.iter().zip(sums)) {
                *share = share_of(*g, *sum);
            }
            for weights in weights.chunks_mut(rest) {
                for (weight, share) in weights.iter_mut().zip(&*shares) {
                    *weight *= share;
                }
            }
        }
    }

    /// `shares` has room for one row.
    fn less_softmax(
        g: &mut [f32],
        split: (usize, usize),
        weights: &[f32],
        sums: &[f32],
        shares: &mut [f32],
    ) {
        let (n, rest) = split;
        let blocks = g.chunks_mut(n * rest).zip(weights.chunks(n * rest));
        for ((g, weights), sums) in blocks.zip(sums.chunks(rest)) {
            if let [total] = sums {
                let share = share_of(sum_of_blocks(g), *total);
                for (g, weight) in g.iter_mut().zip(weights) {
                    *g -= weight * share;
                }
                continue;
            }
            shares.fill(0.0);
            add_columns(shares, g, rest, 0..rest);
            for (share, sum) in shares.iter_mut().zip(sums) {
                *share = share_of(*share, *sum);
            }
            for (g, weights) in g.chunks_mut(rest).zip(weights.chunks(rest)) {
                for ((g, weight), share) in g.iter_mut().zip(weights).zip(&*shares) {
                    *g -= weight * share;
                }
            }
        }
    }
}

/// The derivative of x − log Σ exp: subtracts from `g` the softmax times the sum of `g`, given the
/// exponentials and their sums.
pub(in super::super) fn log_softmax_back(
    g: &mut [f32],
    (_, n, rest): (usize, usize, usize),
    weights: &[f32],
    sums: &[f32],
) {
    fill([(g, n * rest)], rows_a_share(n * rest), |blocks, [g]| {
        let weights = &weights[blocks.start * n * rest..blocks.end * n * rest];
        let sums = &sums[blocks.start * rest..blocks.end * rest];
        let mut shares = memory::numbers(rest);
        less_softmax(g, (n, rest), weights, sums, &mut shares);
        memory::give_numbers(shares);
    });
}

/// The derivative of log Σ exp: turns the exponentials into the softmax times `g`.
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
            let mut shares = memory::numbers(rest);
            scale(weights, (n, rest), g, sums, &mut shares);
            memory::give_numbers(shares);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that is kept for reuse is there again afterwards.
    #[test]
    fn room_for_a_row_goes_back() {
        let split = (1, 3, 70);
        let x = vec![0.5; 210];
        let (_, weights, sums) = logsumexp(&x, split);
        let block = memory::take(70);
        let address = block.as_ptr();
        memory::give(block);
        let mut g = vec![1.0; 210];
        log_softmax_back(&mut g, split, weights.as_slice(), sums.as_slice());
        let again = memory::take(70);
        assert_eq!(again.as_ptr(), address, "log_softmax_back");
        memory::give(again);
        let mut w = weights.into_vec();
        logsumexp_back(&mut w, split, &vec![1.0; 70], sums.as_slice());
        let again = memory::take(70);
        assert_eq!(again.as_ptr(), address, "logsumexp_back");
    }
}

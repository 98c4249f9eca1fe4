//! Row sums of a function of several operands' elements, and its derivatives, in one pass. An
//! operand of a single number stands for all elements.

use std::ops::Range;

use super::Buffer;
use super::rows::sum;
use super::threads::{fill, rows_a_share};

/// As many terms are computed before they are added.
const BLOCK: usize = 64;

/// So few terms are not worth the choice of vectors.
const FEW: usize = 16;

/// The operands' elements at a place.
#[inline(always)]
fn at<const N: usize>(operands: [&[f32]; N], i: usize) -> [f32; N] {
    std::array::from_fn(|k| operands[k][if operands[k].len() == 1 { 0 } else { i }])
}

/// Room for a block of each operand that is a single number.
type Rooms<const N: usize> = [[f32; BLOCK]; N];

/// Blocks that together make `range`.
#[inline(always)]
fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    let starts = range.step_by(BLOCK);
    starts.map(move |start| start..end.min(start + BLOCK))
}

/// A block of each operand. Loops, here and below, because the closures of `map` and its like would
/// not become part of a loop of vectors.
#[inline(always)]
fn parts<'a, const N: usize>(
    operands: [&'a [f32]; N],
    block: Range<usize>,
    rooms: &'a mut Rooms<N>,
) -> [&'a [f32]; N] {
    let mut parts: [&[f32]; N] = [&[]; N];
    for ((part, x), room) in parts.iter_mut().zip(operands).zip(rooms) {
        *part = if let [one] = x {
            room[..block.len()].fill(*one);
            &room[..block.len()]
        } else {
            &x[block.clone()]
        };
    }
    parts
}

/// `out = f` of a block's elements.
#[inline(always)]
fn each<const N: usize>(out: &mut [f32], mut parts: [&[f32]; N], f: impl Fn([f32; N]) -> f32) {
    for part in &mut parts {
        *part = &part[..out.len()];
    }
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(std::array::from_fn(|k| parts[k][i]));
    }
}

vectorised! {
    /// The sums of these rows.
    fn sum_rows[const N: usize, F: Fn([f32; N]) -> f32](
        sums: &mut [f32],
        rows: Range<usize>,
        width: usize,
        operands: [&[f32]; N],
        f: F,
    ) {
        let mut rooms = [[0.0; BLOCK]; N];
        if width == 1 {
            for block in blocks(rows.clone()) {
                let out = &mut sums[block.start - rows.start..block.end - rows.start];
                each(out, parts(operands, block, &mut rooms), &f);
            }
            return;
        }
        let mut terms = [0.0; BLOCK];
        for (sum_of_row, row) in sums.iter_mut().zip(rows) {
            let mut double = 0.0;
            for block in blocks(row * width..(row + 1) * width) {
                let terms = &mut terms[..block.len()];
                each(terms, parts(operands, block, &mut rooms), &f);
                double += f64::from(sum(terms));
            }
            *sum_of_row = double as f32;
        }
    }

    /// Adds the derivatives of these rows to the gradient of an operand, or their sum to that of an
    /// operand of a single number. `g` has a number for each row.
    fn add_slopes[const N: usize, F: Fn([f32; N]) -> f32](
        sink: &mut [f32],
        rows: Range<usize>,
        width: usize,
        operands: [&[f32]; N],
        g: &[f32],
        slope: F,
    ) {
        let (mut rooms, mut slopes) = ([[0.0; BLOCK]; N], [0.0; BLOCK]);
        let (elements, mut double) = (rows.start * width..rows.end * width, 0.0);
        let whole = sink.len() == elements.len();
        for block in blocks(elements.clone()) {
            let slopes = &mut slopes[..block.len()];
            each(slopes, parts(operands, block.clone(), &mut rooms), &slope);
            match width {
                1 => {
                    for (slope, g) in slopes.iter_mut().zip(&g[block.clone()]) {
                        *slope *= g;
                    }
                }
                _ => {
                    for (slope, element) in slopes.iter_mut().zip(block.clone()) {
                        *slope *= g[element / width];
                    }
                }
            }
            if whole {
                let from = block.start - elements.start;
                let sink = &mut sink[from..from + slopes.len()];
                for (sink, slope) in sink.iter_mut().zip(slopes) {
                    *sink += *slope;
                }
            } else {
                double += f64::from(sum(slopes));
            }
        }
        if !whole {
            sink[0] += double as f32;
        }
    }
}

/// For each row of `width` elements the sum of `f`.
pub(in super::super) fn sums<const N: usize>(
    (rows, width): (usize, usize),
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Copy + Sync,
) -> Buffer {
    if rows * width <= FEW {
        return Buffer::of_each(rows, |row| {
            let mut sum = 0.0;
            for i in row * width..(row + 1) * width {
                sum += f(at(operands, i));
            }
            sum
        });
    }
    Buffer::filled(rows, |sums| {
        fill([(sums, 1)], rows_a_share(width), |rows, [sums]| {
            sum_rows(sums, rows, width, operands, f);
        });
    })
}

/// Adds `slope`, the derivative of `f` by an operand, times the gradient `g` of the sums to that
/// operand's gradient.
pub(in super::super) fn add<const N: usize>(
    sink: &mut [f32],
    width: usize,
    operands: [&[f32]; N],
    g: &[f32],
    slope: impl Fn([f32; N]) -> f32 + Copy + Sync,
) {
    if g.len() * width <= FEW {
        for i in 0..g.len() * width {
            sink[if sink.len() == 1 { 0 } else { i }] += g[i / width] * slope(at(operands, i));
        }
        return;
    }
    if sink.len() == g.len() * width {
        fill([(sink, width)], rows_a_share(width), |rows, [sink]| {
            add_slopes(sink, rows, width, operands, g, slope);
        });
    } else {
        add_slopes(sink, 0..g.len(), width, operands, g, slope);
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::with_threads;
    use super::*;

    #[test]
    fn agrees_with_sums_one_by_one_whatever_the_thread_count() {
        let numbers = |len: usize, by: usize| -> Vec<f32> {
            (0..len)
                .map(|i| ((i * by) % 1_009) as f32 / 504.0)
                .collect()
        };
        let f = |[x, y]: [f32; 2]| x * x * y;
        for (rows, width, lens) in [
            (1, 1, [1, 1]),
            (1, 10, [10, 1]),
            (7, 1, [1, 7]),
            (5, 131, [655, 655]),
            (40_000, 1, [40_000, 1]),
            (300, 200, [1, 60_000]),
        ] {
            let operands = [numbers(lens[0], 7_919), numbers(lens[1], 31)];
            let at = |k: usize, i: usize| operands[k][if lens[k] == 1 { 0 } else { i }];
            let g = numbers(rows, 17);
            let slices = operands.each_ref().map(Vec::as_slice);
            for threads in [1, 3] {
                let found = with_threads(threads, || sums((rows, width), slices, f)).into_vec();
                for (row, found) in found.into_iter().enumerate() {
                    let terms = (row * width..(row + 1) * width).map(|i| f([at(0, i), at(1, i)]));
                    let want: f64 = terms.map(f64::from).sum();
                    assert!((f64::from(found) - want).abs() <= 1e-5 * want.abs());
                }
            }
            let slope = |[x, y]: [f32; 2]| 2.0 * x * y;
            let run = |threads: usize| {
                let mut sink = vec![0.5; lens[0]];
                with_threads(threads, || add(&mut sink, width, slices, &g, slope));
                sink
            };
            let found = run(1);
            assert!(found == run(3), "threads change numbers");
            let mut want = vec![0.5; lens[0]];
            for i in 0..rows * width {
                let place = if lens[0] == 1 { 0 } else { i };
                want[place] += f64::from(g[i / width] * slope([at(0, i), at(1, i)]));
            }
            for (found, want) in found.iter().zip(want) {
                assert!((f64::from(*found) - want).abs() <= 1e-4 * want.abs());
            }
        }
    }
}

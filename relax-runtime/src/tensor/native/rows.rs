//! Loops over rows of a matrix: inner products and scaled sums.

use super::memory;
use super::threads::{fill, rows_a_share};

/// Number of elements that are added in f32; the sums of such blocks are added in f64, so that rounding does not
/// grow with the length.
pub(super) const BLOCK: usize = 1024;

/// Sum of a block in sixteen interleaved lanes, which vectorizes.
#[inline(always)]
pub(crate) fn sum(block: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    let chunks = block.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// ⟨a, b⟩ of a few numbers, one after the other.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sum of any numbers. A loop, because an iterator's closure would not be inlined into a
/// vectorized loop.
#[inline(always)]
pub(crate) fn sum_of_blocks(values: &[f32]) -> f32 {
    let mut double = 0.0;
    for block in values.chunks(BLOCK) {
        double += f64::from(sum(block));
    }
    double as f32
}

vectorised! {
    /// ⟨a, b⟩ for each row of `width` elements.
    fn dot_rows(a: &[f32], b: &[f32], width: usize, dots: &mut [f32]) {
        let mut terms = [0.0; BLOCK];
        let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
        for ((a, b), dot) in rows.zip(dots) {
            let mut double = 0.0;
            for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
                let terms = &mut terms[..a.len()];
                for ((term, &a), &b) in terms.iter_mut().zip(a).zip(b) {
                    *term = a * b;
                }
                double += f64::from(sum(terms));
            }
            *dot = double as f32;
        }
    }

    /// `sink += g a`, where `g` has a number for each row of `width` elements.
    fn add_scaled_rows(sink: &mut [f32], g: &[f32], a: &[f32], width: usize) {
        let rows = sink.chunks_exact_mut(width).zip(a.chunks_exact(width));
        for ((sink, a), &g) in rows.zip(g).filter(|(_, g)| **g != 0.0) {
            for (sink, &a) in sink.iter_mut().zip(a) {
                *sink += g * a;
            }
        }
    }
}

/// ⟨a, b⟩ for each row of `width` elements.
pub(in super::super) fn dots(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let mut dots = memory::take(a.len() / width);
    fill([(&mut dots, 1)], rows_a_share(width), |range, [dots]| {
        let elements = range.start * width..range.end * width;
        dot_rows(&a[elements.clone()], &b[elements], width, dots);
    });
    dots
}

/// `sink += g a`, where `g` has a number for each row of `width` elements.
pub(in super::super) fn add_scaled(sink: &mut [f32], g: &[f32], a: &[f32], width: usize) {
    fill([(sink, width)], rows_a_share(width), |range, [sink]| {
        let a = &a[range.start * width..range.end * width];
        add_scaled_rows(sink, &g[range], a, width);
    });
}

//! Matrix products as inner products of contiguous rows with contiguous columns, for few rows: copying
//! the right operand's panels would cost more than the sums over lanes in the end.

use std::arch::x86_64::*;
use std::ops::Range;

use super::tiles::{LANES, Start, Tiles};

impl Tiles {
    /// As [`Tiles::run`], where the inner dimension is contiguous in both operands.
    ///
    /// # Safety
    /// As [`Tiles::run`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run_dots(&self, rows: Range<usize>, columns: Range<usize>) {
        let mut column = columns.start;
        while column < columns.end {
            let width = if columns.end - column < 4 { 1 } else { 4 };
            let mut row = rows.start;
            while row < rows.end {
                // SAFETY: the caller's, for rows and columns of the ranges.
                row += unsafe {
                    match (width, rows.end - row) {
                        (4, 6..) => self.dots::<6, 4>(row, column),
                        (4, 2..) => self.dots::<2, 4>(row, column),
                        (4, _) => self.dots::<1, 4>(row, column),
                        (_, 6..) => self.dots::<6, 1>(row, column),
                        (_, _) => self.dots::<1, 1>(row, column),
                    }
                };
            }
            column += width;
        }
    }

    /// Computes `M` rows of `N` columns, one or four; returns `M`.
    ///
    /// # Safety
    /// As [`Tiles::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn dots<const M: usize, const N: usize>(&self, row: usize, column: usize) -> usize {
        let (out, out_rows) = self.out;
        let ((a, [a_rows, _]), (b, [_, b_cols])) = (self.a, self.b);
        let mut sums = [[_mm512_setzero_ps(); N]; M];
        // SAFETY: the mask keeps loads within the inner dimension; the caller promises the rest.
        unsafe {
            let (a, b) = (a.add(row * a_rows), b.add(column * b_cols));
            for from in (0..self.depth).step_by(LANES) {
                let mask = 0xffff >> LANES.saturating_sub(self.depth - from);
                let mut right = [_mm512_setzero_ps(); N];
                for (j, right) in right.iter_mut().enumerate() {
                    *right = _mm512_maskz_loadu_ps(mask, b.add(j * b_cols + from));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let left = _mm512_maskz_loadu_ps(mask, a.add(i * a_rows + from));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm512_fmadd_ps(left, right, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let out = out.add((row + i) * out_rows + column);
                let mut four = [_mm512_setzero_ps(); 4];
                four[..N].copy_from_slice(sums);
                let four = totals(four);
                let mask = 0xffff >> (LANES - N);
                let start = match self.start {
                    Start::Zero => _mm512_setzero_ps(),
                    Start::Out => _mm512_maskz_loadu_ps(mask, out),
                    Start::Row(row) => _mm512_maskz_loadu_ps(mask, row.add(column)),
                };
                _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(start, four));
            }
        }
        M
    }
}

/// The sums of the lanes of four vectors, in the first four lanes.
#[target_feature(enable = "avx512f")]
fn totals([a, b, c, d]: [__m512; 4]) -> __m512 {
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
    let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
    // The four sums of each quarter.
    let quarters = _mm512_add_ps(low, high);
    let halves = _mm512_add_ps(
        quarters,
        _mm512_shuffle_f32x4::<0b01_00_11_10>(quarters, quarters),
    );
    _mm512_add_ps(
        halves,
        _mm512_shuffle_f32x4::<0b10_11_00_01>(halves, halves),
    )
}

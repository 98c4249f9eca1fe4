//! Matrix products by tiles that stay in the registers of AVX-512.
//!
//! A right operand with contiguous rows is read where it is unless many rows of the left one use it;
//! others are copied panel by panel, while they are in the cache. Each number of the result is one
//! chain of fused products and sums along the inner dimension, whatever part of it is computed.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Numbers in a vector.
pub(super) const LANES: usize = 16;

/// Width of a panel of the right operand.
const WIDTH: usize = 2 * LANES;

/// Length of a panel: with `WIDTH` numbers a row it fits in the first-level cache.
const DEPTH: usize = 256;

/// From as many rows of the left operand a panel is copied.
pub(super) const MANY: usize = 64;

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Zero,
    Out,
    /// A row, the same for all rows of the result.
    Row(*const f32),
}

/// `out = start + a b` by address. Element (i, j) of a matrix with strides (r, c) is at i r + j c; the
/// columns of `out` are contiguous.
pub(super) struct Tiles {
    pub(super) depth: usize,
    pub(super) start: Start,
    pub(super) out: (*mut f32, usize),
    pub(super) a: (*const f32, [usize; 2]),
    pub(super) b: (*const f32, [usize; 2]),
}

#[repr(align(64))]
struct Panel([MaybeUninit<f32>; DEPTH * WIDTH]);

impl Tiles {
    /// Computes a part of the result.
    ///
    /// # Safety
    /// The machine has AVX-512. The rows and columns of the matrices lie in memory that lives, those of
    /// `b` have stride 1 along one axis, and nobody else reads or writes this part of `out` meanwhile.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        let mut panel = Panel([MaybeUninit::uninit(); DEPTH * WIDTH]);
        let panel = panel.0.as_mut_ptr().cast::<f32>();
        let (out, out_rows) = self.out;
        let (a, [a_rows, a_cols]) = self.a;
        let (b, [b_rows, b_cols]) = self.b;
        let step = self.depth.div_ceil(self.depth.div_ceil(DEPTH)).max(1);
        for from in (0..self.depth).step_by(step) {
            let depth = step.min(self.depth - from);
            for column in columns.clone().step_by(WIDTH) {
                let width = WIDTH.min(columns.end - column);
                // SAFETY: all addresses are of the rows, columns and inner indices that the caller
                // promises, and a panel has room for `depth` by `WIDTH` numbers.
                unsafe {
                    let b = b.add(from * b_rows + column * b_cols);
                    let (b, b_rows) = if b_cols != 1 {
                        pack_transposed(panel, b, b_cols, (depth, width));
                        (panel.cast_const(), WIDTH)
                    } else if rows.len() >= MANY {
                        pack(panel, b, b_rows, (depth, width));
                        (panel.cast_const(), WIDTH)
                    } else {
                        (b, b_rows)
                    };
                    let strip = Strip {
                        depth,
                        width,
                        start: match (self.start, from) {
                            (_, 1..) => Start::Out,
                            (Start::Row(row), _) => Start::Row(row.add(column)),
                            (start, _) => start,
                        },
                        a: (a.add(rows.start * a_rows + from * a_cols), a_rows, a_cols),
                        b: (b, b_rows),
                        out: (out.add(rows.start * out_rows + column), out_rows),
                    };
                    strip.run(rows.len());
                }
            }
        }
    }
}

/// A panel's part of a product.
struct Strip {
    depth: usize,
    width: usize,
    start: Start,
    a: (*const f32, usize, usize),
    b: (*const f32, usize),
    out: (*mut f32, usize),
}

impl Strip {
    /// # Safety
    /// As [`Tiles::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn run(&self, rows: usize) {
        let mut row = 0;
        while row < rows {
            // SAFETY: the caller's, for rows below `rows`.
            row += unsafe {
                match (self.width > LANES, rows - row) {
                    (true, 12..) => self.tile::<12, 2>(row),
                    (true, 8..) => self.tile::<8, 2>(row),
                    (true, 4..) => self.tile::<4, 2>(row),
                    (true, 2..) => self.tile::<2, 2>(row),
                    (true, _) => self.tile::<1, 2>(row),
                    (false, 24..) => self.tile::<24, 1>(row),
                    (false, 12..) => self.tile::<12, 1>(row),
                    (false, 4..) => self.tile::<4, 1>(row),
                    (false, _) => self.tile::<1, 1>(row),
                }
            };
        }
    }

    /// Computes `M` rows of `V` vectors, the last of them perhaps in part; returns `M`.
    ///
    /// # Safety
    /// As [`Tiles::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn tile<const M: usize, const V: usize>(&self, row: usize) -> usize {
        /// How many rows of the right operand ahead of their use they are asked for.
        const AHEAD: usize = 8;
        let mut masks = [0xffff; V];
        masks[V - 1] = 0xffff >> (V * LANES - self.width);
        let (a, a_rows, a_cols) = self.a;
        let ((b, b_rows), (out, out_rows)) = (self.b, self.out);
        // SAFETY: masks keep loads and stores within `width` columns, prefetches may be anywhere, and
        // the caller promises the rest.
        unsafe {
            let (a, out) = (a.add(row * a_rows), out.add(row * out_rows));
            let mut sums = [[_mm512_setzero_ps(); V]; M];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = match self.start {
                        Start::Zero => continue,
                        Start::Out => {
                            _mm512_maskz_loadu_ps(masks[j], out.add(i * out_rows + j * LANES))
                        }
                        Start::Row(row) => _mm512_maskz_loadu_ps(masks[j], row.add(j * LANES)),
                    };
                }
            }
            let (mut a, mut b) = (a, b);
            for _ in 0..self.depth {
                let mut right = [_mm512_setzero_ps(); V];
                for (j, right) in right.iter_mut().enumerate() {
                    *right = _mm512_maskz_loadu_ps(masks[j], b.add(j * LANES));
                    let ahead = b.wrapping_add(AHEAD * b_rows + j * LANES);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let left = _mm512_set1_ps(*a.add(i * a_rows));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm512_fmadd_ps(left, right, *sum);
                    }
                }
                a = a.wrapping_add(a_cols);
                b = b.wrapping_add(b_rows);
            }
            for (i, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    _mm512_mask_storeu_ps(out.add(i * out_rows + j * LANES), masks[j], *sum);
                }
            }
        }
        M
    }
}

/// Copies `depth` contiguous rows of `width` numbers into a panel, filled up with zeros.
///
/// # Safety
/// The rows lie in memory that lives, and the panel has room.
#[target_feature(enable = "avx512f")]
unsafe fn pack(panel: *mut f32, b: *const f32, b_rows: usize, (depth, width): (usize, usize)) {
    let masks = [
        0xffff >> LANES.saturating_sub(width),
        (0xffff_u32 >> (WIDTH - width).min(16)) as u16,
    ];
    for l in 0..depth {
        for (j, mask) in masks.into_iter().enumerate() {
            // SAFETY: the masks keep the load within the row; the caller promises the rest.
            unsafe {
                let row = _mm512_maskz_loadu_ps(mask, b.wrapping_add(l * b_rows + j * LANES));
                _mm512_store_ps(panel.add(l * WIDTH + j * LANES), row);
            }
        }
    }
}

/// Copies `width` contiguous columns of `depth` numbers into a panel, filled up with zeros.
///
/// # Safety
/// As [`pack`].
#[target_feature(enable = "avx512f")]
unsafe fn pack_transposed(
    panel: *mut f32,
    b: *const f32,
    b_cols: usize,
    (depth, width): (usize, usize),
) {
    for from in (0..depth).step_by(LANES) {
        let length = LANES.min(depth - from);
        let mask = 0xffff >> (LANES - length);
        for (j, column) in (0..width).step_by(LANES).enumerate() {
            let mut square = [_mm512_setzero_ps(); LANES];
            let columns = square.iter_mut().enumerate().take(width - column);
            for (i, numbers) in columns {
                // SAFETY: the mask keeps the load within the column; the caller promises the rest.
                *numbers =
                    unsafe { _mm512_maskz_loadu_ps(mask, b.add((column + i) * b_cols + from)) };
            }
            for (l, row) in transposed(square).into_iter().enumerate().take(length) {
                // SAFETY: the panel has `depth` rows.
                unsafe { _mm512_store_ps(panel.add((from + l) * WIDTH + j * LANES), row) };
            }
        }
    }
}

/// The transpose of sixteen rows of sixteen numbers.
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512; LANES]) -> [__m512; LANES] {
    let zero = _mm512_setzero_ps();
    // Transposes the squares of four by four numbers, ...
    let mut quarters = [zero; LANES];
    for q in 0..4 {
        let [r0, r1, r2, r3] = [
            rows[4 * q],
            rows[4 * q + 1],
            rows[4 * q + 2],
            rows[4 * q + 3],
        ];
        let pd = |x| _mm512_castps_pd(x);
        let (low, high) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
        let (low2, high2) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
        let ps = |x| _mm512_castpd_ps(x);
        quarters[4 * q] = ps(_mm512_unpacklo_pd(pd(low), pd(low2)));
        quarters[4 * q + 1] = ps(_mm512_unpackhi_pd(pd(low), pd(low2)));
        quarters[4 * q + 2] = ps(_mm512_unpacklo_pd(pd(high), pd(high2)));
        quarters[4 * q + 3] = ps(_mm512_unpackhi_pd(pd(high), pd(high2)));
    }
    // ... then the square of these squares.
    let mut columns = [zero; LANES];
    for i in 0..4 {
        let [q0, q1, q2, q3] = [
            quarters[i],
            quarters[4 + i],
            quarters[8 + i],
            quarters[12 + i],
        ];
        let (a, b) = (
            _mm512_shuffle_f32x4::<0x44>(q0, q1),
            _mm512_shuffle_f32x4::<0xee>(q0, q1),
        );
        let (c, d) = (
            _mm512_shuffle_f32x4::<0x44>(q2, q3),
            _mm512_shuffle_f32x4::<0xee>(q2, q3),
        );
        columns[i] = _mm512_shuffle_f32x4::<0x88>(a, c);
        columns[4 + i] = _mm512_shuffle_f32x4::<0xdd>(a, c);
        columns[8 + i] = _mm512_shuffle_f32x4::<0x88>(b, d);
        columns[12 + i] = _mm512_shuffle_f32x4::<0xdd>(b, d);
    }
    columns
}

//! Matrix products by the `gemm` crate, transposes passed as strides.

use std::ops::Range;

use gemm::Parallelism;

use super::memory;
use super::threads::{fill, rows_a_share, share};

/// A matrix inside a slice: element (i, j) is at `i * rows + j * cols`.
#[derive(Clone, Copy)]
pub(in super::super) struct Layout {
    rows: usize,
    cols: usize,
}

impl Layout {
    /// Row-major with `width` columns, read as its transpose if `transposed`.
    pub(in super::super) fn new(width: usize, transposed: bool) -> Self {
        match transposed {
            false => Self {
                rows: width,
                cols: 1,
            },
            true => Self {
                rows: 1,
                cols: width,
            },
        }
    }

    /// The transposed matrix.
    pub(in super::super) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
        }
    }

    /// Whether columns are contiguous and rows are not.
    fn is_transposed(self) -> bool {
        self.rows == 1 && self.cols != 1
    }

    /// Index of an element.
    fn at(self, i: usize, j: usize) -> usize {
        i * self.rows + j * self.cols
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(in super::super) enum Start<'a> {
    /// Nothing: the numbers in `out` are meaningless.
    Zero,
    /// The numbers in `out`.
    Out,
    /// A row, the same for all rows of `out`, which is row-major.
    Row(&'a [f32]),
}

/// Number of columns that the widest microkernel does at a time; fewer are slower, one by one.
const TILE: usize = 16;

/// Number of products of two numbers that makes a thread's share worthwhile.
const LEAST: usize = 1 << 19;

/// With fewer rows it does not pay off that `gemm` copies the right operand for a width that is not a
/// multiple of a tile.
const FEW: usize = 64;

/// Up to this many elements `gemm` computes outputs in a different order.
const SMALL: usize = 256;

/// Maximum number of products of two numbers that are added in f32.
const LONGEST: usize = 1 << 16;

/// Whether to compute the transposed product. Where the right operand is a transpose, `gemm` copies
/// all of it, number by number; the transposed product has it on the left and reads it in place.
/// But its vectors hold rows of the output, which should nearly fill them, and not be so numerous
/// that the copy is cheap beside the products.
fn is_better_transposed((m, k, n): (usize, usize, usize), out: Layout, b: Layout) -> bool {
    /// Number of rows that the largest microkernel does at a time.
    const TALLEST: usize = 64;
    let last = (m + TALLEST - 1) % TALLEST + 1;
    b.is_transposed()
        && !out.is_transposed()
        && (TILE..=2 * TALLEST).contains(&m)
        && last >= TILE
        && k >= TILE
        && n > FEW
}

/// `out = start + a b`: `a` is `m` by `k` and `b` is `k` by `n`.
pub(in super::super) fn product(
    (m, k, n): (usize, usize, usize),
    (out, out_layout, start): (&mut [f32], Layout, Start<'_>),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    if k > LONGEST {
        return long_product(
            (m, k, n),
            (out, out_layout, start),
            (a, a_layout),
            (b, b_layout),
        );
    }
    if let Start::Row(row) = start {
        out.chunks_exact_mut(n.max(1))
            .for_each(|out| out.copy_from_slice(row));
    }
    let fresh = matches!(start, Start::Zero);
    if is_better_transposed((m, k, n), out_layout, b_layout) {
        let mut across = memory::take(m * n);
        let whole = (&mut across[..], Layout::new(m, false), true);
        multiply((n, k, m), whole, (b, b_layout.t()), (a, a_layout.t()));
        fill([(&mut out[..m * n], n)], rows_a_share(n), |rows, [out]| {
            add_transposed_rows(out, fresh, &across, rows, m);
        });
        memory::give(across);
    } else {
        let out = (out, out_layout, fresh);
        multiply((m, k, n), out, (a, a_layout), (b, b_layout));
    }
}

/// [`product`] with sums so long that their parts are added in f64.
fn long_product(
    (m, k, n): (usize, usize, usize),
    (out, out_layout, start): (&mut [f32], Layout, Start<'_>),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    if m == 0 || n == 0 {
        return;
    }
    let (mut part, mut double) = (memory::take(m * n), vec![0.0; m * n]);
    for from in (0..k).step_by(LONGEST) {
        let sizes = (m, LONGEST.min(k - from), n);
        let a = (&a[a_layout.at(0, from)..], a_layout);
        let b = (&b[b_layout.at(from, 0)..], b_layout);
        product(sizes, (&mut part, Layout::new(n, false), Start::Zero), a, b);
        for (double, part) in double.iter_mut().zip(&part) {
            *double += f64::from(*part);
        }
    }
    memory::give(part);
    for (place, double) in double.into_iter().enumerate() {
        let (i, j) = (place / n, place % n);
        let out = &mut out[out_layout.at(i, j)];
        let start = match start {
            Start::Zero => 0.0,
            Start::Out => *out,
            Start::Row(row) => row[j],
        };
        *out = (f64::from(start) + double) as f32;
    }
}

vectorised! {
    /// `out += fromᵀ`, or `out = fromᵀ` where `fresh`, for some rows of `out`; `from` has columns
    /// for all `height` rows.
    fn add_transposed_rows(
        out: &mut [f32],
        fresh: bool,
        from: &[f32],
        rows: Range<usize>,
        height: usize,
    ) {
        let width = from.len() / height;
        // Narrow strips of `from`, which stay in the cache for all rows.
        for (strip, from) in from.chunks(TILE * height).enumerate() {
            let columns = strip * TILE..strip * TILE + from.len() / height;
            for (out, row) in out.chunks_exact_mut(width).zip(rows.clone()) {
                let numbers = from[row..].iter().step_by(height);
                for (out, number) in out[columns.clone()].iter_mut().zip(numbers) {
                    *out = if fresh { *number } else { *out + number };
                }
            }
        }
    }
}

/// `out = start + a b`; where `fresh`, the start is nothing.
fn multiply(
    (m, k, n): (usize, usize, usize),
    (out, out_layout, fresh): (&mut [f32], Layout, bool),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    if fresh && k == 0 {
        out.fill(0.0);
    }
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(out_layout.at(m - 1, n - 1) < out.len());
    assert!(a_layout.at(m - 1, k - 1) < a.len());
    assert!(b_layout.at(k - 1, n - 1) < b.len());
    let product = ProductByAddress {
        k,
        out: out.as_mut_ptr(),
        fresh,
        a: a.as_ptr(),
        b: b.as_ptr(),
        layouts: Layouts {
            out: out_layout,
            a: a_layout,
            b: b_layout,
        },
    };
    // Each thread computes a part of the output, over all of k, so that the numbers are the same;
    // the longer side is divided, because `gemm` works best on whole blocks of the other one.
    let least = |unit: usize| (LEAST / (unit * k)).max(SMALL / unit) + 1;
    if n >= 2 * TILE && n >= m {
        let tiles = n / TILE;
        share(tiles, least(m * TILE), |part| {
            let end = if part.end == tiles {
                n
            } else {
                part.end * TILE
            };
            let columns = part.start * TILE..end;
            // SAFETY: the asserts above bound every address of the whole product, `out` is borrowed
            // mutably and overlaps neither operand, and no other part has these columns.
            unsafe { product.add_columns(0..m, columns) };
        });
    } else {
        share(m, least(n).max(FEW + 1), |rows| {
            // SAFETY: as above, with these rows.
            unsafe { product.add_columns(rows, 0..n) };
        });
    }
}

/// [`product`] by address.
struct ProductByAddress {
    k: usize,
    out: *mut f32,
    fresh: bool,
    a: *const f32,
    b: *const f32,
    layouts: Layouts,
}

struct Layouts {
    out: Layout,
    a: Layout,
    b: Layout,
}

// SAFETY: threads write to disjoint parts of `out`, as the callers of `add` promise.
unsafe impl Sync for ProductByAddress {}

impl ProductByAddress {
    /// [`add`](Self::add), in the steps that suit `gemm` best.
    ///
    /// # Safety
    /// As [`add`](Self::add).
    unsafe fn add_columns(&self, rows: Range<usize>, columns: Range<usize>) {
        /// Up to this many columns, or one more, a transposed left operand is not copied: never one column
        /// alone, whose sums `gemm` computes in a different order.
        const STRIP: usize = 128;
        if self.layouts.a.is_transposed() && columns.len() > STRIP + 1 {
            let mut rest = columns;
            while !rest.is_empty() {
                let end = if rest.len() > STRIP + 1 {
                    rest.start + STRIP
                } else {
                    rest.end
                };
                // SAFETY: as promised by the caller, for a part.
                unsafe { self.add(rows.clone(), rest.start..end) };
                rest.start = end;
            }
            return;
        }
        // For few rows, a width that is not a multiple of a tile is done in two steps.
        let whole = columns.len() / TILE * TILE;
        if rows.len() > FEW || whole == 0 || columns.len() < whole + 2 {
            // SAFETY: as promised by the caller.
            return unsafe { self.add(rows, columns) };
        }
        let cut = columns.start + whole;
        // SAFETY: as promised by the caller, for two parts.
        unsafe {
            self.add(rows.clone(), columns.start..cut);
            self.add(rows, cut..columns.end);
        }
    }

    /// Computes a part of the output.
    ///
    /// # Safety
    /// The rows and columns of the three matrices lie in live memory, and nobody else reads
    /// or writes this part of the output meanwhile.
    unsafe fn add(&self, rows: Range<usize>, columns: Range<usize>) {
        /// `gemm` never splits sums of up to this length; where it splits longer ones depends on the other sizes.
        const UNCUT: usize = 512;
        let Layouts { out, a, b } = self.layouts;
        let step = self.k.div_ceil(self.k.div_ceil(UNCUT));
        for start in (0..self.k).step_by(step) {
            // SAFETY: as promised by the caller, for a part of the sum.
            unsafe {
                gemm::gemm(
                    rows.len(),
                    columns.len(),
                    step.min(self.k - start),
                    self.out.add(out.at(rows.start, columns.start)),
                    out.cols as isize,
                    out.rows as isize,
                    start > 0 || !self.fresh,
                    self.a.add(a.at(rows.start, start)),
                    a.cols as isize,
                    a.rows as isize,
                    self.b.add(b.at(start, columns.start)),
                    b.cols as isize,
                    b.rows as isize,
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::with_threads;
    use super::*;

    /// Numbers between −1 and 1.
    fn numbers(len: usize, by: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * by) % 1009) as f32 / 504.0 - 1.0)
            .collect()
    }

    #[test]
    fn operands_may_be_stored_as_their_transposes() {
        for (m, k, n) in [
            (24, 784, 200),
            (50, 17, 65),
            (70, 40, 130),
            (128, 16, 70),
            (300, 24, 129),
        ] {
            let stored = |x: &[f32], width: usize, transposed: bool| -> Vec<f32> {
                if !transposed {
                    return x.to_vec();
                }
                let column = |j: usize| x[j..].iter().step_by(width).copied();
                (0..width).flat_map(column).collect()
            };
            let (a, b, row) = (
                numbers(m * k, 7919),
                numbers(k * n, 104_729),
                numbers(n, 31),
            );
            for start in [Start::Zero, Start::Out, Start::Row(&row)] {
                let run = |ta: bool, tb: bool| {
                    let (a, b) = (stored(&a, k, ta), stored(&b, n, tb));
                    let la = Layout::new(if ta { m } else { k }, ta);
                    let lb = Layout::new(if tb { k } else { n }, tb);
                    let mut out = numbers(m * n, 17);
                    let lo = Layout::new(n, false);
                    product((m, k, n), (&mut out, lo, start), (&a, la), (&b, lb));
                    out
                };
                let want = run(false, false);
                for (ta, tb) in [(true, false), (false, true), (true, true)] {
                    for (found, want) in run(ta, tb).iter().zip(&want) {
                        assert!((found - want).abs() < 1e-4, "{m} {k} {n}: {found} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn threads_change_no_number() {
        for (m, k, n) in [
            (100, 784, 200),
            (24, 784, 200),
            (512, 64, 33),
            (512, 784, 200),
            (200, 900, 20),
            (4096, 257, 1),
            (7, 900, 785),
            (5, 4, 8),
            (61, 17, 47),
            (785, 24, 200),
            (100, 24, 785),
            (100, 600, 129),
            (100, 24, 129),
            (40, 700, 257),
        ] {
            for (ta, tb, sideways) in [
                (false, false, false),
                (true, false, false),
                (false, true, false),
                (false, false, true),
                (true, true, true),
            ] {
                let (a, b) = (numbers(m * k, 7919), numbers(k * n, 104_729));
                let la = Layout::new(if ta { m } else { k }, ta);
                let lb = Layout::new(if tb { k } else { n }, tb);
                let lo = Layout::new(if sideways { m } else { n }, sideways);
                let run = |threads: usize, start: Start<'_>| {
                    let mut out = vec![0.5; m * n];
                    with_threads(threads, || {
                        product((m, k, n), (&mut out, lo, start), (&a, la), (&b, lb));
                    });
                    out
                };
                let alone = run(1, Start::Out);
                for (i, j) in [(0, 0), (m - 1, n - 1), (m / 2, n / 3)] {
                    let pairs = (0..k)
                        .map(|l| (a[i * la.rows + l * la.cols], b[l * lb.rows + j * lb.cols]));
                    let want: f64 = pairs.map(|(x, y)| f64::from(x) * f64::from(y)).sum();
                    let found = f64::from(alone[lo.at(i, j)]) - 0.5;
                    assert!((found - want).abs() < 1e-3, "{found} is not {want}");
                }
                for threads in [2, 3, 7] {
                    let same = run(threads, Start::Out) == alone;
                    assert!(same, "{threads} threads, {m} {k} {n}");
                }
                let written = run(2, Start::Zero);
                for (written, added) in written.iter().zip(&alone) {
                    assert!((written + 0.5 - added).abs() < 1e-3);
                }
                if sideways {
                    continue;
                }
                let row = numbers(n, 31);
                let from_row = run(2, Start::Row(&row));
                for (i, number) in from_row.iter().enumerate() {
                    assert!((number - row[i % n] - written[i]).abs() < 1e-3);
                }
            }
        }
    }
}

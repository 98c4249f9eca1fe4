//! Matrix products, transposes passed as strides: by tiles of our own where the machine has AVX-512 and
//! the matrices are not tiny, by the `gemm` crate elsewhere.

use std::ops::Range;

use gemm::Parallelism;

#[cfg(target_arch = "x86_64")]
use super::simd::{Width, width};
use super::threads::share;
#[cfg(target_arch = "x86_64")]
use super::tiles::{self, MANY, Tiles};

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

    /// Index of an element.
    fn at(self, i: usize, j: usize) -> usize {
        i * self.rows + j * self.cols
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(in super::super) enum Start<'a> {
    /// Nothing: the numbers in `out` have no meaning.
    Zero,
    /// The numbers in `out`.
    Out,
    /// A row, the same for all rows of `out`, which is row-major.
    Row(&'a [f32]),
}

/// Columns that the widest microkernel does at a time; fewer are slower, column by column.
const TILE: usize = 16;

/// Products of two numbers that make a thread's share worthwhile.
const LEAST: usize = 1 << 19;

/// So few rows do not repay that `gemm` copies the right operand for a width that is no multiple of
/// a tile.
const FEW: usize = 64;

/// `gemm` computes outputs of up to as many elements in another order.
const SMALL: usize = 256;

/// `out = start + a b`: `a` is `m` by `k` and `b` is `k` by `n`.
pub(in super::super) fn product(
    sizes: (usize, usize, usize),
    (out, out_layout, start): (&mut [f32], Layout, Start<'_>),
    a: (&[f32], Layout),
    b: (&[f32], Layout),
) {
    let (m, k, n) = sizes;
    #[cfg(target_arch = "x86_64")]
    {
        // Columns of the result are to be contiguous: the transpose's are where its own are not.
        let sideways = out_layout.cols != 1;
        let (rows, columns) = if sideways { (n, m) } else { (m, n) };
        let suits = rows >= 4 && columns >= TILE / 2 && k >= 4;
        if suits && matches!(width(), Width::Avx512) {
            match sideways {
                false => by_tiles(sizes, (out, out_layout, start), a, b),
                true => by_tiles(
                    (n, k, m),
                    (out, out_layout.t(), start),
                    (b.0, b.1.t()),
                    (a.0, a.1.t()),
                ),
            }
            return;
        }
    }
    by_gemm((m, k, n), (out, out_layout, start), a, b);
}

/// Where the last element of each matrix lies is within its slice.
fn check(
    (m, k, n): (usize, usize, usize),
    (out, out_layout): (&[f32], Layout),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    assert!(out_layout.at(m - 1, n - 1) < out.len());
    assert!(a_layout.at(m - 1, k - 1) < a.len());
    assert!(b_layout.at(k - 1, n - 1) < b.len());
}

/// [`product`] by our own tiles; all sizes are positive.
#[cfg(target_arch = "x86_64")]
fn by_tiles(
    sizes: (usize, usize, usize),
    (out, out_layout, start): (&mut [f32], Layout, Start<'_>),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    /// Rows of a tile.
    const ROWS: usize = 12;
    let (m, k, n) = sizes;
    check(sizes, (out, out_layout), (a, a_layout), (b, b_layout));
    assert!(b_layout.cols == 1 || b_layout.rows == 1);
    if let Start::Row(row) = start {
        assert!(n <= row.len());
    }
    let tiles = Shared(Tiles {
        depth: k,
        start: match start {
            Start::Zero => tiles::Start::Zero,
            Start::Out => tiles::Start::Out,
            Start::Row(row) => tiles::Start::Row(row.as_ptr()),
        },
        out: (out.as_mut_ptr(), out_layout.rows),
        a: (a.as_ptr(), [a_layout.rows, a_layout.cols]),
        b: (b.as_ptr(), [b_layout.rows, b_layout.cols]),
    });
    let tiles = &tiles;
    // By the size of the whole, so that the numbers do not depend on the parts.
    let as_dots = a_layout.cols == 1 && b_layout.rows == 1 && b_layout.cols > 1 && m < MANY;
    // Parts of the longer side: the shorter one is read again for each tile of the other.
    let (unit, len, other) = if n >= m { (TILE, n, m) } else { (ROWS, m, n) };
    let whole = len.div_ceil(unit);
    share(whole, LEAST / (unit * other * k) + 1, |part| {
        let part = part.start * unit..len.min(part.end * unit);
        let (rows, columns) = if n >= m { (0..m, part) } else { (part, 0..n) };
        // SAFETY: the caller looked for AVX-512; the asserts above bound every address of the whole
        // product, `out` is borrowed mutably and overlaps no operand, and no other part has these
        // columns, or rows.
        unsafe {
            match as_dots {
                true => tiles.0.run_dots(rows, columns),
                false => tiles.0.run(rows, columns),
            }
        };
    });
}

/// Shared by threads.
struct Shared<T>(T);

// SAFETY: threads write to disjoint parts of the output, and only read the operands.
unsafe impl<T> Sync for Shared<T> {}

/// [`product`] by the `gemm` crate.
fn by_gemm(
    sizes: (usize, usize, usize),
    (out, out_layout, start): (&mut [f32], Layout, Start<'_>),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    let (m, k, n) = sizes;
    if let Start::Row(row) = start {
        out.chunks_exact_mut(n.max(1))
            .for_each(|out| out.copy_from_slice(row));
    }
    let fresh = matches!(start, Start::Zero);
    if fresh && k == 0 {
        out.fill(0.0);
    }
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    check(sizes, (out, out_layout), (a, a_layout), (b, b_layout));
    let product = Shared(Product {
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
    });
    let product = &product;
    // Each thread computes a part of the output, over all of k, so that the numbers are the same;
    // parts of the longer side, because `gemm` does whole blocks of the other one best.
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
            unsafe { product.0.add_columns(0..m, columns) };
        });
    } else {
        share(m, least(n).max(FEW + 1), |rows| {
            // SAFETY: as above, with these rows.
            unsafe { product.0.add_columns(rows, 0..n) };
        });
    }
}

/// [`product`] by address.
struct Product {
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

impl Product {
    /// [`add`](Self::add), a width that is no multiple of a tile in two steps for few rows.
    ///
    /// # Safety
    /// As [`add`](Self::add).
    unsafe fn add_columns(&self, rows: Range<usize>, columns: Range<usize>) {
        let whole = columns.len() / TILE * TILE;
        if rows.len() > FEW || whole == 0 || columns.len() < whole + 2 {
            // SAFETY: the caller's.
            return unsafe { self.add(rows, columns) };
        }
        let cut = columns.start + whole;
        // SAFETY: the caller's, twice with a part.
        unsafe {
            self.add(rows.clone(), columns.start..cut);
            self.add(rows, cut..columns.end);
        }
    }

    /// Computes a part of the output.
    ///
    /// # Safety
    /// The rows and columns of the three matrices lie in memory that lives, and nobody else reads
    /// or writes this part of the output meanwhile.
    unsafe fn add(&self, rows: Range<usize>, columns: Range<usize>) {
        /// As long a sum `gemm` never cuts; where it cuts longer ones depends on the other sizes.
        const LONGEST: usize = 512;
        let Layouts { out, a, b } = self.layouts;
        let step = self.k.div_ceil(self.k.div_ceil(LONGEST));
        for start in (0..self.k).step_by(step) {
            // SAFETY: the caller's, for a part of the sum.
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

    type Kernel = fn(
        (usize, usize, usize),
        (&mut [f32], Layout, Start<'_>),
        (&[f32], Layout),
        (&[f32], Layout),
    );

    #[test]
    fn threads_change_no_number_and_kernels_agree() {
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
        ] {
            for (ta, tb, sideways) in [
                (false, false, false),
                (true, false, false),
                (false, true, false),
                (false, false, true),
                (true, true, true),
            ] {
                let numbers = |len: usize, by: usize| -> Vec<f32> {
                    (0..len)
                        .map(|i| ((i * by) % 1009) as f32 / 504.0 - 1.0)
                        .collect()
                };
                let (a, b) = (numbers(m * k, 7919), numbers(k * n, 104_729));
                let la = Layout::new(if ta { m } else { k }, ta);
                let lb = Layout::new(if tb { k } else { n }, tb);
                let lo = Layout::new(if sideways { m } else { n }, sideways);
                let run = |threads: usize, start: Start<'_>, kernel: Kernel| {
                    let mut out = vec![0.5; m * n];
                    with_threads(threads, || {
                        kernel((m, k, n), (&mut out, lo, start), (&a, la), (&b, lb));
                    });
                    out
                };
                let alone = run(1, Start::Out, product);
                let plain = run(1, Start::Out, by_gemm);
                for (i, j) in [(0, 0), (m - 1, n - 1), (m / 2, n / 3)] {
                    let pairs = (0..k)
                        .map(|l| (a[i * la.rows + l * la.cols], b[l * lb.rows + j * lb.cols]));
                    let want: f64 = pairs.map(|(x, y)| f64::from(x) * f64::from(y)).sum();
                    let found = f64::from(alone[lo.at(i, j)]) - 0.5;
                    assert!((found - want).abs() < 1e-3, "{found} is not {want}");
                }
                for (one, other) in alone.iter().zip(&plain) {
                    assert!(
                        (one - other).abs() < 1e-3,
                        "{one} is not {other}, {m} {k} {n}"
                    );
                }
                for threads in [2, 3, 7] {
                    for (kernel, alone) in [(product as Kernel, &alone), (by_gemm, &plain)] {
                        let same = run(threads, Start::Out, kernel) == *alone;
                        assert!(same, "{threads} threads, {m} {k} {n}");
                    }
                }
                for kernel in [product as Kernel, by_gemm] {
                    let written = run(2, Start::Zero, kernel);
                    for (written, added) in written.iter().zip(&alone) {
                        assert!((written + 0.5 - added).abs() < 1e-3);
                    }
                    if sideways {
                        continue;
                    }
                    let row = numbers(n, 31);
                    let from_row = run(2, Start::Row(&row), kernel);
                    for (i, number) in from_row.iter().enumerate() {
                        assert!((number - row[i % n] - written[i]).abs() < 1e-3);
                    }
                }
            }
        }
    }
}

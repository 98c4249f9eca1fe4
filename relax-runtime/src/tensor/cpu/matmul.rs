//! Matrix products by the `gemm` crate, transposes passed as strides.

use gemm::Parallelism;

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

    /// Index of the last element of an `m` by `n` matrix.
    fn last(self, m: usize, n: usize) -> usize {
        (m - 1) * self.rows + (n - 1) * self.cols
    }
}

/// `out += a b`, where `a` is `m` by `k` and `b` is `k` by `n`.
pub(in super::super) fn add_product(
    (m, k, n): (usize, usize, usize),
    (out, out_layout): (&mut [f32], Layout),
    (a, a_layout): (&[f32], Layout),
    (b, b_layout): (&[f32], Layout),
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(out_layout.last(m, n) < out.len());
    assert!(a_layout.last(m, k) < a.len());
    assert!(b_layout.last(k, n) < b.len());
    // SAFETY: the asserts above bound every address that the strides reach inside the three
    // slices, and `out` is borrowed mutably, so that it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            out_layout.cols as isize,
            out_layout.rows as isize,
            true,
            a.as_ptr(),
            a_layout.cols as isize,
            a_layout.rows as isize,
            b.as_ptr(),
            b_layout.cols as isize,
            b_layout.rows as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

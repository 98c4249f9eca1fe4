//! Triangular matrices, built on other operations, for matrices of some dozens of rows.

use super::super::{Shape, Tensor};

/// Triangular matrices. The last two axes are the matrix, the axes before them broadcast. Shapes that
/// do not fit give a poisoned tensor.
impl Tensor {
    /// The diagonal of square matrices: `[.., n, n]` gives `[.., n]`.
    #[track_caller]
    pub fn diagonal(&self) -> Tensor {
        match self.square_side("diagonal") {
            Ok(n) => (self * Tensor::eye(n, &self.device())).sum(-1),
            Err(refused) => refused,
        }
    }

    /// The matrix with zeros in place of what lies above the diagonal, or, for `tril(-1)`, on and
    /// above it.
    #[track_caller]
    pub fn tril(&self, offset: isize) -> Tensor {
        let n = match self.square_side("tril") {
            Ok(n) => n,
            Err(refused) => return refused,
        };
        let kept = (0..n * n).map(|i| f32::from((i % n) as isize <= (i / n) as isize + offset));
        match Tensor::from_vec(kept.collect(), [n, n], &self.device()) {
            Ok(kept) => self * kept,
            Err(error) => Tensor::poisoned(error),
        }
    }

    /// The solution X of `self` · X = `right` for lower triangular matrices with a diagonal that is not
    /// 0, `[.., n, n]`, and `[.., n, m]`. What lies above the diagonal is not looked at.
    #[track_caller]
    pub fn solve_lower(&self, right: &Tensor) -> Tensor {
        if let Some(refused) = self.refuse_pair(right, "solve_lower") {
            return refused;
        }
        let n = match self.square_side("solve_lower") {
            Ok(n) => n,
            Err(refused) => return refused,
        };
        let (rank, rows) = (right.rank(), right.shape());
        if rank < 2 || rows[rank - 2] != n || n == 0 {
            return self.misfits(
                right,
                "solve_lower",
                "needs as many rows on both sides, and one",
            );
        }
        // Substitution from the first row on: each row takes off what those before it explain.
        let mut solved: Vec<Tensor> = Vec::with_capacity(n);
        for i in 0..n {
            let row = self.slice(-2, i..i + 1);
            let wanted = right.slice(-2, i..i + 1);
            let left = match solved.is_empty() {
                true => wanted,
                false => {
                    let known = Tensor::concat(&solved.iter().collect::<Vec<_>>(), -2);
                    wanted - row.slice(-1, 0..i).matmul(&known)
                }
            };
            let next = left / row.slice(-1, i..i + 1);
            solved.push(next);
        }
        Tensor::concat(&solved.iter().collect::<Vec<_>>(), -2)
    }

    /// The lower triangular matrix L with positive diagonal and L · Lᵀ = `self`, of symmetric positive
    /// definite matrices, `[.., n, n]`; NaN where they are not positive definite. What lies above the
    /// diagonal is not looked at.
    #[track_caller]
    pub fn cholesky(&self) -> Tensor {
        let n = match self.square_side("cholesky") {
            Ok(n) => n,
            Err(refused) => return refused,
        };
        if n == 0 {
            return self.clone();
        }
        let mut columns: Vec<Tensor> = Vec::with_capacity(n);
        for j in 0..n {
            let mut rest = self.slice(-2, j..n).slice(-1, j..j + 1);
            for column in &columns {
                // Of each column found so far, what it has in this one.
                let below = column.slice(-2, j..n);
                rest = rest - &below * below.slice(-2, 0..1);
            }
            let root = rest.slice(-2, 0..1).sqrt();
            let below = rest / root;
            let above = self.slice(-2, 0..j).slice(-1, 0..1).zeros_like();
            columns.push(Tensor::concat(&[&above, &below], -2));
        }
        Tensor::concat(&columns.iter().collect::<Vec<_>>(), -1)
    }

    /// How many rows and columns square matrices have; or the poisoned result.
    #[track_caller]
    fn square_side(&self, op: &'static str) -> Result<usize, Tensor> {
        if self.0.is_err() {
            return Err(self.clone());
        }
        let shape: Shape = self.shape();
        match shape[..] {
            [.., m, n] if m == n => Ok(n),
            _ => Err(Tensor::poisoned(self.misfit(
                op,
                "needs square matrices along the last two axes".into(),
            ))),
        }
    }
}

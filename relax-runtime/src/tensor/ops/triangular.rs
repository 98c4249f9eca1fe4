//! Triangular matrices. Values come from kernels on the host; derivatives are matrix products with the
//! solutions, so that every engine has them.

use super::super::cases::broadcast;
use super::super::native::triangular::{self as kernel, Half};
use super::super::op::Op;
use super::super::{Shape, Tensor};
use crate::error::Result;

/// Triangular matrices. The last two axes are the matrix, and the axes before them broadcast. Shapes that
/// do not fit give a poisoned tensor.
impl Tensor {
    /// The diagonal of square matrices: `[.., n, n]` gives `[.., n]`.
    #[track_caller]
    pub fn diagonal(&self) -> Tensor {
        match self.square_side("diagonal") {
            Ok(n) => self.on_diagonal(n),
            Err(refused) => refused,
        }
    }

    /// The matrix with zeros above the diagonal, or, for `tril(-1)`, on and
    /// above it.
    #[track_caller]
    pub fn tril(&self, offset: isize) -> Tensor {
        match self.square_side("tril") {
            Ok(n) => self.masked(n, |i, j| j <= i.saturating_add(offset)),
            Err(refused) => refused,
        }
    }

    /// The matrix with zeros below the diagonal, or, for `triu(1)`, on and below it.
    #[track_caller]
    pub fn triu(&self, offset: isize) -> Tensor {
        match self.square_side("triu") {
            Ok(n) => self.masked(n, |i, j| j >= i.saturating_add(offset)),
            Err(refused) => refused,
        }
    }

    /// The solution X of `self` · X = `right` for lower triangular matrices with a nonzero diagonal,
    /// `[.., n, n]`, and `[.., n, m]`. What lies above the diagonal is ignored.
    ///
    /// Its derivative is dX = L⁻¹ (dB − dL X) (Giles, "Collected matrix derivative results", 2008, section 2.3.1).
    #[track_caller]
    pub fn solve_lower(&self, right: &Tensor) -> Tensor {
        self.solved(right, Half::Lower, "solve_lower")
    }

    /// As [`solve_lower`](Self::solve_lower), for upper triangular matrices; what lies below the diagonal is ignored.
    #[track_caller]
    pub fn solve_upper(&self, right: &Tensor) -> Tensor {
        self.solved(right, Half::Upper, "solve_upper")
    }

    /// The lower triangular matrix L with a positive diagonal and L · Lᵀ = `self`, for symmetric positive
    /// definite matrices, `[.., n, n]`; NaN where they are not positive definite. What lies above the
    /// diagonal is ignored.
    ///
    /// Its derivative is dL = L Φ(L⁻¹ dA L⁻ᵀ), where Φ is the lower triangle with half of the diagonal (Murray,
    /// "Differentiation of the Cholesky decomposition", 2016, equation 8).
    #[track_caller]
    pub fn cholesky(&self) -> Tensor {
        // Before cases put one more axis in front.
        let n = match self.square_side("cholesky") {
            Ok(n) => n,
            Err(refused) => return refused,
        };
        let op = || Some(Op::new("cholesky", []));
        if let Some(out) = broadcast([self], op, |[x]| Some(x.cholesky())) {
            return out;
        }
        if n == 0 {
            return self.clone();
        }
        let own = self.primal();
        let out = own.factored(n).unwrap_or_else(Tensor::poisoned);
        let Some(tangent) = self.tangent() else {
            return out;
        };
        let once = out.solve_lower(&tangent.mirrored(n));
        let moved = out.solve_lower(&once.transpose()).half(n);
        out.with_tangent(&out.matmul(&moved))
    }

    /// The factor of matrices without a tangent.
    fn factored(&self, n: usize) -> Result<Tensor> {
        let shape = self.shape();
        let factor = kernel::cholesky(&self.peek()?, n);
        if !self.is_tracked() {
            let factor = Tensor::upload(factor, shape, &self.device())?;
            return Ok(factor.also_from(self));
        }
        let inverse = kernel::solve(Half::Lower, &factor, &eyes(shape.numel(), n), n, n);
        let upload = |values| Tensor::upload(values, shape, &self.device());
        let (own, inverse) = (upload(bounded(&factor))?, upload(bounded(&inverse))?);
        let moved = self.masked(n, |i, j| j <= i).apart()?.mirrored(n);
        let moved = inverse.matmul(&moved).matmul_nt(&inverse).half(n);
        Ok(upload(factor)? + own.matmul(&moved))
    }

    #[track_caller]
    fn solved(&self, right: &Tensor, half: Half, op: &'static str) -> Tensor {
        if let Some(refused) = self.refuse_pair(right, op) {
            return refused;
        }
        // Before cases put one more axis in front.
        let n = match self.square_side(op) {
            Ok(n) => n,
            Err(refused) => return refused,
        };
        let (rank, rows) = (right.rank(), right.shape());
        if rank < 2 || rows[rank - 2] != n || n == 0 {
            return self.misfits(right, op, "needs as many rows on both sides, at least one");
        }
        let of_case = |[x, right]: [&Tensor; 2]| Some(x.solved(right, half, op));
        if let Some(out) = broadcast([self, right], || Some(Op::new(op, [])), of_case) {
            return out;
        }
        let leading = |x: &Tensor| x.shape().leading(x.rank() - 2);
        let joint = leading(self).broadcast(&leading(right));
        let shapes = joint.and_then(|rows_of| {
            Some((rows_of.join(&[n, n])?, rows_of.join(&[n, rows[rank - 1]])?))
        });
        let Some(shapes) = shapes else {
            return self.misfits(right, op, "needs leading axes that broadcast");
        };
        let wide = (self.broadcast_to(shapes.0), right.broadcast_to(shapes.1));
        let out = wide.0.primal().substituted(&wide.1.primal(), half, n);
        let out = out.unwrap_or_else(Tensor::poisoned);
        let by_triangle = wide.0.tangent().map(|t| t.half_of(n, half).matmul(&out));
        let moved = match (wide.1.tangent(), by_triangle) {
            (None, None) => return out,
            (Some(right), None) => right,
            (None, Some(own)) => -own,
            (Some(right), Some(own)) => right - own,
        };
        out.with_tangent(&wide.0.primal().solved(&moved, half, op))
    }

    /// The solution for operands with equal leading axes, without tangents.
    fn substituted(&self, right: &Tensor, half: Half, n: usize) -> Result<Tensor> {
        let (shape, device) = (right.shape(), self.device());
        let m = shape[shape.rank() - 1];
        let triangles = self.peek()?;
        if right.is_empty() {
            return Ok(right.clone());
        }
        let solved = kernel::solve(half, &triangles, &right.peek()?, n, m);
        let own = bounded(&solved);
        let solved = Tensor::upload(solved, shape, &device)?;
        if !self.is_tracked() && !right.is_tracked() {
            return Ok(solved.also_from(self).also_from(right));
        }
        let inverse = kernel::solve(half, &triangles, &eyes(self.len(), n), n, n);
        let inverse = Tensor::upload(bounded(&inverse), self.shape(), &device)?;
        let own = Tensor::upload(own, shape, &device)?;
        let by_triangle = self.half_of(n, half).apart()?.matmul(&own);
        let moved = inverse.matmul(&(right.apart()? - by_triangle));
        Ok(solved + moved)
    }

    /// Zeros that move as the tensor does; where the tensor is not finite they do not move.
    fn apart(&self) -> Result<Tensor> {
        let upload = |values| Tensor::upload(values, self.shape(), &self.device());
        let numbers = self.peek()?;
        if numbers.iter().all(|x| x.is_finite()) {
            return Ok(self - upload(numbers)?);
        }
        let is_finite = numbers.iter().map(|x| f32::from(x.is_finite()));
        let kept = upload(is_finite.collect())?;
        let numbers = numbers.iter().map(|x| if x.is_finite() { *x } else { 0.0 });
        Ok(kept.select_where(self, &self.zeros_like()) - upload(numbers.collect())?)
    }

    /// The matrix with zeros except at the places (row, column) that are kept.
    fn masked(&self, n: usize, keeps: impl Fn(isize, isize) -> bool) -> Tensor {
        let kept = (0..n * n).map(|at| {
            let (i, j) = ((at / n) as isize, (at % n) as isize);
            f32::from(keeps(i, j))
        });
        match Tensor::from_vec(kept.collect(), [n, n], &self.device()) {
            Ok(kept) => kept.select_where(self, &self.zeros_like()),
            Err(error) => Tensor::poisoned(error),
        }
    }

    fn half_of(&self, n: usize, half: Half) -> Tensor {
        self.masked(n, |i, j| match half {
            Half::Lower => j <= i,
            Half::Upper => j >= i,
        })
    }

    /// The symmetric matrix with this lower half.
    fn mirrored(&self, n: usize) -> Tensor {
        self.masked(n, |i, j| j <= i) + self.masked(n, |i, j| j < i).transpose()
    }

    /// Φ: the lower triangle with half of the diagonal.
    fn half(&self, n: usize) -> Tensor {
        (self.masked(n, |i, j| j <= i) + self.masked(n, |i, j| j < i)) * 0.5
    }

    /// The number of rows and columns of square matrices; or the poisoned result.
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

/// Finite numbers, so that 0 times each is 0: as factors in derivatives they leave the value unchanged.
fn bounded(values: &[f32]) -> Vec<f32> {
    let bounded = |x: &f32| {
        if x.is_nan() {
            f32::MAX
        } else {
            x.clamp(f32::MIN, f32::MAX)
        }
    };
    values.iter().map(bounded).collect()
}

/// Unit matrices with this many numbers in total.
fn eyes(numbers: usize, n: usize) -> Vec<f32> {
    let one = |at: usize| f32::from(u8::from(at % (n * n) / n == at % n));
    (0..numbers).map(one).collect()
}

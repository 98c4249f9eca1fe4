//! A quadratic form, fitted to pairs of a point and its cost by least squares with ridges.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// 1, the numbers, their products in pairs and, where they are not bits, their squares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) numbers: usize,
    pub(crate) squares: bool,
}

impl Features {
    pub(crate) fn count(self) -> usize {
        let n = self.numbers;
        1 + n + n * (n - 1) / 2 + if self.squares { n } else { 0 }
    }

    /// Of a point y. Of y in {−1, 1} at random, or normal, they are uncorrelated and, but for the first, of mean 0
    /// and variance 1.
    pub(crate) fn of(self, y: &[f64]) -> Vec<f64> {
        let mut all = Vec::with_capacity(self.count());
        all.push(1.0);
        all.extend_from_slice(y);
        for (i, x) in y.iter().enumerate() {
            all.extend(y[i + 1..].iter().map(|other| x * other));
        }
        if self.squares {
            let root = 0.5_f64.sqrt();
            all.extend(y.iter().map(|x| root * (x * x - 1.0)));
        }
        all
    }

    /// The form with these weights.
    pub(crate) fn form(self, weights: &[f64]) -> Form {
        let n = self.numbers;
        let (linear, rest) = weights[1..].split_at(n);
        let (pairs, squares) = rest.split_at(n * (n - 1) / 2);
        let mut form = Form {
            constant: weights[0],
            linear: linear.to_vec(),
            matrix: vec![0.0; n * n],
        };
        let both = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        for ((i, j), weight) in both.zip(pairs) {
            form.matrix[i * n + j] = 0.5 * weight;
            form.matrix[j * n + i] = 0.5 * weight;
        }
        for (i, weight) in squares.iter().enumerate() {
            form.matrix[i * n + i] = 0.5_f64.sqrt() * weight;
            form.constant -= 0.5_f64.sqrt() * weight;
        }
        form
    }
}

/// c + b·y + yᵀA y with a symmetric A.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) constant: f64,
    pub(crate) linear: Vec<f64>,
    /// Row by row.
    pub(crate) matrix: Vec<f64>,
}

impl Form {
    /// At y with variances v: the form's expectation.
    pub(crate) fn expected(&self, y: &[f64], v: Option<&[f64]>) -> f64 {
        let n = self.linear.len();
        let mut sum = self.constant;
        for (i, (x, row)) in y.iter().zip(self.matrix.chunks(n)).enumerate() {
            let along: f64 = row.iter().zip(y).map(|(a, y)| a * y).sum();
            sum += x * (self.linear[i] + along) + v.map_or(0.0, |v| row[i] * v[i]);
        }
        sum
    }
}

/// The normal equations of a least-squares fit.
pub(crate) struct Normal {
    gram: DMatrix<f64>,
    moments: DVector<f64>,
}

impl Normal {
    /// Of rows of features, costs, and how much each row counts.
    pub(crate) fn new(rows: &[Vec<f64>], costs: &[f64], counts: &[f64]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let scaled = DMatrix::from_fn(width, rows.len(), |i, row| {
            counts[row].sqrt() * rows[row][i]
        });
        let values = costs.iter().zip(counts).map(|(f, w)| w.sqrt() * f);
        let values = DVector::from_iterator(costs.len(), values);
        Self {
            gram: &scaled * scaled.transpose(),
            moments: &scaled * values,
        }
    }

    /// The factor of the Gram matrix with a ridge on all weights but the constant.
    fn factor(&self, ridge: f64) -> Option<Cholesky<f64, Dyn>> {
        const LEAST: f64 = 1e-9;
        let mut gram = self.gram.clone();
        for i in 0..gram.nrows() {
            gram[(i, i)] += if i == 0 { LEAST } else { ridge };
        }
        Cholesky::new(gram)
    }

    /// Weights of least squares with a ridge; nothing if rounding leaves none.
    pub(crate) fn weights(&self, ridge: f64) -> Option<DVector<f64>> {
        Some(self.factor(ridge)?.solve(&self.moments))
    }

    /// Weights of which N(weights, noise² (Gram + ridge)⁻¹) is the posterior, moved by a draw of it.
    pub(crate) fn drawn(
        &self,
        ridge: f64,
        noise: f64,
        normals: DVector<f64>,
    ) -> Option<DVector<f64>> {
        let factor = self.factor(ridge)?;
        let mean = factor.solve(&self.moments);
        // L⁻ᵀ ξ has covariance (L Lᵀ)⁻¹.
        let moved = factor.l().transpose().solve_upper_triangular(&normals)?;
        Some(mean + moved * noise)
    }
}

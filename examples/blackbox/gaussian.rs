//! A Gaussian law that moves in natural coordinates.

use nalgebra::{DMatrix, DVector};
use relax_runtime::prelude::*;

/// N(m, L Lᵀ), and how far a step moves it from there.
#[derive(Debug)]
pub(crate) struct Gaussian {
    mean: DVector<f64>,
    /// L, lower triangular.
    factor: DMatrix<f64>,
    /// δ, `[n]`, and κ, `[n]`, or with covariances K, `[n, n]`, its lower triangle, one after the other in `[.., n]`: the mean
    /// moves by L δ, and L becomes L (I + K) but for the diagonal, which is e^(κ/√2). To second order the divergence from where
    /// it was is half the sum of their squares.
    moved: Parameter,
}

impl Gaussian {
    /// N(0, I) of n numbers, with covariances to learn or without.
    pub(crate) fn standard(n: usize, correlated: bool) -> Self {
        let rows = if correlated { 1 + n } else { 2 };
        let still = Tensor::zeros([rows, n], &Device::cpu());
        Self {
            mean: DVector::zeros(n),
            factor: DMatrix::identity(n, n),
            moved: Parameter::new(still).named("moved"),
        }
    }

    /// The mean and the factor `[n, n]`, differentiable in what moves them.
    pub(crate) fn law(&self) -> (Tensor, Tensor) {
        let n = self.mean.len();
        let moved = self.moved.get();
        let along = moved.rows_at(&[0]);
        let one = tensor(DMatrix::<f64>::identity(n, n).as_slice()).reshape([n, n]);
        let wider = match moved.rows() {
            2 => &one * moved.rows_at(&[1]),
            rows => moved.slice(0, 1..rows),
        };
        let unit = (wider.diagonal() * std::f32::consts::FRAC_1_SQRT_2).exp();
        let turned = wider.tril(-1) + &one * unit;
        let factor = tensor(self.factor.transpose().as_slice()).reshape([n, n]);
        let mean = tensor(self.mean.as_slice()) + along.matmul_nt(&factor).squeeze(0);
        (mean, factor.matmul(&turned))
    }

    /// Starts the next step from where the last one led.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let n = self.mean.len();
        let moved = numbers(&self.moved.get())?;
        let (along, wider) = moved.split_at(n);
        let at = |i: usize, j: usize| match wider.len() == n {
            true if i == j => wider[i],
            true => 0.0,
            false => wider[i * n + j],
        };
        let turned = DMatrix::from_fn(n, n, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => (std::f64::consts::FRAC_1_SQRT_2 * at(i, i)).exp(),
            std::cmp::Ordering::Greater => at(i, j),
        });
        self.mean += &self.factor * DVector::from_column_slice(along);
        self.factor = &self.factor * turned;
        self.moved.set(self.moved.get().zeros_like().detach())
    }
}

/// As single precision.
pub(crate) fn tensor(x: &[f64]) -> Tensor {
    let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    Tensor::from_slice(&single)
}

/// As double precision.
pub(crate) fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_vec()?.into_iter().map(f64::from).collect())
}

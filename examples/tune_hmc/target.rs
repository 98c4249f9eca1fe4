//! Laws that are sampled from.

use std::f32::consts::TAU;

use relax_runtime::prelude::*;

/// A density on the numbers of a row, known up to a factor. Its slope is an expression of its own, so
/// that a trajectory that follows it can be differentiated: reverse passes return constants.
pub(crate) trait Target {
    /// Numbers of a row.
    fn dims(&self) -> usize;

    /// ln of the density, a number a row, for `x` `[rows, dims]`.
    fn log_density(&self, x: &Tensor) -> Tensor;

    /// Its slope by `x`, `[rows, dims]`.
    fn slope(&self, x: &Tensor) -> Tensor;
}

/// Independent normal numbers around zero.
pub(crate) struct Gaussian {
    /// Standard deviations.
    pub(crate) scales: Vec<f32>,
    precision: Tensor,
}

impl Gaussian {
    /// With the given standard deviations.
    pub(crate) fn new(scales: Vec<f32>) -> Self {
        let precision: Vec<f32> = scales.iter().map(|scale| scale.powi(-2)).collect();
        Self {
            precision: Tensor::from_slice(&precision),
            scales,
        }
    }
}

impl Target for Gaussian {
    fn dims(&self) -> usize {
        self.scales.len()
    }

    fn log_density(&self, x: &Tensor) -> Tensor {
        (x.square() * &self.precision).sum_from(1) * -0.5
    }

    fn slope(&self, x: &Tensor) -> Tensor {
        -(x * &self.precision)
    }
}

/// The posterior of a mixture of two normal laws given data, each datum's component summed out: a row
/// is (m₀, m₁, ln s₀, ln s₁, logit of the second weight) under standard priors, N(0, 3²) for means
/// and N(0, 1) for the others. The data are so that the components do not change their places.
pub(crate) struct Mixture {
    /// `[1, data]`.
    data: Tensor,
}

/// ln of standard deviations of the priors.
const PRIOR: [f32; 5] = [3.0, 3.0, 1.0, 1.0, 1.0];

impl Mixture {
    /// Of the given data.
    pub(crate) fn new(data: &[f32]) -> Self {
        Self {
            data: Tensor::from_slice(data).reshape([1, data.len()]),
        }
    }

    /// What a row says of component k: mean, ln s and ln weight, each `[rows, 1]`.
    fn component(x: &Tensor, k: usize) -> [Tensor; 3] {
        let column = |at: usize| x.slice(1, at..at + 1);
        let weight = match k {
            0 => (-column(4)).log_sigmoid(),
            _ => column(4).log_sigmoid(),
        };
        [column(k), column(2 + k), weight]
    }

    /// Distances in standard deviations, and ln of weight times density, `[rows, data]`, by component.
    fn parts(&self, x: &Tensor) -> [(Tensor, Tensor); 2] {
        [0, 1].map(|k| {
            let [mean, log_scale, log_weight] = Self::component(x, k);
            let distance = (&self.data - mean) * (-&log_scale).exp();
            let log_density = log_weight - log_scale - 0.5 * TAU.ln() - distance.square() * 0.5;
            (distance, log_density)
        })
    }

    fn precisions() -> Tensor {
        Tensor::from_slice(&PRIOR.map(|scale| scale.powi(-2)))
    }
}

impl Target for Mixture {
    fn dims(&self) -> usize {
        PRIOR.len()
    }

    fn log_density(&self, x: &Tensor) -> Tensor {
        let [(_, a), (_, b)] = self.parts(x);
        let prior = (x.square() * Self::precisions()).sum_from(1) * -0.5;
        // ln(eᵃ + eᵇ), of the two components.
        (&a + (b - &a).softplus()).sum_from(1) + prior
    }

    fn slope(&self, x: &Tensor) -> Tensor {
        let [(da, a), (db, b)] = self.parts(x);
        let second = (b - a).sigmoid();
        let first = 1.0 - &second;
        let mut columns = Vec::new();
        for (k, (share, distance)) in [(&first, &da), (&second, &db)].into_iter().enumerate() {
            let [_, log_scale, _] = Self::component(x, k);
            columns.push((share * distance).sum_keepdim(1) * (-log_scale).exp());
        }
        for (share, distance) in [(&first, &da), (&second, &db)] {
            columns.push((share * (distance.square() - 1.0)).sum_keepdim(1));
        }
        // By the logit: the second component's share of each datum less its weight.
        let weight = x.slice(1, 4..5).sigmoid();
        columns.push((second - weight).sum_keepdim(1));
        let columns: Vec<&Tensor> = columns.iter().collect();
        Tensor::concat(&columns, 1) - x * Self::precisions()
    }
}

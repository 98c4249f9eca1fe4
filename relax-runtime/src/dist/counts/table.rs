//! Tables: counts with few values, each with a probability of its own.

use std::marker::PhantomData;

use super::family::{CountFamily, Place, QuantileLevel};
use crate::tensor::Tensor;

/// The name of a distribution whose counts have a table of probabilities.
pub trait TableName: Clone + std::fmt::Debug + 'static {
    /// The distribution's name.
    const NAME: &'static str;
    /// The set of its values, in words.
    const SUPPORT: &'static str;
}

/// Maximum number of values that a distribution's table may have.
pub(in crate::dist) const MOST_VALUES: usize = 65_536;

/// Whole numbers from a first one on, with logits θ: the family of laws with few values.
#[derive(Clone, Debug)]
pub struct Table<N> {
    first: f64,
    values: usize,
    of: PhantomData<N>,
}

/// eˣ for x ≤ 0, with a shortcut for x = 0, which all values of a uniform range have.
#[inline]
fn share(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.exp() }
}

impl<N> Table<N> {
    /// A table of `values` values, at least one, from `first` on.
    pub(in crate::dist) fn new(first: f64, values: usize) -> Self {
        Self {
            first,
            values,
            of: PhantomData,
        }
    }

    /// The mass of each value.
    fn masses(&self, theta: &[f64]) -> Vec<f64> {
        let max = theta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let masses: Vec<f64> = theta.iter().map(|x| share(x - max)).collect();
        let total: f64 = masses.iter().sum();
        masses.into_iter().map(|x| x / total).collect()
    }

    fn place(&self, k: f64) -> usize {
        ((k - self.first).max(0.0) as usize).min(self.values - 1)
    }

    /// ln p of a value that stands for several cases, each of which is one of the table's values.
    fn log_mass_of_cases(&self, theta: &Tensor, value: &Tensor) -> Option<Tensor> {
        if value.is_tracked() || !value.has_cases() {
            return None;
        }
        let log_p = theta.log_softmax(-1);
        let all = value.shape().join(&[self.values])?;
        let log_p = match log_p.shape() == all {
            true => log_p,
            false => log_p.broadcast_to(all),
        };
        let picked = log_p.pick(&(value.unrounded() - self.first));
        picked.check().is_ok().then_some(picked)
    }

    /// The values as a tensor along the last axis of θ.
    fn numbers(&self, theta: &Tensor) -> Tensor {
        let numbers: Vec<f32> = (0..self.values)
            .map(|k| (self.first + k as f64) as f32)
            .collect();
        let numbers = Tensor::from_vec(numbers, [self.values], &theta.device());
        numbers.unwrap_or_else(Tensor::poisoned)
    }
}

impl<N: TableName> CountFamily for Table<N> {
    const NAME: &'static str = N::NAME;
    const SUPPORT: &'static str = N::SUPPORT;

    fn parameters(&self) -> Vec<&'static str> {
        vec!["logits"; self.values]
    }

    fn width(&self) -> usize {
        self.values
    }

    fn is_vector(&self) -> bool {
        true
    }

    fn is_table(&self) -> bool {
        true
    }

    fn first(&self) -> f64 {
        self.first
    }

    fn last(&self, _: f64) -> f64 {
        self.first + (self.values - 1) as f64
    }

    fn ln_mass(&self, theta: &[f64], _: f64, k: f64) -> f64 {
        let max = theta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = theta.iter().map(|x| share(x - max)).sum();
        theta[self.place(k)] - max - total.ln()
    }

    /// Between two values it is linear.
    fn log_mass(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Tensor {
        if let Some(picked) = self.log_mass_of_cases(theta, value) {
            return picked;
        }
        let near = value.unsqueeze(-1) - self.numbers(theta);
        // Its kinks are at the values, where a relaxed count never is.
        value.mark_rough();
        let weight = (1.0 - near.unrounded().abs()).kept_within(0.0, 1.0);
        let log_p = theta.log_softmax(-1);
        (log_p * weight).sum(-1)
    }

    fn moments(&self, theta: &[f64], _: f64) -> (f64, f64) {
        let masses = self.masses(theta);
        let values = (0..self.values).map(|k| self.first + k as f64);
        let pairs = || values.clone().zip(&masses);
        let mean: f64 = pairs().map(|(k, p)| k * p).sum();
        let variance: f64 = pairs().map(|(k, p)| (k - mean).powi(2) * p).sum();
        (mean, variance.sqrt())
    }

    fn mean(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        (theta.softmax(-1) * self.numbers(theta)).sum(-1)
    }

    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor {
        let apart = self.numbers(theta) - self.mean(theta, fixed).unsqueeze(-1);
        (theta.softmax(-1) * apart.square()).sum(-1)
    }

    fn tails(&self, theta: &[f64], _: f64, k: f64) -> (f64, f64) {
        let masses = self.masses(theta);
        let (lower, upper) = masses.split_at(self.place(k) + 1);
        (lower.iter().sum(), upper.iter().sum())
    }

    fn draw(&self, theta: &[f64], _: f64, u: QuantileLevel) -> f64 {
        let masses = self.masses(theta);
        let mut sum = 0.0;
        let place = match u.below <= u.above {
            true => masses.iter().position(|p| {
                sum += p;
                sum > u.below
            }),
            // The first value above which less than 1 − u is left.
            false => masses.iter().rposition(|p| {
                sum += p;
                sum >= u.above
            }),
        };
        self.first + place.unwrap_or(0) as f64
    }

    /// For the logit of each value j: −[∂F(b − 1)/∂θ + v ∂p/∂θ]/p with ∂F(b − 1)/∂θ = p_j (\[j < b\] −
    /// F(b − 1)) and ∂p/∂θ = p ([j = b] − p_j).
    fn kappa(&self, theta: &[f64], _: f64, at: Place, kappa: &mut [f64]) {
        let masses = self.masses(theta);
        let b = self.place(at.b);
        let own = masses[b];
        let (lower, upper) = (
            masses[..b].iter().sum::<f64>(),
            masses[b + 1..].iter().sum::<f64>(),
        );
        // The share of p_j in what lies below and above u in all other steps.
        let (below, above) = (lower + at.v * own, upper + (1.0 - at.v) * own);
        for (j, (kappa, p)) in kappa.iter_mut().zip(&masses).enumerate() {
            *kappa = match j.cmp(&b) {
                std::cmp::Ordering::Less => -p * above / own,
                std::cmp::Ordering::Greater => p * below / own,
                std::cmp::Ordering::Equal => below - at.v,
            };
        }
    }
}

//! The parts of a policy gradient's variance, without bias, from few returns a state.
//!
//! For one step of an episode and ĝ = (Â − φ) ∇ln π + ∇E\[φ\], with Â the return that followed (Tucker et al. 2018,
//! section 3): Σ_τ = E\[Var(Â | s, a) |∇ln π|²\], Σ_a = E_s Var_a((Q − φ) ∇ln π) and Σ_s = Var_s(E_a\[Q ∇ln π\]). In a
//! product of two Q, each comes from a separate future.

use relax_runtime::prelude::*;

use crate::policy::Policy;

/// How a state's score looks in the weights of the policy: score vectors are combinations of the Jacobian's
/// rows, one for each of the law's parameters, and their products go by the rows' products.
pub(crate) struct Scores {
    /// `[parameters of the law][weights]`.
    jacobian: Vec<Vec<f32>>,
    gram: Vec<f64>,
}

impl Scores {
    /// At one observation.
    ///
    /// # Errors
    /// If a weight is no number any more.
    pub(crate) fn at(policy: &Policy, observed: &[f32]) -> Result<Self> {
        let numbers: usize = policy
            .theta(observed.to_vec())?
            .iter()
            .map(Tensor::len)
            .sum();
        let row = |k: usize| {
            // A graph is used up by each of its reverse passes.
            let theta = policy.theta(observed.to_vec())?;
            let mut before = 0;
            let mut cotangents = Vec::new();
            for part in &theta {
                let unit: Vec<f32> = (0..part.len())
                    .map(|i| f32::from(u8::from(before + i == k)))
                    .collect();
                before += part.len();
                cotangents.push(Tensor::from_vec(unit, part.shape(), &Device::cpu())?);
            }
            let outputs: Vec<_> = theta.iter().zip(cotangents.iter().map(Some)).collect();
            policy.pull(&outputs)
        };
        let jacobian = (0..numbers).map(row).collect::<Result<Vec<_>>>()?;
        let dot = |a: &[f32], b: &[f32]| {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum::<f64>()
        };
        let pairs = jacobian
            .iter()
            .flat_map(|a| jacobian.iter().map(move |b| dot(a, b)));
        Ok(Self {
            gram: pairs.collect(),
            jacobian,
        })
    }

    /// ⟨x, y⟩ of two gradients given by the law's parameters.
    pub(crate) fn inner(&self, x: &[f64], y: &[f64]) -> f64 {
        let n = self.jacobian.len();
        let terms = (0..n * n).map(|at| x[at / n] * y[at % n] * self.gram[at]);
        terms.sum()
    }

    /// Adds a gradient by the law's parameters, in the weights.
    pub(crate) fn add_to(&self, sum: &mut Vec<f64>, x: &[f64]) {
        for (x, row) in x.iter().zip(&self.jacobian) {
            sum.resize(row.len(), 0.0);
            for (sum, by_weight) in sum.iter_mut().zip(row) {
                *sum += x * f64::from(*by_weight);
            }
        }
    }
}

/// Returns of two futures from one state and action.
pub(crate) type Pair = [f64; 2];

/// What all actions of a state give, each weighted by its probability.
pub(crate) struct AllActions<'a> {
    pub(crate) scores: &'a Scores,
    pub(crate) probabilities: &'a [f64],
    /// Returns, or costs.
    pub(crate) costs: &'a [Pair],
}

impl AllActions<'_> {
    /// ∇ ln π(a) by logits.
    fn score(&self, action: usize) -> Vec<f64> {
        let p = self.probabilities.iter().enumerate();
        p.map(|(k, p)| f64::from(u8::from(k == action)) - p)
            .collect()
    }

    /// Σ_τ of the state.
    pub(crate) fn future(&self) -> f64 {
        let terms = self.costs.iter().enumerate().map(|(action, [x, y])| {
            let score = self.score(action);
            self.probabilities[action] * 0.5 * (x - y).powi(2) * self.scores.inner(&score, &score)
        });
        terms.sum()
    }

    /// |E_a\[Q ∇ln π\]|², and the expectation itself by logits.
    pub(crate) fn mean(&self) -> (f64, Vec<f64>) {
        let (mut square, mut mean) = (0.0, vec![0.0; self.costs.len()]);
        for (a, [ax, ay]) in self.costs.iter().enumerate() {
            let of_a = self.score(a);
            for (b, [bx, by]) in self.costs.iter().enumerate() {
                let product = match a == b {
                    true => ax * ay,
                    false => 0.25 * (ax + ay) * (bx + by),
                };
                let weight = self.probabilities[a] * self.probabilities[b];
                square += weight * product * self.scores.inner(&of_a, &self.score(b));
            }
            let weight = self.probabilities[a] * 0.5 * (ax + ay);
            let pairs = mean.iter_mut().zip(&of_a);
            pairs.for_each(|(mean, score)| *mean += weight * score);
        }
        (square, mean)
    }

    /// E_a|(Q − φ) ∇ln π|² for the φ of each action.
    pub(crate) fn square(&self, phi: &[f64]) -> f64 {
        let terms = self.costs.iter().enumerate().map(|(action, [x, y])| {
            let score = self.score(action);
            let rest = (x - phi[action]) * (y - phi[action]);
            self.probabilities[action] * rest * self.scores.inner(&score, &score)
        });
        terms.sum()
    }
}

/// The mean of ⟨x, y⟩ over draws of a gradient that was made with each of two futures.
pub(crate) fn mean_square(scores: &Scores, draws: &[[Vec<f64>; 2]]) -> f64 {
    let squares = draws.iter().map(|[x, y]| scores.inner(x, y));
    squares.sum::<f64>() / draws.len().max(1) as f64
}

/// |E g|² by pairs of different draws, and the mean itself.
pub(crate) fn square_of_mean(scores: &Scores, draws: &[[Vec<f64>; 2]]) -> (f64, Vec<f64>) {
    let numbers = draws.first().map_or(0, |[x, _]| x.len());
    let mut sum = vec![0.0; numbers];
    let mut own = 0.0;
    for [x, y] in draws {
        let both: Vec<f64> = x.iter().zip(y).map(|(x, y)| 0.5 * (x + y)).collect();
        own += scores.inner(&both, &both);
        let pairs = sum.iter_mut().zip(&both);
        pairs.for_each(|(sum, x)| *sum += x);
    }
    let n = draws.len() as f64;
    let square = (scores.inner(&sum, &sum) - own) / (n * (n - 1.0));
    (square, sum.iter().map(|x| x / n).collect())
}

//! A surrogate for each of many coins, which sees what the others show.
//!
//! For coin i it is a guess of the cost averaged over the coin itself, made from the other coins as they fell: of a
//! coin's own surrogates, the one that leaves the least variance. The optimal one is (1 − p) f(1, b₋ᵢ) + p f(0, b₋ᵢ).
//! The guess is a linear function of the coins, fitted to past draws alone, so the estimate is unbiased whatever the
//! cost is.

use relax_runtime::dist::{BernoulliRelaxation, Relaxation};
use relax_runtime::estimator::{Noise, Problem, black_box, relax};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{Surrogate, Surroundings};

/// The guess that a row of its context holds.
#[derive(Debug)]
struct Guess;

impl Surrogate for Guess {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let rows = Shape::try_from(&z.shape()[..around.plates])?;
        Ok(match around.context {
            Some(guess) => guess.reshape(rows),
            None => Tensor::zeros(rows, &z.device()),
        })
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn evaluations(&self) -> usize {
        0
    }
}

/// A linear function w₀ + Σ wⱼ (bⱼ − ½), fitted draw by draw.
pub(crate) struct Linear {
    weights: Vec<f64>,
    /// w₀; starts at the first cost.
    origin: Option<f64>,
}

impl Linear {
    pub(crate) fn new(coins: usize) -> Self {
        Self {
            weights: vec![0.0; coins],
            origin: None,
        }
    }

    fn of(&self, sides: &[f32]) -> f64 {
        let terms = self.weights.iter().zip(sides);
        self.origin.unwrap_or(0.0) + terms.map(|(w, b)| w * (f64::from(*b) - 0.5)).sum::<f64>()
    }

    /// The projection on what agrees with a draw (Kaczmarz 1937), which is normalised least mean squares
    /// with a step of 1: for a cost that is linear, errors fall by 1 − 1/(D + 1) a draw.
    fn learn(&mut self, sides: &[f32], cost: f64) {
        const ORIGIN: f64 = 1.0;
        let origin = *self.origin.get_or_insert(cost);
        let rest = cost - self.of(sides);
        let length = ORIGIN + 0.25 * sides.len() as f64;
        self.origin = Some(origin + rest * ORIGIN / length);
        for (w, b) in self.weights.iter_mut().zip(sides) {
            *w += rest * (f64::from(*b) - 0.5) / length;
        }
    }
}

/// The gradient by the logits of fair coins, one evaluation of `cost`; the function learns from it afterwards.
///
/// # Errors
/// If a number is none.
pub(crate) fn estimate(
    function: &mut Linear,
    coins: usize,
    cost: impl Fn(&[f32]) -> f64,
    key: Key,
) -> Result<Vec<f32>> {
    let device = Device::cpu();
    let theta = Tensor::zeros([coins, 1], &device);
    let noise = Noise::coupled(key.stream("b").noise([coins, 1], &device)?);
    let z = BernoulliRelaxation.relaxed(&theta, &noise.u);
    let sides = BernoulliRelaxation.hard(&z).to_vec()?;
    let (found, guess) = (cost(&sides), function.of(&sides));
    // Of the cost less the guess for all coins, so that f32 holds the differences.
    let own = function.weights.iter().zip(&sides);
    let left_out: Vec<f32> = own
        .map(|(w, b)| (-w * (f64::from(*b) - 0.5)) as f32)
        .collect();
    let context = Tensor::from_vec(left_out, [coins, 1], &device)?;
    let rest = Tensor::full([coins], (found - guess) as f32, &device);
    let problem = Problem {
        context: Some(&context),
        ..Problem::new(&BernoulliRelaxation, &theta, &noise).rows()
    };
    let estimate = relax(problem, &black_box(|_| Ok(rest.clone())), &Guess)?;
    function.learn(&sides, found);
    estimate.gradient.to_vec()
}

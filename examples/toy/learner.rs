//! One gradient estimator, learning the logit of the coin.

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Estimate, Noise, Problem, differentiable, disarm, relax, rloo};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::Surrogate;

/// Of θ and of the surrogate.
pub(crate) const LEARNING_RATE: f32 = 0.01;

/// An estimator on its way: it is the RELAX formula with a surrogate of its own.
pub(crate) struct Learner {
    pub(crate) name: &'static str,
    coin: Coin,
    theta: Parameter,
    optimizer: Optimizer,
    surrogate: Box<dyn Surrogate>,
    surrogate_optimizer: Optimizer,
}

/// Where a learner stands.
#[derive(Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) theta: f64,
    /// E[(b − t)²], exactly.
    pub(crate) loss: f64,
    /// Variance of the gradient estimate, with the surrogate as it is now.
    pub(crate) variance: f64,
}

impl Learner {
    /// Starts at θ = 0.
    pub(crate) fn new(
        name: &'static str,
        target: f32,
        surrogate: impl Surrogate + 'static,
    ) -> Result<Self> {
        Ok(Self {
            name,
            coin: Coin { target },
            theta: Parameter::new(Tensor::from_slice(&[0.0])),
            optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
            surrogate: Box::new(surrogate),
            surrogate_optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
        })
    }

    /// Where it is.
    pub(crate) fn theta(&self) -> Tensor {
        self.theta.get().detach()
    }

    fn estimate(&self, theta: &Tensor, u: Tensor) -> Result<Estimate> {
        let noise = Noise::coupled(u);
        relax(
            problem(theta, &noise),
            &differentiable(|b| Ok(self.coin.cost(b))),
            &*self.surrogate,
        )
    }

    /// Takes one draw; moves θ against the gradient of the cost, and the surrogate against the
    /// gradient of the variance.
    pub(crate) fn step(&mut self, key: Key) -> Result<()> {
        let gradient = self.look_on(&self.theta(), key)?;
        self.optimizer.update(&[(self.theta.clone(), gradient)])
    }

    /// Takes one draw at another θ; the surrogate alone learns from it. Returns the gradient.
    pub(crate) fn look_on(&mut self, theta: &Tensor, key: Key) -> Result<Tensor> {
        let u = key.stream("u").uniforms([1], &Device::cpu())?;
        let estimate = self.estimate(theta, u)?;
        let parameters = self.surrogate.parameters().into_iter();
        let gradients: Vec<_> = parameters.zip(estimate.variance_gradient).collect();
        self.surrogate_optimizer.update(&gradients)?;
        Ok(estimate.gradient)
    }

    /// Measures loss and variance.
    pub(crate) fn measure(&self) -> Result<Measurement> {
        let theta = self.theta();
        let ([f0, f1], p) = (self.coin.costs(), probability(&theta)?);
        Ok(Measurement {
            theta: f64::from(theta.item()?),
            loss: p * f1 + (1.0 - p) * f0,
            variance: self.variance_at(&theta)?,
        })
    }

    /// The variance of the gradient estimate at a given θ. With z̃ coupled to z an estimate is a
    /// function of one uniform number, so a grid of them gives it without sampling error.
    pub(crate) fn variance_at(&self, theta: &Tensor) -> Result<f64> {
        let (u, weights) = grid(probability(theta)?);
        let rows = theta.broadcast_to([u.len()]);
        let estimate = self.estimate(&rows, u)?;
        variance(&estimate.gradient, &weights)
    }
}

/// The problem of one coin, a row a draw.
fn problem<'a>(theta: &'a Tensor, noise: &'a Noise) -> Problem<'a> {
    Problem::new(&BernoulliRelaxation, theta, noise).rows()
}

/// A coin whose cost is (b − t)², and estimators that learn nothing.
#[derive(Clone, Copy)]
pub(crate) struct Coin {
    pub(crate) target: f32,
}

impl Coin {
    fn cost(self, b: &Tensor) -> Tensor {
        (b - self.target).square()
    }

    /// Of both sides.
    fn costs(self) -> [f64; 2] {
        let t = f64::from(self.target);
        [t.powi(2), (1.0 - t).powi(2)]
    }

    /// Variance of REINFORCE with a constant baseline c, p (1 − p) ((1 − p) f(1) + p f(0) − c)²: as c
    /// the expected cost, which a moving average of past costs tends to.
    pub(crate) fn mean_as_baseline(self, theta: &Tensor) -> Result<f64> {
        let ([f0, f1], p) = (self.costs(), probability(theta)?);
        let q = 1.0 - p;
        Ok(p * q * ((q * f1 + p * f0) - (p * f1 + q * f0)).powi(2))
    }

    /// Variance of the leave-one-out estimate of two draws.
    pub(crate) fn rloo(self, theta: &Tensor) -> Result<f64> {
        // Nothing counts of a uniform number but the side that it is on.
        let p = probability(theta)?;
        let sides = [(0.5 * (1.0 - p), 1.0 - p), (1.0 - 0.5 * p, p)];
        let (mut first, mut second, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (a, by_a) in sides {
            for (b, by_b) in sides {
                first.push(a as f32);
                second.push(b as f32);
                weights.push(by_a * by_b);
            }
        }
        let noise = Noise {
            further: vec![Tensor::from_slice(&second)],
            ..Noise::coupled(Tensor::from_slice(&first))
        };
        let rows = theta.broadcast_to([weights.len()]);
        let estimate = rloo(
            problem(&rows, &noise),
            &differentiable(|b| Ok(self.cost(b))),
        )?;
        variance(&estimate.gradient, &weights)
    }

    /// Variance of DisARM, of two draws.
    pub(crate) fn disarm(self, theta: &Tensor) -> Result<f64> {
        // Nothing counts of the uniform number but on which side of p and of 1 − p it is.
        let p = probability(theta)?;
        let (low, high) = (p.min(1.0 - p), p.max(1.0 - p));
        let intervals = [(0.0, low), (low, high), (high, 1.0)];
        let middle = intervals.map(|(start, end)| (0.5 * (start + end)) as f32);
        let weights = intervals.map(|(start, end)| end - start);
        let noise = Noise::coupled(Tensor::from_slice(&middle));
        let rows = theta.broadcast_to([weights.len()]);
        let estimate = disarm(
            problem(&rows, &noise),
            &differentiable(|b| Ok(self.cost(b))),
        )?;
        variance(&estimate.gradient, &weights)
    }
}

fn probability(theta: &Tensor) -> Result<f64> {
    Ok(1.0 / (1.0 + (-f64::from(theta.item()?)).exp()))
}

/// Uniform numbers and their weights: each side of the coin gets half of them, however rare it is.
fn grid(p: f64) -> (Tensor, Vec<f64>) {
    const HALF: usize = 5_000;
    let (mut grid, mut weights) = (Vec::new(), Vec::new());
    for (start, length) in [(0.0, 1.0 - p), (1.0 - p, p)] {
        for i in 0..HALF {
            grid.push((start + length * (i as f64 + 0.5) / HALF as f64) as f32);
            weights.push(length / HALF as f64);
        }
    }
    (Tensor::from_slice(&grid), weights)
}

fn variance(gradients: &Tensor, weights: &[f64]) -> Result<f64> {
    let gradients = gradients.to_vec()?;
    let expect = |of: &dyn Fn(f64) -> f64| {
        let terms = gradients.iter().zip(weights);
        terms
            .map(|(&g, weight)| weight * of(f64::from(g)))
            .sum::<f64>()
    };
    let mean = expect(&|g| g);
    Ok(expect(&|g| (g - mean).powi(2)))
}

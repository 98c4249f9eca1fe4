//! One gradient estimator, learning the logit of the coin.

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Estimate, Noise, Problem, differentiable, relax};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::Surrogate;

/// Of θ and of the surrogate.
pub(crate) const LEARNING_RATE: f32 = 0.01;

/// An estimator on its way: it is the RELAX formula with a surrogate of its own.
pub(crate) struct Learner {
    pub(crate) name: &'static str,
    target: f32,
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
            target,
            theta: Parameter::new(Tensor::from_slice(&[0.0])),
            optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
            surrogate: Box::new(surrogate),
            surrogate_optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
        })
    }

    /// Estimates the gradient at `theta` from uniform numbers `u`, one row a draw.
    fn estimate(&self, theta: &Tensor, u: Tensor) -> Result<Estimate> {
        let noise = Noise {
            u,
            v: None,
            further: Vec::new(),
        };
        let problem = Problem::new(&BernoulliRelaxation, theta, &noise).rows();
        let cost = differentiable(|b| Ok((b - self.target).square()));
        relax(problem, &cost, &*self.surrogate)
    }

    /// Takes one draw; moves θ against the gradient of the cost, and the surrogate against the
    /// gradient of the variance.
    pub(crate) fn step(&mut self, key: Key) -> Result<()> {
        let u = key.stream("u").uniforms([1], &Device::cpu())?;
        let estimate = self.estimate(&self.theta.get(), u)?;
        self.optimizer
            .update(&[(self.theta.clone(), estimate.gradient)])?;
        let parameters = self.surrogate.parameters().into_iter();
        let gradients: Vec<_> = parameters.zip(estimate.variance_gradient).collect();
        self.surrogate_optimizer.update(&gradients)
    }

    /// Measures loss and variance. With z̃ coupled to z an estimate is a function of one uniform
    /// number, so a grid of them gives the variance without sampling error.
    pub(crate) fn measure(&self) -> Result<Measurement> {
        const HALF: usize = 5_000;
        let logit = self.theta.get();
        let (theta, t) = (f64::from(logit.item()?), f64::from(self.target));
        let p = 1.0 / (1.0 + (-theta).exp());

        // Each side of the coin gets half of the grid, however rare it is.
        let (mut grid, mut weights) = (Vec::new(), Vec::new());
        for (start, length) in [(0.0, 1.0 - p), (1.0 - p, p)] {
            for i in 0..HALF {
                grid.push((start + length * (i as f64 + 0.5) / HALF as f64) as f32);
                weights.push(length / HALF as f64);
            }
        }
        let rows = logit.broadcast_to([2 * HALF]);
        let estimate = self.estimate(&rows, Tensor::from_slice(&grid))?;
        let gradients: Vec<f64> = estimate
            .gradient
            .to_vec()?
            .into_iter()
            .map(f64::from)
            .collect();
        let expect = |of: &dyn Fn(f64) -> f64| {
            let terms = gradients.iter().zip(&weights);
            terms.map(|(&g, weight)| weight * of(g)).sum::<f64>()
        };
        let mean = expect(&|g| g);
        Ok(Measurement {
            theta,
            loss: p * (1.0 - t).powi(2) + (1.0 - p) * t.powi(2),
            variance: expect(&|g| (g - mean).powi(2)),
        })
    }
}

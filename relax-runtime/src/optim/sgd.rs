//! Stochastic gradient descent.

use super::rule::{check_fraction, check_positive};
use super::{Rule, Step, harmless};
use crate::error::Result;
use crate::tensor::Element;

/// Gradient descent, optionally with momentum.
///
/// ```
/// use relax_runtime::optim::Optimizer;
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let x = Parameter::new(Tensor::scalar(3.0));
/// let mut optimizer = Optimizer::new(Sgd::new(0.1).momentum(0.9))?;
/// for _ in 0..2 {
///     optimizer.update(&[(x.clone(), Tensor::scalar(2.0))])?;
/// }
/// // 0.1 · 2, then 0.1 · (0.9 · 2 + 2).
/// assert!((x.get().item()? - 2.42).abs() < 1e-5);
/// // As the rule of a training:
/// let trainer = Trainer::new(1).optimizer(Sgd::new(0.1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    learning_rate: f32,
    momentum: f32,
}

impl Sgd {
    /// Plain gradient descent.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            momentum: 0.0,
        }
    }

    /// Heavy-ball momentum, from 0 to below 1.
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// A value after a step against g, and its velocity, from those before.
    #[inline(always)]
    pub(super) fn step<E: Element>(&self, [x, g, velocity]: [E; 3]) -> [E; 2] {
        let velocity = (velocity * self.momentum + g).flushed();
        let moved = velocity.clone() * self.learning_rate;
        [(x - moved).flushed(), velocity]
    }

    /// The size below which gradients keep all its numbers finite.
    pub(super) fn harmless(&self) -> f32 {
        harmless(self.learning_rate, 1.0 - self.momentum)
    }
}

impl Rule for Sgd {
    fn kind(&self) -> String {
        "SGD".into()
    }

    fn slots(&self) -> usize {
        1
    }

    fn apply(&self, _: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        for ((x, &g), velocity) in values.iter_mut().zip(gradient).zip(&mut slots[0]) {
            [*x, *velocity] = self.step([*x, g, *velocity]);
        }
    }

    fn slower(&self, factor: f32) -> Option<Box<dyn Rule>> {
        Some(Box::new(Self {
            learning_rate: self.learning_rate * factor,
            ..*self
        }))
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        check_positive("learning rate", self.learning_rate)?;
        check_fraction("momentum", self.momentum)
    }
}

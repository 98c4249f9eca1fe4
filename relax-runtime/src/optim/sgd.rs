//! Stochastic gradient descent.

use super::{Rule, check_fraction, check_positive, flushed, harmless};
use crate::error::Result;

/// Gradient descent, with momentum if asked for.
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

    /// The size of gradients that keep all its numbers finite.
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

    fn apply(&self, _: [f32; 2], values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        for ((x, &g), velocity) in values.iter_mut().zip(gradient).zip(&mut slots[0]) {
            *velocity = flushed(self.momentum * *velocity + g);
            *x = flushed(*x - self.learning_rate * *velocity);
        }
    }

    fn slower(&self, factor: f32) -> Option<Box<dyn Rule>> {
        Some(Box::new(Self {
            learning_rate: self.learning_rate * factor,
            ..*self
        }))
    }

    fn check(&self) -> Result<()> {
        check_positive("learning rate", self.learning_rate)?;
        check_fraction("momentum", self.momentum)
    }
}

//! RMSprop (Tieleman and Hinton, 2012).

use super::{Rule, check_fraction, check_positive, flushed, harmless};
use crate::error::Result;

/// Gradient descent by the gradient over its running root mean square.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    learning_rate: f32,
    decay: f32,
    epsilon: f32,
}

impl RmsProp {
    /// RMSprop with decay 0.99 and ε = 10⁻⁸.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            decay: 0.99,
            epsilon: 1e-8,
        }
    }

    /// Decay of the running mean square, from 0 to below 1.
    #[must_use]
    pub fn decay(mut self, decay: f32) -> Self {
        self.decay = decay;
        self
    }

    /// The size of gradients that keep all its numbers finite.
    pub(super) fn harmless(&self) -> f32 {
        harmless(self.learning_rate, 1.0 - self.decay)
    }
}

impl Rule for RmsProp {
    fn kind(&self) -> String {
        "RMSprop".into()
    }

    fn slots(&self) -> usize {
        1
    }

    fn apply(&self, _: [f32; 2], values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        for ((x, &g), square) in values.iter_mut().zip(gradient).zip(&mut slots[0]) {
            *square = flushed(*square + (1.0 - self.decay) * (g * g - *square));
            *x = flushed(*x - self.learning_rate * g / (square.sqrt() + self.epsilon));
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
        check_fraction("decay", self.decay)
    }
}

//! RMSprop (Tieleman and Hinton, 2012).

use super::rule::{check_fraction, check_positive};
use super::{Rule, Step, harmless};
use crate::error::Result;
use crate::tensor::Element;

/// RMSprop: gradient descent by the gradient over its running root mean square.
///
/// ```
/// use relax_runtime::optim::Optimizer;
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let x = Parameter::new(Tensor::scalar(3.0));
/// let mut optimizer = Optimizer::new(RmsProp::new(0.01))?;
/// optimizer.update(&[(x.clone(), Tensor::scalar(5.0))])?;
/// // The mean square starts at 0: 0.01 · 5/√(0.01 · 5²), whatever the gradient's size.
/// assert!((x.get().item()? - 2.9).abs() < 1e-4);
/// // As the rule of a training:
/// let trainer = Trainer::new(1).optimizer(RmsProp::new(0.01).decay(0.9));
/// # Ok(())
/// # }
/// ```
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

    /// A value after a step against g, and its mean square, from those before.
    #[inline(always)]
    pub(super) fn step<E: Element>(&self, [x, g, square]: [E; 3]) -> [E; 2] {
        let gain = (g.clone() * g.clone() - square.clone()) * (1.0 - self.decay);
        let square = (square + gain).flushed();
        let root = square.sqrt() + self.epsilon;
        [(x - g * self.learning_rate / root).flushed(), square]
    }

    /// The size below which gradients keep all its numbers finite.
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

    fn apply(&self, _: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        for ((x, &g), square) in values.iter_mut().zip(gradient).zip(&mut slots[0]) {
            [*x, *square] = self.step([*x, g, *square]);
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
        check_fraction("decay", self.decay)
    }
}

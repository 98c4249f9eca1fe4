//! Adam (Kingma and Ba, 2015) and, with weight decay, AdamW (Loshchilov and Hutter, 2019).

use super::rule::{check_fraction, check_positive};
use super::{Rule, Step, harmless};
use crate::error::{Error, Result};
use crate::tensor::Element;
use crate::tensor::native::threads::{fill, rows_a_share};

/// The usual ε.
const EPSILON: f32 = 1e-8;

/// Adam with bias correction.
///
/// ```
/// # use relax_runtime::prelude::*;
/// // AdamW, with a long memory of the gradients' squares.
/// let trainer = Trainer::new(1).optimizer(Adam::new(0.004).betas(0.9, 0.99999).weight_decay(0.03));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    learning_rate: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: EPSILON,
            weight_decay: 0.0,
        }
    }

    /// Decay rates of the first and second moment, each from 0 to below 1.
    #[must_use]
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Added to the root of the second moment, in units of the gradient: coordinates whose gradients are
    /// much smaller move in proportion to them. Below the usual 10⁻⁸ every step is checked afterwards, which
    /// takes time, since its numbers may be too large for an f32.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// The decoupled weight decay of Loshchilov and Hutter (2019, algorithm 2), from 0 to one over the rate:
    /// besides following the gradient, each step removes this fraction of each value, times the learning
    /// rate. All that the optimizer moves decays, including biases and a guide's numbers; surrogates, which
    /// have rules of their own, do not.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// A value after a step against g, and its two moments, from those before.
    #[inline(always)]
    pub(super) fn step<E: Element>(
        &self,
        [rate, inverse]: [f32; 2],
        [x, g, first, second]: [E; 4],
    ) -> [E; 3] {
        let first = (first.clone() + (g.clone() - first) * (1.0 - self.beta1)).flushed();
        let second = (second.clone() + (g.clone() * g - second) * (1.0 - self.beta2)).flushed();
        let root = (second.clone() * inverse).sqrt() + self.epsilon;
        let kept = x * (1.0 - self.learning_rate * self.weight_decay);
        [
            (kept - first.clone() * rate / root).flushed(),
            first,
            second,
        ]
    }

    /// The size below which gradients keep all its numbers finite.
    pub(super) fn harmless(&self) -> f32 {
        match self.epsilon >= EPSILON {
            true => harmless(self.learning_rate, (1.0 - self.beta1).min(1.0 - self.beta2)),
            false => 0.0,
        }
    }
}

impl Rule for Adam {
    fn kind(&self) -> String {
        format!("Adam with betas {} and {}", self.beta1, self.beta2)
    }

    fn slots(&self) -> usize {
        2
    }

    /// The rate and the inverse weight of the second moment, both corrected for the start at zero.
    fn factors(&self, step: u64) -> [f32; 2] {
        // βᵗ ≤ e^(−t (1 − β)); below 2⁻²⁵ it leaves an f32 of 1 as it is.
        const LAST: f64 = 18.0;
        let step = step as f64;
        let correction = |beta: f32| match f64::from(beta) {
            beta if step * (1.0 - beta) > LAST => 1.0,
            beta => (1.0 - beta.powf(step)) as f32,
        };
        [
            self.learning_rate / correction(self.beta1),
            1.0 / correction(self.beta2),
        ]
    }

    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let [rate, inverse] = step.factors;
        let [first, second] = slots else { return };
        let outs = [values, &mut first[..], &mut second[..]].map(|out| (out, 1));
        fill(outs, rows_a_share(1), |range, outs| {
            update(self, rate, inverse, &gradient[range], outs);
        });
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
        check_fraction("beta1", self.beta1)?;
        check_fraction("beta2", self.beta2)?;
        check_positive("epsilon", self.epsilon)?;
        if (0.0..=1.0).contains(&(self.learning_rate * self.weight_decay)) {
            return Ok(());
        }
        Err(Error::Config {
            setting: "weight decay",
            problem: format!(
                "is {} at a learning rate of {}; give a number from 0 to one over the rate",
                self.weight_decay, self.learning_rate
            ),
        })
    }
}

vectorised! {
    fn update(
        adam: &Adam,
        rate: f32,
        inverse: f32,
        gradient: &[f32],
        outs: [&mut [f32]; 3],
    ) {
        let [values, first, second] = outs;
        let moments = first.iter_mut().zip(second);
        for ((x, &g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
            [*x, *m, *v] = adam.step([rate, inverse], [*x, g, *m, *v]);
        }
    }
}

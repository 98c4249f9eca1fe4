//! Steps of a given length, whatever the unit of the costs.

use relax_runtime::optim::{Rule, Step};
use relax_runtime::prelude::*;

/// Momentum over the root mean square of the gradients' lengths: Adam with one second moment for all numbers, which
/// leaves the direction alone. In natural coordinates a step of that length is one of a bounded divergence, as in
/// natural evolution strategies (Wierstra et al. 2014) and MORE (Abdolmaleki et al. 2015).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// The step's length.
    pub(crate) length: f32,
}

const BETAS: [f32; 2] = [0.9, 0.95];

impl Rule for Trust {
    fn kind(&self) -> String {
        "Trust".into()
    }

    fn slots(&self) -> usize {
        2
    }

    fn factors(&self, step: u64) -> [f32; 2] {
        BETAS.map(|beta| (1.0 - f64::from(beta).powf(step as f64)).recip() as f32)
    }

    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let [first, second] = step.factors;
        let [mean, square] = slots else { return };
        let Some(square) = square.first_mut() else {
            return;
        };
        let squares: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        *square += (1.0 - BETAS[1]) * (squares as f32 - *square);
        let length = (*square * second).sqrt();
        for ((x, m), g) in values.iter_mut().zip(mean).zip(gradient) {
            *m += (1.0 - BETAS[0]) * (g - *m);
            if length > 0.0 {
                *x -= self.length * first * *m / length;
            }
        }
    }

    fn check(&self) -> Result<()> {
        match self.length.is_finite() && self.length > 0.0 {
            true => Ok(()),
            false => Err(Error::Config {
                setting: "step length",
                problem: "it must be a positive number".into(),
            }),
        }
    }
}

//! Settings of training, in addition to those of estimates.

use super::recording::Recording;
use super::trainer::Trainer;
use crate::error::Error;
use crate::infer::estimation::Estimation;
use crate::infer::settings::Configure;
use crate::optim::{Optimizer, Rule};
use crate::tensor::Parameter;

/// Settings of everything that trains: [`Svi`](crate::infer::Svi), [`Minimize`](crate::infer::Minimize) and
/// [`Trainer`]. An invalid one is an error at the first step.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!(&b * 0.3 + 0.2);
/// }
///
/// # fn main() -> Result<()> {
/// let program = coin();
/// let training = Minimize::new(&program).particles(4).optimizer(Sgd::new(0.1));
/// let trained = training.steps(20).run()?;
/// assert_eq!(trained.trainer().steps_taken(), 20);
///
/// let refused = Minimize::new(&program).particles(0).steps(1).run();
/// assert!(matches!(refused, Err(Error::Config { setting: "particles", .. })));
/// # Ok(())
/// # }
/// ```
pub trait ConfigureTraining: Configure {
    #[doc(hidden)]
    fn training(&mut self) -> &mut Trainer;

    /// Draws per step; their estimates are averaged. The default is 1; 0 is an error.
    #[must_use]
    fn particles(mut self, particles: usize) -> Self {
        let estimation = self.estimation();
        estimation.particles = particles;
        estimation.take(match particles {
            0 => Err(Error::Config {
                setting: "particles",
                problem: "is 0; give at least one".into(),
            }),
            _ => Ok(()),
        });
        self
    }

    /// How parameters follow their gradients. The default is Adam at rate 0.01, or, if a run goes on until it has
    /// settled, at rates from 0.05 down, in units of the guide's scales. The memory of the previous rule is forgotten,
    /// even if it came from a checkpoint. Invalid numbers, such as a NaN learning rate, are an error.
    #[must_use]
    fn optimizer(mut self, rule: impl Rule + 'static) -> Self {
        let trainer = self.training();
        let set = Optimizer::new(rule).map(|optimizer| trainer.optimizer = optimizer);
        trainer.estimation.take(set);
        self
    }

    /// Records a variance ledger; by default there is none. It is about estimates from draws, so [`Svi`](crate::infer::Svi)
    /// then draws what it would sum out, as with [`draw_all`](crate::infer::Svi::draw_all), and starts once; beyond that
    /// training does not change by a single bit. Checkpoints hold it, with the state of its rivals.
    #[must_use]
    fn record(mut self, recording: Recording) -> Self {
        let trainer = self.training();
        let set = recording
            .checked()
            .map(|recording| trainer.start_recording(recording));
        trainer.estimation.take(set);
        self
    }

    /// Parameters of layers, each with its own name, for checkpoints to hold: all that the objectives train. One that
    /// several layers share may be listed several times.
    #[must_use]
    fn layers(mut self, parameters: Vec<Parameter>) -> Self {
        self.training().hold(parameters);
        self
    }
}

impl Configure for Trainer {
    fn estimation(&mut self) -> &mut Estimation {
        &mut self.estimation
    }
}

impl ConfigureTraining for Trainer {
    fn training(&mut self) -> &mut Trainer {
        self
    }
}

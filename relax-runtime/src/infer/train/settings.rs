//! What everything that trains can be told beside the settings of estimates.

use super::recording::Recording;
use super::trainer::Trainer;
use crate::error::Error;
use crate::infer::estimation::Estimation;
use crate::infer::settings::Configure;
use crate::optim::{Optimizer, Rule};
use crate::tensor::Parameter;

/// Settings of everything that trains: [`Svi`](crate::infer::Svi), [`Minimize`](crate::infer::Minimize) and
/// [`Trainer`]. One that makes no sense is an error of the first step.
pub trait ConfigureTraining: Configure {
    #[doc(hidden)]
    fn training(&mut self) -> &mut Trainer;

    /// Draws a step, whose estimates are averaged; 1 unless set, and 0 is an error.
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

    /// How parameters follow their gradients. Unless set, Adam at rate 0.01, or, where a run goes on until it has settled,
    /// at rates from 0.05 down, in units of the guide's scales. What the rule before
    /// remembered, also from a checkpoint, is forgotten. Numbers that make no sense, such as a learning
    /// rate that is NaN, are an error.
    #[must_use]
    fn optimizer(mut self, rule: impl Rule + 'static) -> Self {
        let trainer = self.training();
        let set = Optimizer::new(rule).map(|optimizer| trainer.optimizer = optimizer);
        trainer.estimation.take(set);
        self
    }

    /// Records a variance ledger beside training, which it leaves as it is, bit for bit; none unless
    /// asked for. Checkpoints hold it, with what its rivals have learned.
    #[must_use]
    fn record(mut self, recording: Recording) -> Self {
        let trainer = self.training();
        let set = recording
            .checked()
            .map(|recording| trainer.start_recording(recording));
        trainer.estimation.take(set);
        self
    }

    /// Parameters of layers, each with a name of its own, that checkpoints are to hold: all that the
    /// objectives train. One that several layers share may come several times.
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

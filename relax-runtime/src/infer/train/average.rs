//! Averages of parameters, which noise moves about their optimum (Polyak and Juditsky 1992): over the last steps of a
//! run, or as kept by an optimizer's rule.

use rustc_hash::FxHashSet;

use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::model::ParamStore;
use crate::tensor::{Parameter, Tensor};

/// Sums of parameters over several steps.
#[derive(Debug)]
pub(super) struct Average {
    sums: Vec<(Parameter, Vec<f64>)>,
    steps: u64,
}

impl Average {
    /// An empty average over all current parameters.
    pub(super) fn of(params: &ParamStore) -> Self {
        let parameters = params.all().into_iter();
        let zeros = |parameter: Parameter| {
            let zeros = vec![0.0; parameter.shape().numel()];
            (parameter, zeros)
        };
        Self {
            sums: parameters.map(|(_, parameter)| zeros(parameter)).collect(),
            steps: 0,
        }
    }

    /// Adds the values of a step.
    ///
    /// # Errors
    /// If a parameter carries an error.
    pub(super) fn add(&mut self) -> Result<()> {
        self.steps += 1;
        for (parameter, sum) in &mut self.sums {
            parameter.get().with_values(|values| {
                let pairs = sum.iter_mut().zip(values);
                pairs.for_each(|(sum, &x)| *sum += f64::from(x));
            })?;
        }
        Ok(())
    }

    /// Sets the parameters to their averages.
    ///
    /// # Errors
    /// If a parameter carries an error.
    pub(super) fn set(self) -> Result<()> {
        if self.steps == 0 {
            return Ok(());
        }
        let share = 1.0 / self.steps as f64;
        for (parameter, sum) in self.sums {
            let values = sum.iter().map(|sum| (sum * share) as f32).collect();
            let value = parameter.get();
            parameter.set(Tensor::from_vec(values, value.shape(), &value.device())?)?;
        }
        Ok(())
    }
}

impl Trainer {
    /// Returns what `look` finds while the parameters are at the averages that the optimizer keeps, as
    /// [`Averaged`](crate::optim::Averaged) does. They then go back to where training left them.
    ///
    /// ```
    /// use relax_runtime::prelude::*;
    ///
    /// #[model]
    /// fn coins(data: &[bool]) {
    ///     let p = param!(0.0).sigmoid();
    ///     for x in data {
    ///         observe!(Bernoulli(&p), *x);
    ///     }
    /// }
    ///
    /// let data = [true, true, true, false];
    /// let program = coins(&data);
    /// let objective = Elbo::new(&program);
    /// let mut trainer = Trainer::new(1).optimizer(Averaged::of(Adam::new(0.1)));
    /// for _ in 0..500 {
    ///     trainer.step(&objective)?;
    /// }
    /// let loss = trainer.at_averages(|| Posterior::draw(&objective, trainer.params(), 0, 1))?;
    /// // At p = 3/4 the log-likelihood is 3 ln 3/4 + ln 1/4.
    /// assert!((loss?.log_evidence().elbo + 2.2493).abs() < 1e-3);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if the optimizer keeps no averages, or an error if a device cannot be read.
    pub fn at_averages<T>(&self, look: impl FnOnce() -> T) -> Result<T> {
        let averages = self.averages()?;
        let values = averages.iter();
        let values = values.map(|(parameter, _)| (parameter.clone(), parameter.get().detach()));
        let _until_seen = Displaced(values.collect());
        set(averages)?;
        Ok(look())
    }

    /// Moves the parameters to the averages that the optimizer keeps. Their previous values are lost: later steps start
    /// from the averages, with the optimizer's memory and the averages themselves unchanged.
    ///
    /// # Errors
    /// As [`at_averages`](Self::at_averages).
    pub fn take_averages(&mut self) -> Result<()> {
        set(self.averages()?)
    }

    /// The averages that the optimizer keeps.
    fn averages(&self) -> Result<Vec<(Parameter, Tensor)>> {
        if !self.optimizer.averages() {
            let problem = format!(
                "is {}, which keeps no averages; train with `Averaged::of(..)`",
                self.optimizer.kind()
            );
            return Err(Error::Config {
                setting: "optimizer",
                problem,
            });
        }
        // Parameters of a checkpoint may not have moved since, and others may belong to no layer given to the trainer.
        let held = self.held();
        let keys: FxHashSet<u64> = held.iter().map(Parameter::key).collect();
        let others = self.optimizer.averaged();
        let others = others.filter(|parameter| !keys.contains(&parameter.key()));
        let mut averages = Vec::new();
        for parameter in others.chain(&held) {
            if let Some(average) = self.optimizer.average_of(parameter)? {
                averages.push((parameter.clone(), average));
            }
        }
        Ok(averages)
    }
}

fn set(values: Vec<(Parameter, Tensor)>) -> Result<()> {
    values
        .into_iter()
        .try_for_each(|(parameter, value)| parameter.set(value))
}

/// Parameters that are displaced for a while, with the values to restore.
struct Displaced(Vec<(Parameter, Tensor)>);

impl Drop for Displaced {
    fn drop(&mut self) {
        for (parameter, value) in self.0.drain(..) {
            // A parameter always accepts a value it has had.
            let _ = parameter.set(value);
        }
    }
}

//! The average of a run's last parameters, which noise has moved to and fro about their optimum (Polyak and
//! Juditsky 1992).

use crate::error::Result;
use crate::model::ParamStore;
use crate::tensor::{Parameter, Tensor};

/// Sums of parameters over some steps.
#[derive(Debug)]
pub(super) struct Average {
    sums: Vec<(Parameter, Vec<f64>)>,
    steps: u64,
}

impl Average {
    /// Of all parameters that there are now.
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
    /// If a parameter carries one.
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
    /// If a parameter carries one.
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

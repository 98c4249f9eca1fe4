//! Saving a trainer, and going on from what was saved.

use std::path::Path;

use super::checkpoint::{Checkpoint, refused, restore_all, save_all};
use super::joint::Joint;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::tensor::{Parameter, Tensor};

impl Trainer {
    /// Saves everything that training has reached: parameters, the optimiser's memory, what each
    /// site's estimator has learned, and the step.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be written, or a parameter has no name.
    pub fn save(&self, path: &Path) -> Result<()> {
        let store: Vec<Parameter> = self.params.all().into_iter().map(|(_, p)| p).collect();
        Checkpoint {
            seed: self.seed,
            step: self.step,
            store: save_all(&store)?,
            layers: save_all(&self.layers)?,
            memory: self.optimizer.state(),
            sites: self.sites.save()?,
        }
        .write(path)
    }

    /// Goes on from a saved state, bit for bit, if the settings and the model are the same.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file is missing, damaged, of another format, or does not fit:
    /// another seed, or a layer that it lacks or that has another shape.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let saved = Checkpoint::read(path)?;
        self.restore(saved).map_err(|error| match error {
            Error::Checkpoint { problem, .. } => Error::Checkpoint {
                path: path.display().to_string(),
                problem,
            },
            other => other,
        })
    }

    fn restore(&mut self, saved: Checkpoint) -> Result<()> {
        if saved.seed != self.seed {
            let problem = format!("it was trained with seed {}, not {}", saved.seed, self.seed);
            return Err(refused(problem));
        }
        restore_all(&saved.layers, &self.layers)?;
        for (name, values) in &saved.store {
            let known = self.params.parameter(name);
            match known {
                Some(parameter) => values.restore(name, &parameter)?,
                None => drop(
                    self.params
                        .insert(name, &values.tensor(&Tensor::scalar(0.0))?),
                ),
            }
        }
        self.optimizer.restore(saved.memory);
        self.sites.restore(saved.sites);
        self.joint = Joint::default();
        self.step = saved.step;
        Ok(())
    }
}

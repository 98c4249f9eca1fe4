//! Saving a trainer, and going on from what was saved.

use std::path::Path;

use super::checkpoint::{Checkpoint, fitted_all, refused, save_all, set_all};
use super::joint::Joint;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::tensor::{Parameter, Tensor};

impl Trainer {
    /// Saves everything that training has reached: parameters, the optimiser's memory, what each
    /// site's estimator has learned, the step, and the ledger with what its rivals have learned.
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
            record: match &self.recorder {
                Some(recorder) => Some(recorder.save()?),
                None => self.past_record.clone(),
            },
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
        // All of it fits, or nothing is changed.
        let mut fitted = fitted_all(&saved.layers, &self.layers)?;
        let mut new = Vec::new();
        for (name, values) in &saved.store {
            match self.params.parameter(name) {
                Some(parameter) => fitted.push(values.fitted(name, &parameter)?),
                None => new.push((name, values.tensor(&Tensor::scalar(0.0))?)),
            }
        }
        set_all(fitted)?;
        for (name, value) in new {
            self.params.insert(name, &value);
        }
        self.optimizer.restore(saved.memory);
        self.sites.restore(saved.sites);
        self.joint = Joint::default();
        self.past_record = None;
        match &mut self.recorder {
            Some(recorder) => recorder.restore(saved.record.unwrap_or_default()),
            None => self.past_record = saved.record,
        }
        self.step = saved.step;
        Ok(())
    }
}

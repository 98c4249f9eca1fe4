//! Saving a trainer, and resuming from a file.

use std::collections::BTreeSet;
use std::path::Path;

use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::infer::checkpoint::{
    Checkpoint, SavedEnding, check_names, fitted_all, refused, save_all, set_all,
};
use crate::infer::exact::joint::JointSum;
use crate::infer::guide::structure::Structure;
use crate::tensor::{Device, Parameter};

impl Trainer {
    /// Saves everything that training has learned: parameters, the optimizer's memory, the state of each site's
    /// estimator, the step, and the ledger with the state of its rivals. The file appears whole or not at all, even if
    /// several processes write it at once.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be written or is not a regular file, if a trained parameter is neither
    /// a `param!`, an automatic guide's, nor among [`layers`](crate::infer::ConfigureTraining::layers), or if one has
    /// no name or shares it with another.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path.as_ref(), None)
    }

    /// As [`save`](Self::save), with how the run ended.
    pub(super) fn save_with(&self, path: &Path, ending: Option<SavedEnding>) -> Result<()> {
        self.checkpoint(ending)
            .map_err(|error| in_file(error, path))?
            .write(path)
    }

    fn checkpoint(&self, ending: Option<SavedEnding>) -> Result<Checkpoint> {
        let params = &self.estimation.params;
        for structure in params.notes::<Structure>() {
            structure.save_looks(params)?;
        }
        let store = self.stored();
        let held = self.held();
        check_names(held.iter())?;
        if let Some(name) = self.trained_beside(&held) {
            return Err(left_out(name));
        }
        Ok(Checkpoint {
            seed: self.estimation.seed,
            step: self.step,
            store: save_all(&store)?,
            layers: save_all(&self.layers)?,
            rule: self.optimizer.kind(),
            memory: self.optimizer.state()?,
            sites: self.estimation.sites.save()?,
            record: match &self.recorder {
                Some(recorder) => Some(recorder.save()?),
                None => self.past_record.clone(),
            },
            constraints: params.constraints(),
            given_up: params.given_up(),
            ending,
        })
    }

    /// The parameters of `param!` sites and automatic guides.
    fn stored(&self) -> Vec<Parameter> {
        let all = self.estimation.params.all().into_iter();
        all.map(|(_, parameter)| parameter).collect()
    }

    /// All parameters that the trainer holds: those in the store, and those of the user's layers.
    pub(super) fn held(&self) -> Vec<Parameter> {
        let mut held = self.stored();
        held.extend(self.layers.iter().cloned());
        held
    }

    /// The name, if any, of a trained parameter that is not among `held`.
    pub(super) fn trained_beside(&self, held: &[Parameter]) -> Option<Option<&str>> {
        let keys: BTreeSet<u64> = held.iter().map(Parameter::key).collect();
        let mut moved = self.optimizer.moved();
        let (_, name) = moved.find(|(key, _)| !keys.contains(key))?;
        Some(name)
    }

    /// Continues from a saved state, bit for bit if the settings and the model are the same. The parameters of `param!`
    /// sites and automatic guides take the device of their initial values, and are checked against these, when the
    /// model first reaches them; so is the state of the estimators.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file is missing, damaged, of another format, or does not fit: another seed or
    /// optimizer rule, or a layer that only the file or only the trainer has, or that has another shape. The trainer is
    /// then unchanged.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let saved = Checkpoint::read(path)?;
        self.restore(saved).map_err(|error| in_file(error, path))
    }

    /// As [`resume`](Self::resume), from the file of a run, with its seed unless another one was given, and with how it
    /// ended.
    pub(super) fn load(&mut self, path: &Path) -> Result<SavedEnding> {
        let saved = Checkpoint::read(path)?;
        if self.estimation.seed == 0 {
            self.estimation.seed = saved.seed;
        }
        let ending = saved.ending.ok_or_else(|| {
            let problem = "it was saved by a trainer, not by the result of a run (`Fit::save`), so that \
                           it does not say how training ended; continue from it with `resume`";
            in_file(refused(problem.into()), path)
        })?;
        self.restore(saved).map_err(|error| in_file(error, path))?;
        Ok(ending)
    }

    fn restore(&mut self, saved: Checkpoint) -> Result<()> {
        if saved.seed != self.estimation.seed {
            let problem = format!(
                "it was trained with seed {file}, not {own}; call `.seed({file})`",
                file = saved.seed,
                own = self.estimation.seed
            );
            return Err(refused(problem));
        }
        let rule = self.optimizer.kind();
        if saved.rule != rule && !saved.memory.is_empty() {
            return Err(refused(format!(
                "its optimizer is {}, the trainer's is {rule}; give the trainer the file's, and \
                 another one only after resuming, which then starts without memory",
                saved.rule
            )));
        }
        // Either all of it fits, or nothing is changed.
        let unused = "which the trainer does not have; pass the layers that it belongs to with \
                      `layers` before resuming";
        let mut fitted = fitted_all(&saved.layers, &self.layers, unused)?;
        let mut store = Vec::with_capacity(saved.store.len());
        // The memory of the first parameters may have been dropped along the way.
        let most = saved.memory.values().map(|memory| memory.step).max();
        for (name, values) in &saved.store {
            let updates = saved.memory.get(name).map(|memory| memory.step);
            let parameter = match self.estimation.params.parameter(name) {
                Some(parameter) => {
                    fitted.push(values.fitted(name, &parameter)?);
                    parameter
                }
                None => Parameter::new(values.tensor(&Device::cpu())?).named(name),
            };
            let always = updates.is_some() && updates == most;
            store.push((name.clone(), parameter, always));
        }
        set_all(fitted)?;
        let params = &self.estimation.params;
        params.restore(store, saved.constraints, saved.given_up);
        self.optimizer.restore(saved.memory);
        self.estimation.sites.restore(saved.sites);
        self.estimation.joint = JointSum::default();
        self.past_record = None;
        match &mut self.recorder {
            Some(recorder) => recorder.restore(saved.record.unwrap_or_default()),
            None => self.past_record = saved.record,
        }
        self.step = saved.step;
        Ok(())
    }
}

/// The error for a trained parameter that would not be in the file.
fn left_out(name: Option<&str>) -> Error {
    refused(match name {
        Some(name) => format!(
            "`{name}` was trained, but would not be in the file; pass the layer's parameters to the \
             trainer with `layers`"
        ),
        None => "a parameter without a name was trained, but would not be in the file; give its \
                 layer a name with `named`, and pass its parameters to the trainer with \
                 `layers`"
            .into(),
    })
}

/// Adds the file's name to an error.
fn in_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Checkpoint { problem, .. } => Error::Checkpoint {
            path: path.display().to_string(),
            problem,
        },
        other => other,
    }
}

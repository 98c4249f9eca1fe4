//! Checkpoints: everything a trainer needs to continue as if it had never stopped.
//!
//! One safetensors file holds the parameters, the optimizer's memory, the state of each site's estimator, and the
//! ledger; its metadata hold a small manifest in JSON. Random numbers need no state: each is a function of seed, step,
//! particle and site. A checksum covers all of it. The file is written next to its place and renamed, so that a crash
//! leaves the old one or the new one, never a torn one.

mod checksum;
mod disk;
mod file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dist::Constraint;
use crate::error::{Error, Result};
use crate::estimator::SiteClass;
use crate::model::GivenUp;
use crate::optim::Memory;
use crate::report::{Ending, Ledger, Trend};
use crate::tensor::{Device, Parameter, Shape, Tensor};

/// A trainer's state, by name.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) seed: u64,
    pub(super) step: u64,
    /// Parameters of `param!` sites and automatic guides.
    pub(super) store: BTreeMap<String, Values>,
    /// Parameters of the user's layers.
    pub(super) layers: BTreeMap<String, Values>,
    /// The kind of rule that the memory belongs to.
    pub(super) rule: String,
    pub(super) memory: BTreeMap<String, Memory>,
    pub(super) sites: SavedSites,
    /// Constraints of parameters in the store, `None` where it is known that there is none.
    pub(super) constraints: BTreeMap<String, Option<Constraint>>,
    /// Programs for which a sum is no longer taken.
    pub(super) given_up: BTreeMap<String, GivenUp>,
    /// Measurements during training, if there were any.
    pub(super) record: Option<SavedRecord>,
    /// How the run that left the trainer ended, if there was one.
    pub(super) ending: Option<SavedEnding>,
}

/// How a run ended, which its fit reports after it has been loaded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedEnding {
    pub(super) ending: Ending,
    pub(super) trend: Trend,
}

/// The state of sites' estimators, by the sites' names.
pub(super) type SavedSites = BTreeMap<String, SavedSite>;

/// A ledger, and the state of its rivals.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedRecord {
    pub(super) ledger: Ledger,
    /// The state of each rival with its name, in order.
    pub(super) rivals: Vec<(String, SavedSites)>,
}

/// The state of a site's estimator.
#[derive(Clone, Debug)]
pub(super) struct SavedSite {
    pub(super) estimator: String,
    /// The class of the site as far as all draws have shown.
    pub(super) class: SiteClass,
    pub(super) surrogate: BTreeMap<String, Values>,
    pub(super) memory: BTreeMap<String, Memory>,
    /// Running averages of costs, in the order in which the site writes them.
    pub(super) costs: Vec<f64>,
    /// What the surrogate has learned besides its parameters, such as a quadratic form.
    pub(super) learned: Vec<f64>,
    /// Running moments of the gradient.
    pub(super) moments: Vec<f64>,
}

/// A tensor's numbers with their shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Values {
    /// The numbers of a parameter.
    pub(super) fn of(parameter: &Parameter) -> Result<Self> {
        Ok(Self {
            shape: parameter.shape().to_vec(),
            values: parameter.with_values(<[f32]>::to_vec)?,
        })
    }

    /// The numbers as a tensor.
    pub(super) fn tensor(&self, device: &Device) -> Result<Tensor> {
        let shape = Shape::try_from(&self.shape[..])?;
        Tensor::from_vec(self.values.clone(), shape, device)
    }

    /// The numbers as a parameter's next value, if they fit.
    pub(super) fn fitted(&self, name: &str, parameter: &Parameter) -> Result<(Parameter, Tensor)> {
        let shape = parameter.shape();
        if shape[..] != self.shape[..] {
            return Err(refused(format!(
                "its parameter `{name}` has shape {:?}, the model's has {shape}",
                self.shape
            )));
        }
        Ok((parameter.clone(), self.tensor(&parameter.device())?))
    }
}

/// The saved values of parameters, by name.
///
/// # Errors
/// If one is missing among the saved or has another shape, or a saved one is not among the parameters; `unused` says
/// what to do about that.
pub(super) fn fitted_all(
    saved: &BTreeMap<String, Values>,
    parameters: &[Parameter],
    unused: &str,
) -> Result<Vec<(Parameter, Tensor)>> {
    let wanted = |name: &str| parameters.iter().any(|p| p.name() == Some(name));
    if let Some(name) = saved.keys().find(|name| !wanted(name)) {
        return Err(refused(format!("it has a parameter `{name}`, {unused}")));
    }
    let fitted = parameters.iter().map(|parameter| {
        let name = named(parameter)?;
        let values = saved
            .get(name)
            .ok_or_else(|| refused(format!("it has no parameter `{name}`, which the model has")))?;
        values.fitted(name, parameter)
    });
    fitted.collect()
}

/// Sets parameters to the values found for them.
pub(super) fn set_all(fitted: Vec<(Parameter, Tensor)>) -> Result<()> {
    fitted
        .into_iter()
        .try_for_each(|(parameter, value)| parameter.set(value))
}

/// The numbers of parameters by name.
///
/// # Errors
/// If one has no name.
pub(super) fn save_all(parameters: &[Parameter]) -> Result<BTreeMap<String, Values>> {
    let save = |parameter: &Parameter| Ok((named(parameter)?.to_owned(), Values::of(parameter)?));
    parameters.iter().map(save).collect()
}

/// An error if two of the parameters share a name.
pub(super) fn check_names<'p>(parameters: impl Iterator<Item = &'p Parameter>) -> Result<()> {
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    for parameter in parameters {
        let name = named(parameter)?;
        if known
            .insert(name, parameter.key())
            .is_some_and(|key| key != parameter.key())
        {
            return Err(refused(format!(
                "two parameters are named `{name}`; give one of them another name"
            )));
        }
    }
    Ok(())
}

fn named(parameter: &Parameter) -> Result<&str> {
    parameter.name().ok_or_else(|| {
        refused("a parameter has no name to be saved under; give it one with `named`".into())
    })
}

/// The error for a checkpoint that cannot be written or does not fit.
pub(super) fn refused(problem: String) -> Error {
    Error::Checkpoint {
        path: String::new(),
        problem,
    }
}

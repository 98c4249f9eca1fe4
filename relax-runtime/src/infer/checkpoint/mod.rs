//! Checkpoints: everything a trainer needs to go on as if it had never stopped.
//!
//! One safetensors file holds the parameters, the optimiser's memory, what each site's estimator has
//! learned, and the ledger; its metadata hold a small manifest in JSON. Random numbers need no state:
//! each is a function of seed, step, particle and site. The file is written beside its place and
//! renamed, so that a crash leaves the old one or the new one, never a torn one.

mod file;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::estimator::SiteClass;
use crate::optim::Memory;
use crate::report::Ledger;
use crate::tensor::{Parameter, Shape, Tensor};

/// A trainer's state, by name.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) seed: u64,
    pub(super) step: u64,
    /// Parameters of `param!` sites and automatic guides.
    pub(super) store: BTreeMap<String, Values>,
    /// Parameters of the user's layers.
    pub(super) layers: BTreeMap<String, Values>,
    pub(super) memory: BTreeMap<String, Memory>,
    pub(super) sites: SavedSites,
    /// What was measured beside training, if anything was.
    pub(super) record: Option<SavedRecord>,
}

/// What the estimators of sites have learned, by the sites' names.
pub(super) type SavedSites = BTreeMap<String, SavedSite>;

/// A ledger, and what its rivals have learned.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedRecord {
    pub(super) ledger: Ledger,
    /// Each with its name, in order.
    pub(super) rivals: Vec<(String, SavedSites)>,
}

/// What a site's estimator has learned.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedSite {
    pub(super) estimator: String,
    /// What all draws so far have shown of the site; files of earlier versions do not say.
    pub(super) class: Option<SiteClass>,
    pub(super) surrogate: BTreeMap<String, Values>,
    pub(super) memory: BTreeMap<String, Memory>,
    /// Running averages, in the order in which the site writes them.
    pub(super) averages: Vec<f64>,
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
        let tensor = parameter.get();
        Ok(Self {
            shape: tensor.shape().to_vec(),
            values: tensor.peek()?,
        })
    }

    /// The numbers as a tensor on the device of `like`.
    pub(super) fn tensor(&self, like: &Tensor) -> Result<Tensor> {
        let shape = Shape::try_from(&self.shape[..])?;
        Tensor::from_vec(self.values.clone(), shape, &like.device())
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
        Ok((parameter.clone(), self.tensor(&parameter.get())?))
    }
}

/// The saved values of parameters, by name.
///
/// # Errors
/// If one is missing among the saved, or has another shape.
pub(super) fn fitted_all(
    saved: &BTreeMap<String, Values>,
    parameters: &[Parameter],
) -> Result<Vec<(Parameter, Tensor)>> {
    let fitted = parameters.iter().map(|parameter| {
        let name = named(parameter)?;
        let values = saved
            .get(name)
            .ok_or_else(|| refused(format!("it has no parameter `{name}`, which the model has")))?;
        values.fitted(name, parameter)
    });
    fitted.collect()
}

/// Sets parameters to the values that were found for them.
pub(super) fn set_all(fitted: Vec<(Parameter, Tensor)>) -> Result<()> {
    fitted
        .into_iter()
        .try_for_each(|(parameter, value)| parameter.set(value))
}

/// The numbers of parameters by name.
///
/// # Errors
/// If one has no name, or two share one.
pub(super) fn save_all(parameters: &[Parameter]) -> Result<BTreeMap<String, Values>> {
    let mut saved = BTreeMap::new();
    for parameter in parameters {
        let name = named(parameter)?;
        if saved
            .insert(name.to_owned(), Values::of(parameter)?)
            .is_some()
        {
            return Err(refused(format!("two parameters are named `{name}`")));
        }
    }
    Ok(saved)
}

fn named(parameter: &Parameter) -> Result<&str> {
    parameter.name().ok_or_else(|| {
        refused("a parameter has no name to be saved under; give it one with `named`".into())
    })
}

/// The error of a checkpoint that cannot be written or does not fit.
pub(super) fn refused(problem: String) -> Error {
    Error::Checkpoint {
        path: String::new(),
        problem,
    }
}

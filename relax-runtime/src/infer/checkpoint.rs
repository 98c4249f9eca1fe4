//! Checkpoints: everything a trainer needs to go on as if it had never stopped.
//!
//! One safetensors file holds the parameters, the optimiser's memory, and what each site's
//! estimator has learned; its metadata hold a small manifest in JSON. Random numbers need no state:
//! each is a function of seed, step, particle and site. The file is written beside its place and
//! renamed, so that a crash leaves the old one or the new one, never a torn one.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estimator::SiteClass;
use crate::optim::Memory;
use crate::tensor::{Parameter, Shape, Tensor};

/// Version of the layout below; a reader refuses others.
const FORMAT: u32 = 3;

const MANIFEST: &str = "relax";

/// The small numbers of a checkpoint, and what its tensors are.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    seed: u64,
    step: u64,
    /// Updates of each parameter by the optimiser.
    updates: BTreeMap<String, u64>,
    sites: BTreeMap<String, SiteManifest>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SiteManifest {
    estimator: String,
    class: Option<SiteClass>,
    /// Updates of each parameter of the surrogate.
    updates: BTreeMap<String, u64>,
}

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
    pub(super) sites: BTreeMap<String, SavedSite>,
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

    /// Gives a parameter these numbers, if they fit.
    pub(super) fn restore(&self, name: &str, parameter: &Parameter) -> Result<()> {
        let shape = parameter.shape();
        if shape[..] != self.shape[..] {
            return Err(refused(format!(
                "its parameter `{name}` has shape {:?}, the model's has {shape}",
                self.shape
            )));
        }
        parameter.set(self.tensor(&parameter.get())?)
    }
}

/// Restores parameters by name.
///
/// # Errors
/// If one is missing among the saved, or has another shape.
pub(super) fn restore_all(
    saved: &BTreeMap<String, Values>,
    parameters: &[Parameter],
) -> Result<()> {
    parameters.iter().try_for_each(|parameter| {
        let name = named(parameter)?;
        let values = saved
            .get(name)
            .ok_or_else(|| refused(format!("it has no parameter `{name}`, which the model has")))?;
        values.restore(name, parameter)
    })
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

/// Bytes of a tensor, ready to be written.
struct Blob {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Blob {
    fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self {
            dtype: Dtype::F32,
            shape,
            bytes,
        }
    }

    fn f64(values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self {
            dtype: Dtype::F64,
            shape: vec![values.len()],
            bytes,
        }
    }
}

impl Checkpoint {
    /// Writes the checkpoint; the file appears whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        self.try_write(path).map_err(|problem| at(path, problem))
    }

    fn try_write(&self, path: &Path) -> std::result::Result<(), String> {
        let mut blobs = BTreeMap::new();
        let sites = self.sites.iter().map(|(name, site)| {
            add_values(
                &mut blobs,
                &format!("site/{name}/surrogate"),
                &site.surrogate,
            );
            add_memory(&mut blobs, &format!("site/{name}/memory"), &site.memory);
            blobs.insert(format!("site/{name}/averages"), Blob::f64(&site.averages));
            let estimator = site.estimator.clone();
            (
                name.clone(),
                SiteManifest {
                    estimator,
                    class: site.class,
                    updates: updates(&site.memory),
                },
            )
        });
        let manifest = Manifest {
            format: FORMAT,
            seed: self.seed,
            step: self.step,
            updates: updates(&self.memory),
            sites: sites.collect(),
        };
        add_values(&mut blobs, "store", &self.store);
        add_values(&mut blobs, "layer", &self.layers);
        add_memory(&mut blobs, "memory", &self.memory);
        let views = blobs.iter().map(|(name, blob)| {
            let view = TensorView::new(blob.dtype, blob.shape.clone(), &blob.bytes);
            Ok((name.clone(), view.map_err(|e| e.to_string())?))
        });
        let views = views.collect::<std::result::Result<Vec<_>, String>>()?;
        let manifest = serde_json::to_string(&manifest).map_err(|e| e.to_string())?;
        let metadata = HashMap::from([(MANIFEST.to_owned(), manifest)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())?;
        replace(path, &bytes).map_err(|e| e.to_string())
    }

    /// Reads a checkpoint.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::try_read(path).map_err(|problem| at(path, problem))
    }

    fn try_read(path: &Path) -> std::result::Result<Self, String> {
        let bytes = fs::read(path).map_err(|e| format!("it cannot be read: {e}"))?;
        let damaged = |e: safetensors::SafeTensorError| {
            format!("it is no safetensors file, or a damaged one ({e})")
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let manifest = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(MANIFEST));
        let manifest =
            manifest.ok_or("it is no checkpoint of a trainer: its manifest is missing")?;
        let format = serde_json::from_str::<Format>(manifest)
            .map_err(|e| e.to_string())?
            .format;
        if format != FORMAT {
            return Err(format!(
                "it has format {format}, this program reads {FORMAT}; use the version that wrote it"
            ));
        }
        let manifest: Manifest = serde_json::from_str(manifest).map_err(|e| e.to_string())?;
        let read = Reader { tensors: &tensors };
        let mut sites = BTreeMap::new();
        for (name, site) in manifest.sites {
            let saved = SavedSite {
                estimator: site.estimator,
                class: site.class,
                surrogate: read.values(&format!("site/{name}/surrogate"))?,
                memory: read.memory(&format!("site/{name}/memory"), &site.updates)?,
                averages: read.f64s(&format!("site/{name}/averages"))?,
            };
            sites.insert(name, saved);
        }
        Ok(Self {
            seed: manifest.seed,
            step: manifest.step,
            store: read.values("store")?,
            layers: read.values("layer")?,
            memory: read.memory("memory", &manifest.updates)?,
            sites,
        })
    }
}

/// The part of every manifest, of whatever format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn at(path: &Path, problem: String) -> Error {
    Error::Checkpoint {
        path: path.display().to_string(),
        problem,
    }
}

fn updates(memory: &BTreeMap<String, Memory>) -> BTreeMap<String, u64> {
    memory
        .iter()
        .map(|(name, memory)| (name.clone(), memory.step))
        .collect()
}

fn add_values(blobs: &mut BTreeMap<String, Blob>, group: &str, values: &BTreeMap<String, Values>) {
    for (name, Values { shape, values }) in values {
        blobs.insert(format!("{group}:{name}"), Blob::f32(shape.clone(), values));
    }
}

fn add_memory(blobs: &mut BTreeMap<String, Blob>, group: &str, memory: &BTreeMap<String, Memory>) {
    for (name, memory) in memory {
        for (i, slot) in memory.slots.iter().enumerate() {
            blobs.insert(
                format!("{group}/{i}:{name}"),
                Blob::f32(vec![slot.len()], slot),
            );
        }
    }
}

/// Finds the tensors of a group, which are named `group:name`.
struct Reader<'a> {
    tensors: &'a SafeTensors<'a>,
}

impl Reader<'_> {
    fn values(&self, group: &str) -> std::result::Result<BTreeMap<String, Values>, String> {
        let prefix = format!("{group}:");
        let names = self.tensors.names();
        let members = names
            .iter()
            .filter_map(|name| Some((name, name.strip_prefix(&prefix)?)));
        let read = members.map(|(full, name)| {
            let view = self.tensors.tensor(full).map_err(|e| e.to_string())?;
            let values = decode::<4>(full, &view, Dtype::F32)?
                .map(f32::from_le_bytes)
                .collect();
            Ok((
                name.to_owned(),
                Values {
                    shape: view.shape().to_vec(),
                    values,
                },
            ))
        });
        read.collect()
    }

    fn memory(
        &self,
        group: &str,
        updates: &BTreeMap<String, u64>,
    ) -> std::result::Result<BTreeMap<String, Memory>, String> {
        let mut memory: BTreeMap<String, Memory> = updates
            .iter()
            .map(|(name, &step)| (name.clone(), Memory::after(step)))
            .collect();
        for slot in 0.. {
            let values = self.values(&format!("{group}/{slot}"))?;
            if values.is_empty() {
                break;
            }
            for (name, values) in values {
                memory.entry(name).or_default().slots.push(values.values);
            }
        }
        Ok(memory)
    }

    fn f64s(&self, name: &str) -> std::result::Result<Vec<f64>, String> {
        let view = self.tensors.tensor(name).map_err(|e| e.to_string())?;
        Ok(decode::<8>(name, &view, Dtype::F64)?
            .map(f64::from_le_bytes)
            .collect())
    }
}

/// The numbers of a tensor as bytes of one number each.
fn decode<'a, const N: usize>(
    name: &str,
    view: &'a TensorView<'a>,
    dtype: Dtype,
) -> std::result::Result<impl Iterator<Item = [u8; N]> + 'a, String> {
    if view.dtype() != dtype {
        return Err(format!(
            "its tensor `{name}` holds {:?}, not {dtype:?}",
            view.dtype()
        ));
    }
    Ok(view.data().chunks_exact(N).map(|bytes| {
        let mut number = [0; N];
        number.copy_from_slice(bytes);
        number
    }))
}

/// Writes a file beside its place, flushes it to the disk, and renames it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    // The rename itself is on the disk only once the folder is.
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

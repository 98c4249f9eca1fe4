//! The file of a checkpoint: a safetensors file with a manifest in its metadata.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::checksum::{self, BLANK};
use super::disk;
use super::{Checkpoint, SavedEnding, SavedRecord, SavedSite, SavedSites, Values};
use crate::dist::Constraint;
use crate::error::{Error, Result};
use crate::estimator::SiteClass;
use crate::model::GivenUp;
use crate::optim::Memory;

/// Version of the layout below; readers refuse other versions.
const FORMAT: u32 = 6;

const MANIFEST: &str = "relax";

/// The ledger, as bytes of JSON: the header is no place for what grows with every step.
const LEDGER: &str = "ledger";

/// The small numbers of a checkpoint, and a description of its tensors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Checksum of the whole file; the first field, so that it is found without reading the others.
    checksum: String,
    format: u32,
    seed: u64,
    step: u64,
    /// The kind of the optimizer's rule.
    rule: String,
    /// Updates of each parameter by the optimizer.
    updates: BTreeMap<String, u64>,
    sites: SiteManifests,
    /// The rivals that raced during training.
    rivals: Vec<RivalManifest>,
    /// Constraints of parameters, `null` where it is known that there is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    constraints: BTreeMap<String, Option<Constraint>>,
    /// Programs for which a sum is no longer taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    given_up: BTreeMap<String, GivenUp>,
    /// How the run ended, in the file of a fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<SavedEnding>,
}

type SiteManifests = BTreeMap<String, SiteManifest>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RivalManifest {
    estimator: String,
    sites: SiteManifests,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteManifest {
    estimator: String,
    class: SiteClass,
    /// Updates of each parameter of the surrogate.
    updates: BTreeMap<String, u64>,
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

    fn text(text: String) -> Self {
        Self {
            dtype: Dtype::U8,
            shape: vec![text.len()],
            bytes: text.into_bytes(),
        }
    }
}

impl Checkpoint {
    /// Writes the checkpoint; the file appears whole or not at all.
    pub(in super::super) fn write(&self, path: &Path) -> Result<()> {
        self.try_write(path).map_err(|problem| at(path, problem))
    }

    fn try_write(&self, path: &Path) -> std::result::Result<(), String> {
        let mut blobs = BTreeMap::new();
        let sites = add_sites(&mut blobs, "site", &self.sites);
        let mut rivals = Vec::new();
        if let Some(record) = &self.record {
            let ledger = record.ledger.to_json().map_err(|e| e.to_string())?;
            blobs.insert(LEDGER.to_owned(), Blob::text(ledger));
            for (i, (estimator, sites)) in record.rivals.iter().enumerate() {
                rivals.push(RivalManifest {
                    estimator: estimator.clone(),
                    sites: add_sites(&mut blobs, &rival(i), sites),
                });
            }
        }
        let manifest = Manifest {
            checksum: BLANK.to_owned(),
            format: FORMAT,
            seed: self.seed,
            step: self.step,
            rule: self.rule.clone(),
            updates: updates(&self.memory),
            sites,
            rivals,
            constraints: self.constraints.clone(),
            given_up: self.given_up.clone(),
            ending: self.ending,
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
        let written = safetensors::serialize(views, Some(metadata));
        let mut bytes = written.map_err(|e| e.to_string())?;
        checksum::seal(&mut bytes)?;
        disk::replace(path, &bytes).map_err(|e| format!("it cannot be written: {e}"))
    }

    /// Reads a checkpoint.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        Self::try_read(path).map_err(|problem| at(path, problem))
    }

    fn try_read(path: &Path) -> std::result::Result<Self, String> {
        let bytes = disk::read(path).map_err(|e| format!("it cannot be read: {e}"))?;
        let damaged = |e: safetensors::SafeTensorError| {
            format!("it is not a safetensors file, or is damaged ({e})")
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let manifest = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(MANIFEST));
        let manifest =
            manifest.ok_or("it is not the checkpoint of a trainer: its manifest is missing")?;
        let no_manifest = |e: serde_json::Error| format!("its manifest is damaged ({e})");
        let format = serde_json::from_str::<Format>(manifest)
            .map_err(no_manifest)?
            .format;
        if format != FORMAT {
            return Err(format!(
                "it has format {format}, this program reads {FORMAT}; continue with the version of the \
                 library that wrote it, or train from the start"
            ));
        }
        if !checksum::fits(&bytes) {
            return Err(
                "it is damaged: its checksum does not match its contents; take an earlier \
                        copy, or train from the start"
                    .into(),
            );
        }
        let manifest: Manifest = serde_json::from_str(manifest).map_err(no_manifest)?;
        counted("steps", manifest.step)?;
        let read = Reader::new(&tensors);
        let (store, layers) = (read.values("store")?, read.values("layer")?);
        let checkpoint = Self {
            seed: manifest.seed,
            step: manifest.step,
            rule: manifest.rule,
            memory: read.memory("memory", &manifest.updates, &[&store, &layers])?,
            store,
            layers,
            sites: read.sites("site", manifest.sites)?,
            record: read.record(manifest.rivals)?,
            constraints: manifest.constraints,
            given_up: manifest.given_up,
            ending: manifest.ending,
        };
        read.finish()?;
        Ok(checkpoint)
    }
}

/// The part that every manifest has, whatever its format.
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

/// The group of a rival's sites.
fn rival(place: usize) -> String {
    format!("rival/{place}")
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

fn add_sites(blobs: &mut BTreeMap<String, Blob>, group: &str, sites: &SavedSites) -> SiteManifests {
    let mut manifests = SiteManifests::new();
    for (name, site) in sites {
        let part = |part: &str| format!("{group}/{name}/{part}");
        add_values(blobs, &part("surrogate"), &site.surrogate);
        add_memory(blobs, &part("memory"), &site.memory);
        for (average, numbers) in [
            ("costs", &site.costs),
            ("learned", &site.learned),
            ("moments", &site.moments),
        ] {
            blobs.insert(part(average), Blob::f64(numbers));
        }
        let manifest = SiteManifest {
            estimator: site.estimator.clone(),
            class: site.class,
            updates: updates(&site.memory),
        };
        manifests.insert(name.clone(), manifest);
    }
    manifests
}

/// Finds the tensors of a group, which are named `group:name`, and remembers which were used.
struct Reader<'a> {
    tensors: &'a SafeTensors<'a>,
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    fn new(tensors: &'a SafeTensors<'a>) -> Self {
        Self {
            tensors,
            taken: RefCell::default(),
        }
    }

    fn tensor(&self, name: &str) -> std::result::Result<TensorView<'a>, String> {
        let view = self.tensors.tensor(name).map_err(|e| e.to_string())?;
        self.taken.borrow_mut().insert(name.to_owned());
        Ok(view)
    }

    /// An error if a tensor is left over.
    fn finish(self) -> std::result::Result<(), String> {
        let taken = self.taken.into_inner();
        let mut names = self.tensors.names().into_iter();
        match names.find(|name| !taken.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(format!("its tensor `{name}` belongs to nothing")),
        }
    }

    fn values(&self, group: &str) -> std::result::Result<BTreeMap<String, Values>, String> {
        let prefix = format!("{group}:");
        let names = self.tensors.names();
        let members = names
            .iter()
            .filter_map(|name| Some((name, name.strip_prefix(&prefix)?)));
        let read = members.map(|(full, name)| {
            let view = self.tensor(full)?;
            let values: Vec<f32> = decode::<4>(full, &view, Dtype::F32)?
                .map(f32::from_le_bytes)
                .collect();
            if values.iter().any(|x| x.is_nan()) {
                return Err(format!(
                    "its tensor `{full}` holds a value that is not a number"
                ));
            }
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
        parameters: &[&BTreeMap<String, Values>],
    ) -> std::result::Result<BTreeMap<String, Memory>, String> {
        let shape = |name: &str| {
            parameters
                .iter()
                .find_map(|saved| Some(&saved.get(name)?.shape))
        };
        if let Some(name) = updates.keys().find(|name| shape(name).is_none()) {
            return Err(format!("it remembers updates of `{name}`, which it lacks"));
        }
        let mut memory: BTreeMap<String, Memory> = updates
            .iter()
            .map(|(name, &step)| Ok((name.clone(), Memory::after(counted("updates", step)?))))
            .collect::<std::result::Result<_, String>>()?;
        for slot in 0.. {
            let values = self.values(&format!("{group}/{slot}"))?;
            if values.is_empty() {
                break;
            }
            // There is no memory of what was not updated since the optimizer began anew.
            let updated = memory.values().filter(|memory| memory.step > 0);
            let whole = values.len() == updated.count();
            for (name, values) in values {
                let len = values.values.len();
                match memory.get_mut(&name) {
                    Some(memory) if whole && shape(&name).is_some_and(|s| numel(s) == len) => {
                        memory.slots.push(values.values);
                    }
                    _ => return Err(format!("its tensor `{group}/{slot}:{name}` does not fit")),
                }
            }
        }
        Ok(memory)
    }

    fn sites(
        &self,
        group: &str,
        manifests: SiteManifests,
    ) -> std::result::Result<SavedSites, String> {
        let read = manifests.into_iter().map(|(name, site)| {
            let part = |part: &str| format!("{group}/{name}/{part}");
            let surrogate = self.values(&part("surrogate"))?;
            let saved = SavedSite {
                estimator: site.estimator,
                class: site.class,
                memory: self.memory(&part("memory"), &site.updates, &[&surrogate])?,
                surrogate,
                costs: self.f64s(&part("costs"))?,
                learned: self.f64s(&part("learned"))?,
                moments: self.f64s(&part("moments"))?,
            };
            Ok((name, saved))
        });
        read.collect()
    }

    fn record(
        &self,
        rivals: Vec<RivalManifest>,
    ) -> std::result::Result<Option<SavedRecord>, String> {
        if self.tensors.tensor(LEDGER).is_err() {
            return Ok(None);
        }
        let view = self.tensor(LEDGER)?;
        let ledger = serde_json::from_slice(view.data())
            .map_err(|e| format!("its ledger cannot be read: {e}"))?;
        let rivals = rivals
            .into_iter()
            .enumerate()
            .map(|(i, manifest)| Ok((manifest.estimator, self.sites(&rival(i), manifest.sites)?)));
        Ok(Some(SavedRecord {
            ledger,
            rivals: rivals.collect::<std::result::Result<_, String>>()?,
        }))
    }

    fn f64s(&self, name: &str) -> std::result::Result<Vec<f64>, String> {
        let view = self.tensor(name)?;
        Ok(decode::<8>(name, &view, Dtype::F64)?
            .map(f64::from_le_bytes)
            .collect())
    }
}

/// Number of elements of a shape; safetensors has checked that it is no larger than the file.
fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// A count that training may continue from.
fn counted(what: &str, count: u64) -> std::result::Result<u64, String> {
    const MOST: u64 = 1 << 53;
    match count <= MOST {
        true => Ok(count),
        false => Err(format!("its number of {what}, {count}, is too large")),
    }
}

/// The numbers of a tensor, each as its bytes.
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

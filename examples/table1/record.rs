//! What is kept of a run: its settings, its curve, where it goes on.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::entrants::{PUBLISHED_BETA2, USUAL_BETA2};
use crate::files::write_whole;
use crate::program::Outcome;
use crate::rows::Row;

/// What makes a run another run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) row: Row,
    pub(crate) estimator: String,
    /// Whether the estimator is biased.
    pub(crate) biased: bool,
    /// Whether optimiser, surrogates' surroundings and pre-training are those of the published code.
    pub(crate) published: bool,
    pub(crate) seed: u64,
    /// Adam's first rate.
    pub(crate) rate: f32,
    /// Adam's β₂. Runs before it was a setting do not say it; they are read as if they did.
    pub(crate) beta2: Option<f32>,
    /// Decay of the weights, as a fraction of the rate.
    #[serde(default)]
    pub(crate) weight_decay: f32,
    /// Whether models are evaluated at averages of the weights.
    #[serde(default)]
    pub(crate) averaged: bool,
    /// Images a step.
    pub(crate) batch: usize,
    /// The images, with their numbers.
    pub(crate) data: String,
}

/// A point of the curve: the end of an epoch, or of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Epochs so far; a fraction where a run has ended within one.
    pub(crate) epoch: f64,
    pub(crate) step: u64,
    /// ELBO of the training images from one draw each, mean over the epoch, or the part of it that was taken, in
    /// nats an image.
    pub(crate) train: f64,
    /// ELBO of the validation images from one draw each.
    pub(crate) validation: f64,
    /// Running variance of the gradient by the first latents' logits, a mean over latents of the sum over
    /// the batch.
    pub(crate) variance: f64,
    /// The same of the second latents.
    pub(crate) variance_above: Option<f64>,
    /// Time of training so far, without evaluations.
    pub(crate) seconds: f64,
    /// The same in CPU time of all threads.
    pub(crate) cpu_seconds: f64,
}

impl Point {
    /// Whether it is the end of an epoch.
    fn is_whole(&self) -> bool {
        self.epoch.fract() == 0.0
    }
}

/// Bounds at the end, in nats an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// After this step.
    pub(crate) step: u64,
    /// Importance-weighted draws an image.
    pub(crate) draws: usize,
    /// ELBO of all training images from one draw each, which unlike a curve's is of the weights as they are
    /// evaluated.
    #[serde(default)]
    pub(crate) train: Option<f64>,
    pub(crate) validation: f64,
    pub(crate) test: Option<f64>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) settings: Settings,
    /// Steps of the model, those of pre-training left out.
    pub(crate) steps: u64,
    /// Evaluations of the cost, a step.
    pub(crate) evaluations: usize,
    /// The file to go on from, beside this one.
    pub(crate) checkpoint: Option<String>,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) curve: Vec<Point>,
}

/// The file of a run in its folder.
const FILE: &str = "run.json";

impl Record {
    /// One of a run that has not begun.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            steps: 0,
            evaluations: 0,
            checkpoint: None,
            bounds: None,
            curve: Vec::new(),
        }
    }

    /// That of a folder, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Path) -> Outcome<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| refused(&error))?;
        let mut record: Self = serde_json::from_str(&text).map_err(|error| refused(&error))?;
        let settings = &mut record.settings;
        settings.beta2.get_or_insert(match settings.published {
            true => PUBLISHED_BETA2,
            false => USUAL_BETA2,
        });
        Ok(Some(record))
    }

    /// Writes it into its folder: a file that a stopped program leaves is whole, the old one or the new
    /// one. The curve stands beside it as CSV.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Outcome<()> {
        write_whole(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)?;
        let mut curve = csv::Writer::from_writer(Vec::new());
        for point in &self.curve {
            curve.serialize(point)?;
        }
        write_whole(&folder.join("curve.csv"), &curve.into_inner()?)
    }

    /// All runs in the folders of a folder, by row, then by name.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn all(folder: &Path) -> Outcome<Vec<Self>> {
        let refused = |error| format!("{}: {error}", folder.display());
        let mut folders: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(refused)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        folders.sort();
        let mut records = Vec::new();
        for folder in folders {
            records.extend(Self::read(&folder)?);
        }
        records.sort_by_key(|record| (record.settings.row, record.settings.kind()));
        Ok(records)
    }

    /// The point of the best validation ELBO among whole epochs; among all points if there is no whole one. What a
    /// part of an epoch says of training is of other images than an epoch's.
    pub(crate) fn best(&self) -> Option<&Point> {
        let has_whole = self.curve.iter().any(Point::is_whole);
        let curve = self.curve.iter();
        let candidates = curve.filter(|p| p.is_whole() == has_whole && !p.validation.is_nan());
        candidates.max_by(|a, b| a.validation.total_cmp(&b.validation))
    }

    /// The first point at which the validation ELBO was at least so high.
    pub(crate) fn reaches(&self, validation: f64) -> Option<&Point> {
        let mut curve = self.curve.iter();
        curve.find(|point| point.validation >= validation)
    }
}

impl Settings {
    /// What is neither a number nor an estimator of it, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match (self.published, self.averaged) {
            (true, _) => "published",
            (false, true) => "averaged",
            (false, false) => "iterates",
        }
    }

    /// The name of the run's folder.
    pub(crate) fn folder(&self) -> String {
        let kind = match self.kind() {
            "iterates" => String::new(),
            other => format!("-{other}"),
        };
        let Self {
            row,
            estimator,
            seed,
            ..
        } = self;
        format!("{}{kind}-{estimator}-{seed}", row.name())
    }

    /// Whether two runs differ in the estimator alone, at most.
    pub(crate) fn comparable(&self, other: &Self) -> bool {
        let estimator = self.estimator.clone();
        let biased = self.biased;
        *self
            == Self {
                estimator,
                biased,
                ..other.clone()
            }
    }
}

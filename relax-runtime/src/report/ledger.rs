//! The variance ledger: what was measured at each site while training.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::Floor;
use crate::error::{Error, Result};

/// One estimator at one site, at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// The step, from 0: measured before its update.
    pub step: u64,
    /// Full name of the site.
    pub site: String,
    /// The estimator's name.
    pub estimator: Cow<'static, str>,
    /// Whether it raced beside training, rather than being trained with.
    pub rival: bool,
    /// Running variance of the gradient by the site's parameters, summed over rows, as a mean over
    /// coordinates: the difference of moving averages of squares and of means over the last hundred
    /// or so steps, as in the RODEO experiments. It counts the movement of the parameters, too.
    #[serde(deserialize_with = "number")]
    pub running_variance: f64,
    /// The same variance over fresh draws, with parameters and surrogates held fixed.
    pub fresh_variance: Option<f64>,
    /// How much of the variance of the cost the surrogate explains: 1 − Var(f − c)/Var(f) over
    /// fresh draws, for the f and c of each row. Below 0 the surrogate adds more than it explains.
    pub fit: Option<f64>,
    /// Scale η of the relaxed cost.
    pub eta: Option<f64>,
    /// Temperature λ of the relaxed cost.
    pub temperature: Option<f64>,
    /// Evaluations of the cost for one estimate, the draw's own included. At choices that later ones follow RELAX takes
    /// more in some steps than in others, and these are the last one's.
    pub evaluations: Option<usize>,
    /// Standard error of `fresh_variance`, from pairs of draws.
    #[serde(default)]
    pub fresh_error: Option<f64>,
    /// The floor below which no control variate brings the variance of one draw, in the same unit: the
    /// variance of the local expectation. Only where
    /// [`Recording::floors`](crate::infer::Recording::floors) asks for it.
    #[serde(default)]
    pub floor: Option<f64>,
    /// Standard error of `floor`; 0 where it is exact.
    #[serde(default)]
    pub floor_error: Option<f64>,
    /// Why there is no floor, or why it does not hold for the estimator, or is not reached.
    #[serde(default)]
    pub floor_note: Option<Cow<'static, str>>,
}

impl LedgerEntry {
    /// The fresh variance as a multiple of the floor, and its standard error: [`Floor::above`].
    pub fn above_floor(&self) -> Option<(f64, f64)> {
        self.beside_floor().above()
    }

    fn beside_floor(&self) -> Floor {
        Floor {
            variance: self.fresh_variance,
            variance_error: self.fresh_error,
            value: self.floor,
            error: self.floor_error,
            note: self.floor_note.clone(),
        }
    }
}

/// Reads `null`, which JSON has for numbers that are not finite, as NaN.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// A measurement that could not be made. Training goes on without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerFailure {
    /// The step, from 0.
    pub step: u64,
    /// Full name of the site; `None` if a fresh draw of the whole objective failed.
    pub site: Option<String>,
    /// The estimator that failed. A rival is dropped from the site from then on.
    pub estimator: Option<Cow<'static, str>>,
    /// What went wrong.
    pub problem: String,
}

/// What was measured at each site at regular intervals. Prints as a table.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!((b - 0.45).square());
/// }
///
/// # fn main() -> Result<()> {
/// let recording = Recording::every(10).rival(Rloo::default());
/// let trained = Minimize::new(&coin()).steps(20).record(recording).run()?;
/// let ledger = trained.ledger().expect("a ledger");
/// println!("{ledger}");
/// assert!(ledger.site("b").any(|entry| entry.rival && entry.estimator == "rloo"));
/// assert!(ledger.to_csv()?.starts_with("step,site,estimator"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ledger {
    /// By step, then by site in the order in which they were reached; rivals after the estimator that is
    /// trained with.
    pub entries: Vec<LedgerEntry>,
    /// What could not be measured, by step.
    pub failures: Vec<LedgerFailure>,
}

impl Ledger {
    /// The entries of one site, in the order of steps.
    pub fn site(&self, name: &str) -> impl Iterator<Item = &LedgerEntry> {
        self.entries.iter().filter(move |entry| entry.site == name)
    }

    /// CSV with a header and one line per entry; what was not measured is left empty, and failures are left
    /// out.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn to_csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for entry in &self.entries {
            writer.serialize(entry).map_err(Error::user)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|e| Error::user(e.into_error()))?;
        String::from_utf8(bytes).map_err(Error::user)
    }

    /// A JSON object with the `entries` and the `failures`.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::user)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floors = self
            .entries
            .iter()
            .any(|entry| entry.floor.is_some() || entry.floor_note.is_some());
        let header = [
            "step",
            "site",
            "estimator",
            "running var.",
            "fresh var.",
            "fit",
            "eta",
            "temperature",
            "evaluations",
            if floors { "× floor" } else { "" },
        ];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.entries.iter().map(|entry| {
            let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.3}"));
            let fresh = entry.fresh_variance;
            [
                entry.step.to_string(),
                entry.site.clone(),
                if entry.rival {
                    format!("{} (rival)", entry.estimator)
                } else {
                    entry.estimator.to_string()
                },
                format!("{:.3e}", entry.running_variance),
                fresh.map_or(String::new(), |x| format!("{x:.3e}")),
                number(entry.fit),
                number(entry.eta),
                number(entry.temperature),
                entry.evaluations.map_or(String::new(), |n| n.to_string()),
                entry.beside_floor().cell(),
            ]
        }));
        super::write_table(f, &rows)?;
        // Each note once, since it is the same at every step.
        let mut told = BTreeSet::new();
        for entry in &self.entries {
            if let Some(note) = &entry.floor_note
                && told.insert((&entry.site, &entry.estimator, note))
            {
                write!(f, "\n* {}, {}: {note}", entry.site, entry.estimator)?;
            }
        }
        for failure in &self.failures {
            let estimator = failure.estimator.as_deref().unwrap_or("a fresh draw");
            write!(
                f,
                "\nstep {}: {estimator} failed: {}",
                failure.step, failure.problem
            )?;
        }
        Ok(())
    }
}

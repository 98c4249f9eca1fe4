//! Files of measurements, from which a stopped run continues.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::write_whole;
use crate::program::Outcome;

/// Measurements that were made with the same settings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results<S, R> {
    pub(crate) settings: S,
    pub(crate) rows: Vec<R>,
    /// The file, as JSON; a table as CSV stands beside it.
    #[serde(skip)]
    path: PathBuf,
}

impl<S, R> Results<S, R>
where
    S: Serialize + DeserializeOwned + PartialEq + Debug,
    R: Serialize + DeserializeOwned,
{
    /// Those of a file, or none yet.
    ///
    /// # Errors
    /// If the file cannot be read, or its measurements had other settings.
    pub(crate) fn open(path: PathBuf, settings: S) -> Outcome<Self> {
        if !path.exists() {
            return Ok(Self {
                settings,
                rows: Vec::new(),
                path,
            });
        }
        let found = Self::read(path)?;
        if found.settings == settings {
            return Ok(found);
        }
        Err(format!(
            "{} was measured with other settings; name another folder with --out, or remove it.\n\
             there: {:?}\nhere:  {settings:?}",
            found.path.display(),
            found.settings
        )
        .into())
    }

    /// Those of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(path: PathBuf) -> Outcome<Self> {
        let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| refused(&error))?;
        let found: Self = serde_json::from_str(&text).map_err(|error| refused(&error))?;
        Ok(Self { path, ..found })
    }

    /// Adds a row in place of those that it replaces, and writes the files.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn push(&mut self, row: R, replaces: impl Fn(&R) -> bool) -> Outcome<()> {
        self.rows.retain(|other| !replaces(other));
        self.rows.push(row);
        write_whole(&self.path, serde_json::to_string_pretty(self)?.as_bytes())?;
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            table.serialize(row)?;
        }
        write_whole(&self.path.with_extension("csv"), &table.into_inner()?)
    }
}

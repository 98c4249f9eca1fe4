//! What measurements of an autoencoder that are written as they are made have in common.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use relax_runtime::set_threads;

use crate::digits::Digits;
use crate::lineup::{Entrant, named};
use crate::program::Outcome;
use crate::vae::{Design, Network};

/// Settings of all of them.
#[derive(Args)]
#[group(id = "study_settings")]
pub(crate) struct Options {
    /// The autoencoder.
    #[arg(long, default_value = "leaky")]
    network: Network,
    /// Folder with gray or binary idx .gz files [default: the digits that come with the program].
    #[arg(long)]
    data: Option<PathBuf>,
    /// The estimators to measure [default: a selection].
    #[arg(long, value_delimiter = ',')]
    estimators: Vec<String>,
    /// Folder for results and checkpoints.
    #[arg(long, default_value = "target/estimators")]
    out: PathBuf,
}

/// Which estimators are measured on categories where nothing else is asked for.
const CATEGORIES: [&str; 5] = ["relax", "rebar", "rloo-2", "disarm-tree", "rloo-4"];

/// An autoencoder, its data, and who takes part.
pub(crate) struct Study {
    pub(crate) design: &'static Design,
    pub(crate) digits: Digits,
    pub(crate) entrants: Vec<Entrant>,
    out: PathBuf,
}

impl Options {
    /// Whether the latents are coins.
    pub(crate) fn coins(&self) -> bool {
        self.network != Network::Categorical
    }

    pub(crate) fn design(&self) -> &'static Design {
        self.network.design()
    }

    /// Reads the data, and makes ready to compute on one thread. Where no estimators are asked for,
    /// those of the names `coins` take part on coins.
    ///
    /// # Errors
    /// If there are no such data or estimators, or the folder for results cannot be made.
    pub(crate) fn open(&self, coins: &[&str]) -> Outcome<Study> {
        set_threads(1);
        let digits = Digits::open(self.data.as_deref())?;
        let entrants = match &self.estimators[..] {
            [] if self.coins() => named(coins)?,
            [] => named(&CATEGORIES)?,
            some => named(some)?,
        };
        fs::create_dir_all(&self.out)
            .map_err(|error| format!("--out {}: {error}", self.out.display()))?;
        Ok(Study {
            design: self.design(),
            digits,
            entrants,
            out: self.out.clone(),
        })
    }
}

impl Study {
    /// A file among the results.
    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.out.join(name)
    }
}

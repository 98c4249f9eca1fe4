//! Posteriors with known answers, at default settings: models with their discrete choices, as their authors would write
//! them. What `Svi::new(&model).run()` finds is compared with what is known.
//!
//! Without a folder, the small programs run, whose answers are exact. With a folder, which holds Bayesian networks as
//! `networks/*.bif` and data sets as `posteriordb/*.json`, these run as well: the networks' answers are exact, those of
//! the data sets are means and standard deviations of reference draws, or by quadrature.
//!
//! ```text
//! cargo run --release --example truth
//! cargo run --release --example truth -- --data FOLDER
//! ```

#[path = "../network/bif.rs"]
mod bif;
mod capture;
mod chains;
mod change;
#[path = "../support/coal.rs"]
mod coal;
mod mixtures;
#[path = "../network/model.rs"]
mod model;
mod networks;
#[path = "../support/program.rs"]
mod program;
mod small;
mod survey;
mod table;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use program::Outcome;
use table::Table;

/// Steps of small models make thousands of small tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares posteriors with what is known about them.
#[derive(Parser)]
struct Options {
    /// A folder with `networks` and `posteriordb`; without it, only the small programs run.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Run only models whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw by Hamiltonian Monte Carlo (`Svi::hmc`), started from the guide.
    #[arg(long)]
    hmc: bool,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let mut table = Table::new(options.seed, options.hmc, options.only.clone());
    small::all(&mut table)?;
    if let Some(folder) = &options.data {
        change::all(&mut table)?;
        networks::all(&mut table, &folder.join("networks"))?;
        let folder = folder.join("posteriordb");
        chains::all(&mut table, &folder)?;
        mixtures::all(&mut table, &folder)?;
        capture::all(&mut table, &folder)?;
        survey::all(&mut table, &folder)?;
        topics::all(&mut table, &folder)?;
    }
    table.conclude()
}

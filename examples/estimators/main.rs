//! Gradient estimators compared in three ways.
//!
//! ```text
//! cargo run --release --example estimators
//! cargo run --release --example estimators -- --problem bernoulli --estimators relax,rloo-2,disarm
//! cargo run --release --example estimators -- variance --data DATA/mnist
//! cargo run --release --example estimators -- elbo --data DATA/mnist --seconds 60,240
//! cargo run --release --example estimators -- report
//! ```
//!
//! - Without a command: every estimator at equal evaluations of the cost f, on coins and digits, with its bias if the
//!   exact gradient is known. See `equal.rs`.
//! - `variance`: variance of the gradient by logit and by weight, at the same weights for all, at stages of a training,
//!   with the CPU time of a step. See `stages.rs`.
//! - `elbo`: what training reaches in a given CPU time. See `budget.rs`.
//! - `report`: Markdown tables of the last two, for README and docs.
//!
//! A number after a name counts draws: of the estimator itself, or particles of RELAX. `relax-published` is RELAX as in
//! the paper: independent noise, the relaxed cost plus a network, temperature 1/2 or the number after the name. All
//! other settings are the library's defaults. The autoencoders and their sources are in `vae.rs`.

mod budget;
mod coins;
#[path = "../support/data.rs"]
#[allow(dead_code, reason = "shared with programs that need binary images")]
mod data;
mod digits;
mod equal;
#[path = "../support/files.rs"]
mod files;
mod lineup;
mod measure;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod report;
mod results;
mod stages;
mod study;
mod table;
mod task;
mod vae;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use program::Outcome;

/// The system's allocator gives large blocks back to the kernel after every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares gradient estimators; without a command, at equal evaluations of the cost.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    equal: equal::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Variance of the gradient at stages of a training, at the same weights for all estimators.
    Variance(stages::Options),
    /// ELBO after a given CPU time of training.
    Elbo(budget::Options),
    /// Tables of what `variance` and `elbo` have measured.
    Report(report::Options),
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    match &options.command {
        None => equal::run(&options.equal),
        Some(Command::Variance(options)) => stages::run(options),
        Some(Command::Elbo(options)) => budget::run(options),
        Some(Command::Report(options)) => report::run(options),
    }
}

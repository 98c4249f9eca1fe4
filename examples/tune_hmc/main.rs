//! Step sizes of samplers, tuned by gradients that pass through the accept step.
//!
//! The last thing a Metropolis–Hastings transition does is toss a coin that accepts with probability α(x, x′). As a
//! `sample!(Bernoulli(alpha))` in a `#[model]` it gets an estimator like any other choice, so any result of a chain has
//! an unbiased derivative by its step size. Samplers instead aim for an acceptance rate that theory recommends for
//! other targets.
//!
//! - `walk`: the random walk's scale of largest E[jump²] on N(0, 1), which is 2.4264.
//! - `ten`: one scale per coordinate in ten dimensions; the best ones are proportional to the target's.
//! - `trap`: leapfrog steps that turn by 180 degrees, and paths of random length.
//! - `mixture`: effective samples of Hamiltonian Monte Carlo on a mixture's posterior, its discrete choices summed out,
//!   against dual averaging at acceptance .8 (Hoffman and Gelman 2014).
//! - `known`: derivatives of finite chains beside the exact ones, estimator by estimator.
//!
//! Gradients through accept steps: Arya, Seyer, Schäfer, Chandra, Lew, Huot, Mansinghka, Rackauckas, "Differentiating
//! Metropolis-Hastings to optimize intractable densities" (2023), who find 2.429.
//!
//! ```text
//! cargo run --release --example tune_hmc
//! cargo run --release --example tune_hmc -- walk mixture --seed 2
//! ```

mod averaging;
mod ess;
mod gaussian;
mod gradients;
mod kernel;
mod known;
mod mixture;
mod model;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod target;
mod tuning;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use program::Outcome;

/// Tunes step sizes by gradients that pass through the accept step.
#[derive(Parser)]
pub(crate) struct Options {
    /// Parts to run [default: all].
    parts: Vec<Part>,
    /// Parallel chains while step sizes are learned.
    #[arg(long, default_value_t = 1000)]
    chains: usize,
    /// Transitions in which step sizes are learned.
    #[arg(long, default_value_t = 1000)]
    rounds: u64,
    /// How far the scale on N(0, 1) may be from the best one; three times that, as a fraction, in ten
    /// dimensions.
    #[arg(long, default_value_t = 0.02)]
    within: f64,
    /// Transitions of the mixture's chains that count.
    #[arg(long, default_value_t = 1000)]
    draws: usize,
    /// Largest number of leapfrog steps on the mixture.
    #[arg(long, value_delimiter = ',', default_value = "2,4,8")]
    leapfrogs: Vec<usize>,
    /// Finite chains of the part `known`, in thousands.
    #[arg(long, default_value_t = 50)]
    thousands: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for tables and plots.
    #[arg(long, default_value = "target/tune_hmc")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Walk,
    Ten,
    Trap,
    Mixture,
    Known,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let counts = [options.chains, options.draws, options.thousands as usize];
    if counts.contains(&0) || options.rounds < 10 || options.leapfrogs.contains(&0) {
        return Err("--rounds must be at least 10, and every other number at least 1".into());
    }
    std::fs::create_dir_all(&options.out)?;
    for part in Part::value_variants() {
        if !options.parts.is_empty() && !options.parts.contains(part) {
            continue;
        }
        let start = Instant::now();
        match part {
            Part::Walk => gaussian::walk(options)?,
            Part::Ten => gaussian::ten_dimensions(options)?,
            Part::Trap => gaussian::trap(options.seed)?,
            Part::Mixture => mixture::compare(options)?,
            Part::Known => known::compare(options)?,
        }
        println!("  {:.1} s\n", start.elapsed().as_secs_f64());
    }
    Ok(())
}

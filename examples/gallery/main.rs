//! Ordinary models of discrete choices, one file each, as their authors would write them. What `Svi::new(&model).run()`
//! finds at default settings is compared with what is known: a sum over all combinations, a recursion, a closed form,
//! or what the data were made with.
//!
//! ```text
//! cargo run --release --example gallery
//! cargo run --release --example gallery -- coal ising
//! ```

mod blocks;
mod brackets;
mod change;
#[path = "../support/coal.rs"]
mod coal;
mod diagnosis;
mod factorial;
mod features;
mod inflated;
mod ising;
mod known;
#[path = "../support/program.rs"]
mod program;
mod slab;
mod switching;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use program::Outcome;

/// Fits a model, and says what it found beside what is known.
type Run = fn() -> Outcome<()>;

const MODELS: [(&str, Run); 10] = [
    ("coal", change::run),
    ("inflated", inflated::run),
    ("ising", ising::run),
    ("diagnosis", diagnosis::run),
    ("factorial", factorial::run),
    ("blocks", blocks::run),
    ("slab", slab::run),
    ("brackets", brackets::run),
    ("switching", switching::run),
    ("features", features::run),
];

/// Compares what models find with what is known about them.
#[derive(Parser)]
struct Options {
    /// Models to run [default: all].
    names: Vec<String>,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    for name in &options.names {
        if !MODELS.iter().any(|(known, _)| known == name) {
            let all = MODELS.map(|(name, _)| name).join(", ");
            return Err(format!("unknown model `{name}`; expected one of {all}").into());
        }
    }
    for (name, run) in MODELS {
        if !options.names.is_empty() && !options.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("{name}");
        let start = Instant::now();
        run().map_err(|error| format!("{name}: {error}"))?;
        println!("  {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

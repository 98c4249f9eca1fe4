//! Time and memory of one optimisation step of each job. `cargo bench --bench steps` prints a
//! table, with `-- --json` a line of JSON a job; `-- FILTER` runs the jobs whose name holds the
//! filter, with `--exact` the one of that name.
//!
//! `benches/compare` runs the same jobs beside programs for PyTorch, JAX, Pyro and NumPyro.

#[path = "../../examples/support/autoencoder.rs"]
#[allow(dead_code, reason = "shared with programs that do more than train it")]
mod autoencoder;
mod chain;
#[path = "../../examples/support/data.rs"]
#[allow(dead_code, reason = "shared with programs that read images")]
mod data;
mod small;
mod timing;
mod vae;

use std::time::Duration;

use clap::Parser;
use relax_runtime::prelude::*;

use timing::{Measurement, Setting, measure};

/// The system's allocator gives large blocks back to the kernel after every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures optimisation steps.
#[derive(Parser)]
struct Options {
    /// Prints a line of JSON a job.
    #[arg(long)]
    json: bool,
    /// Prints the names of the jobs, and runs none.
    #[arg(long)]
    list: bool,
    /// Number of blocks.
    #[arg(long, default_value_t = 9)]
    blocks: usize,
    /// Length of a block, in seconds.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Threads that kernels use, instead of one a core.
    #[arg(long)]
    threads: Option<usize>,
    /// Takes at least this many steps, to see whether memory grows.
    #[arg(long, default_value_t = 0)]
    steps: u64,
    /// Runs the job of exactly this name.
    #[arg(long)]
    exact: bool,
    /// Runs only jobs whose name holds this.
    filter: Option<String>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a job measures: a step of training, which returns its loss.
type Step = Box<dyn FnMut() -> Result<f64>>;

/// A job: its name, and what makes its step ready.
struct Job {
    name: String,
    prepare: Box<dyn FnOnce() -> Result<Step>>,
}

impl Job {
    fn new(name: impl Into<String>, prepare: impl FnOnce() -> Result<Step> + 'static) -> Self {
        Self {
            name: name.into(),
            prepare: Box::new(prepare),
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(count) = options.threads {
        relax_runtime::set_threads(count);
    }
    let wanted = |name: &str| match &options.filter {
        None => true,
        Some(filter) if options.exact => name == filter,
        Some(filter) => name.contains(filter),
    };
    let setting = Setting {
        blocks: options.blocks.max(1),
        block: Duration::try_from_secs_f64(options.seconds).map_err(Error::user)?,
        least_steps: options.steps,
    };
    let jobs = small::jobs()
        .into_iter()
        .chain(chain::jobs())
        .chain(vae::jobs());
    for job in jobs.filter(|job| wanted(&job.name)) {
        if options.list {
            println!("{}", job.name);
            continue;
        }
        let measured = measure(&mut *(job.prepare)()?, setting)?;
        println!("{}", line(&job.name, &measured, options.json));
    }
    Ok(())
}

/// One job's line: of a table, or of JSON.
fn line(name: &str, measured: &Measurement, json: bool) -> String {
    let Measurement {
        median,
        least,
        greatest,
        steps,
        first_loss,
        last_loss,
        memory,
    } = measured;
    let kib = |of: fn(&timing::Growth) -> i64| memory.as_ref().map(of);
    let (resident, peak) = (kib(|m| m.resident), kib(|m| m.peak));
    let grown = kib(timing::Growth::since_warm);
    if !json {
        let mib = |kib: Option<i64>| kib.map_or(f64::NAN, |kib| kib as f64 / 1024.0);
        return format!(
            "{name:32} {median:>12.2} µs a step (least {least:.2}), {:.1} MiB (grown by {:.1})",
            mib(resident),
            mib(grown)
        );
    }
    let number = |x: Option<i64>| x.map_or("null".into(), |x| x.to_string());
    format!(
        r#"{{"job":"{name}","unit":"us/step","median":{median:.3},"min":{least:.3},"max":{greatest:.3},"steps":{steps},"loss_first":{first_loss:.4},"loss_last":{last_loss:.4},"resident_kib":{},"peak_kib":{},"grown_kib":{}}}"#,
        number(resident),
        number(peak),
        number(grown)
    )
}

//! Time of one optimisation step: the toy problem, and the discrete autoencoder at three batch
//! sizes. `cargo bench --bench steps` prints a table, with `-- --json` a line of JSON a job; `--
//! FILTER` runs the jobs whose name holds the filter.
//!
//! A job is timed in blocks of half a second after warming up, and its figure is the median block:
//! on a shared machine single steps scatter, and a mean would follow the worst of them.

#[path = "../examples/discrete_vae/data.rs"]
#[allow(dead_code, reason = "the bench reads no files")]
mod data;
#[path = "../examples/discrete_vae/model.rs"]
#[allow(dead_code, reason = "the bench trains only")]
mod model;

use std::time::{Duration, Instant};

/// The system's allocator gives large blocks back to the kernel after every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::Parser;
use relax_runtime::prelude::*;

use data::{BinaryImages, Dataset, PIXELS};
use model::{Vae, generate, recognise};

/// Measures the time of optimisation steps.
#[derive(Parser)]
struct Options {
    /// Prints a line of JSON a job.
    #[arg(long)]
    json: bool,
    /// Number of blocks.
    #[arg(long, default_value_t = 9)]
    blocks: usize,
    /// Runs only jobs whose name holds this.
    filter: Option<String>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const BLOCK: Duration = Duration::from_millis(500);

/// A job: its name, and what does one step.
type Job = (String, Box<dyn FnMut() -> Result<()>>);

fn main() -> Result<()> {
    let options = Options::parse();
    let wanted = |name: &str| {
        options
            .filter
            .as_ref()
            .is_none_or(|part| name.contains(part))
    };
    for (name, mut step) in jobs()?.into_iter().filter(|(name, _)| wanted(name)) {
        let mut seconds = time(&mut *step, options.blocks.max(1))?;
        seconds.sort_by(f64::total_cmp);
        let (median, least) = (seconds[seconds.len() / 2] * 1e6, seconds[0] * 1e6);
        if options.json {
            println!(
                r#"{{"job":"{name}","unit":"us/step","median":{median:.2},"min":{least:.2}}}"#
            );
        } else {
            println!("{name:32} {median:>12.2} µs a step (least {least:.2})");
        }
    }
    Ok(())
}

/// Seconds a step, block by block.
fn time(step: &mut dyn FnMut() -> Result<()>, blocks: usize) -> Result<Vec<f64>> {
    let mut block = |steps: &mut u64, limit: Duration| {
        let started = Instant::now();
        *steps = 0;
        while started.elapsed() < limit {
            step()?;
            *steps += 1;
        }
        Ok::<_, Error>(started.elapsed().as_secs_f64() / *steps as f64)
    };
    let mut steps = 0;
    block(&mut steps, BLOCK)?;
    (0..blocks).map(|_| block(&mut steps, BLOCK)).collect()
}

/// One coin with a learned logit (paper, section 5.1).
#[model]
fn toy(target: f64) {
    let logit = param!(0.0);
    let b = sample!(Bernoulli(logits = logit));
    cost!((b - target as f32).square());
}

fn jobs() -> Result<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::new();
    for (name, estimator) in [
        ("toy relax", Relax::default()),
        ("toy relax free-form", Relax::free_form()),
    ] {
        let mut trainer = Trainer::new(1).with_estimator(estimator);
        let step = move || trainer.step(&ExpectedCost::new(&toy(0.499))).map(drop);
        jobs.push((name.into(), Box::new(step)));
    }
    let train = Dataset::embedded().map_err(Error::user)?.train;
    for batch in [24, 100, 512] {
        for estimator in ["relax", "reinforce"] {
            let step = vae_step(&train, batch, estimator)?;
            jobs.push((format!("discrete_vae {estimator} batch {batch}"), step));
        }
    }
    Ok(jobs)
}

fn vae_step(
    images: &BinaryImages,
    batch: usize,
    estimator: &str,
) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let count = images.count();
    let vae = Vae::new(images.mean(), 1, &Device::cpu())?;
    let mut trainer = Trainer::new(1)
        .with_estimator(relax_runtime::estimator::by_name(estimator)?)
        .with_optimizer(Adam::new(1e-3))?;
    let pixels = images.batch(&(0..batch).collect::<Vec<_>>());
    let x = Tensor::from_vec(pixels, [batch, PIXELS], &Device::cpu())?;
    Ok(Box::new(move || {
        let (model, guide) = (generate(&x, &vae, count), recognise(&x, &vae, count));
        trainer.step(&Elbo::new(&model).guide(&guide)).map(drop)
    }))
}

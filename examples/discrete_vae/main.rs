//! A variational autoencoder with 200 binary latents learns handwritten digits, with gradients estimated by RELAX: the
//! experiment of "Backpropagation through the Void" (Grathwohl, Choi, Wu, Roeder, Duvenaud, ICLR 2018), section 5.2,
//! with one linear layer each way.
//!
//! `cargo run --release --example discrete_vae` trains on the digits that come with the program; `--data DIR` takes a
//! folder of idx files, `--estimator reinforce` or `rebar` compares.

#[path = "../support/autoencoder.rs"]
#[allow(dead_code, reason = "shared with programs that train its other kinds")]
mod autoencoder;
#[path = "../support/compute.rs"]
mod compute;
#[path = "../support/data.rs"]
#[allow(dead_code, reason = "shared with programs that need grey images, too")]
mod data;
mod evaluate;
mod pictures;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that save charts alone")]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use relax_runtime::estimator::by_name;
use relax_runtime::prelude::*;

use autoencoder::{Autoencoder, Kind, generate, recognise};
use compute::Compute;
use data::{BinaryImages, Dataset, PIXELS};
use plot::{Chart, Scale, Series};
use program::Outcome;
use progress::Progress;

/// The system's allocator gives large blocks back to the kernel after every step; this one keeps
/// them, which matters for large batches.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains a discrete variational autoencoder on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Gradient estimator: relax, relax-free-form, rebar, reinforce, reinforce-without-baseline,
    /// rloo, disarm, arms, indecater.
    #[arg(long, default_value = "relax")]
    estimator: String,
    /// Optimization steps.
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Images per step.
    #[arg(long, default_value_t = 24)]
    batch: usize,
    /// Learning rate of Adam, whose iterates are averaged for the evaluation.
    #[arg(long, default_value_t = 4e-3)]
    learning_rate: f32,
    /// Weight decay of each step, as a fraction of the learning rate.
    #[arg(long, default_value_t = 0.03, allow_negative_numbers = true)]
    weight_decay: f32,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with binarized idx .gz files [default: the digits that come with the program].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder for the picture and the checkpoint.
    #[arg(long, default_value = "target/discrete_vae")]
    out: PathBuf,
    /// Resume from the checkpoint in the folder `--out`; if all steps are done, only evaluate.
    #[arg(long)]
    resume: bool,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 1_000)]
    checkpoint_every: u64,
    /// Importance-weighted draws per image for the final bound.
    #[arg(long, default_value_t = 100)]
    draws: usize,
    #[command(flatten)]
    compute: Compute,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let device = options.compute.device()?;
    let counts = [
        ("--steps", options.steps),
        ("--batch", options.batch as u64),
        ("--checkpoint-every", options.checkpoint_every),
        ("--draws", options.draws as u64),
    ];
    if let Some((option, _)) = counts.iter().find(|(_, count)| *count == 0) {
        return Err(format!("{option} is 0; give at least 1").into());
    }
    let dataset = match &options.data {
        Some(folder) => Dataset::load(folder)?,
        None => Dataset::embedded()?,
    };
    if options.batch > dataset.train.count() {
        return Err(format!(
            "--batch is {}, but there are only {} images to train on",
            options.batch,
            dataset.train.count()
        )
        .into());
    }
    println!("{dataset}");
    let mean = dataset.train.mean();
    let vae = Autoencoder::new(Kind::OneLayer, mean, options.seed, &device)?;
    let adam = Adam::new(options.learning_rate)
        .betas(0.9, 0.99999)
        .weight_decay(options.weight_decay);
    let mut trainer = Trainer::new(options.seed)
        .estimator(by_name(&options.estimator)?)
        .optimizer(Averaged::of(adam))
        .layers(vae.parameters());
    std::fs::create_dir_all(&options.out)
        .map_err(|error| format!("--out {}: {error}", options.out.display()))?;
    let checkpoint = options.out.join("checkpoint.safetensors");
    if options.resume {
        trainer.resume(&checkpoint)?;
        println!("resumed after {} steps", trainer.steps_taken());
    }

    let trains = trainer.steps_taken() < options.steps;
    let curves = match trains {
        true => train(
            options,
            &dataset.train,
            &vae,
            &mut trainer,
            &checkpoint,
            &device,
        )?,
        false => Vec::new(),
    };
    match trains {
        true => println!("{}", trainer.plan()),
        false => println!("already trained; to train longer, raise --steps"),
    }

    // Checkpoints go on from the last weights; what is shown from here on is of their averages.
    trainer.take_averages()?;
    let started = Instant::now();
    let evidence = vae.evidence(
        &dataset.validation,
        trainer.params(),
        options.seed,
        options.draws,
    )?;
    println!(
        "validation: ELBO {:.2}, {}-sample bound {:.2} nats per image ({:.1} s)",
        evidence.elbo,
        options.draws,
        evidence.bound,
        started.elapsed().as_secs_f64()
    );

    let path = options.out.join("discrete_vae.svg");
    // Without new curves a picture that is there is the better one.
    if !trains && path.exists() {
        return Ok(());
    }
    evaluate::picture(&dataset.validation, &vae, options.seed, &curves, &device)?.save(&path)?;
    println!("picture: {}", path.display());
    Ok(())
}

/// Trains for all steps; returns the curves of ELBO and gradient variance.
fn train(
    options: &Options,
    images: &BinaryImages,
    vae: &Autoencoder,
    trainer: &mut Trainer,
    checkpoint: &Path,
    device: &Device,
) -> Outcome<Vec<Chart>> {
    let (mut elbos, mut variances) = (Vec::new(), Vec::new());
    let mut average = None;
    let mut last_variance = 0.0;
    let first = trainer.steps_taken();
    let started = Instant::now();
    let mut progress = Progress::new("steps", first, options.steps)?;
    for step in first..options.steps {
        // Which images a step sees depends on seed and step alone, so that a resumed run sees what
        // an uninterrupted one would have seen.
        let mut order = Key {
            step,
            ..Key::new(options.seed)
        }
        .stream("data");
        let indices: Vec<usize> = (0..options.batch)
            .map(|_| order.below(images.count()))
            .collect();
        let x = Tensor::from_vec(images.batch(&indices), [options.batch, PIXELS], device)?;
        let (model, guide) = (
            generate(&x, vae, images.count()),
            recognise(&x, vae, images.count()),
        );
        let report = trainer.step(&Elbo::new(&model).guide(&guide))?;

        let elbo = report.elbo() / images.count() as f64;
        let running = *average.insert(average.map_or(elbo, |a: f64| 0.995 * a + 0.005 * elbo));
        last_variance = report.site("h").map_or(0.0, |site| site.variance);
        if step % (options.steps / 500).max(1) == 0 || step + 1 == options.steps {
            elbos.push((step as f64, running));
            // The first gradients are too few to have a variance.
            if step >= 100 {
                variances.push((step as f64, last_variance));
            }
        }
        progress.at(step + 1, || format!("ELBO {running:.2}"));
        if (step + 1) % options.checkpoint_every == 0 || step + 1 == options.steps {
            trainer.save(checkpoint)?;
        }
    }
    drop(progress);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "trained {} steps of {} images in {seconds:.1} s ({:.3} ms per step): running train ELBO {:.2} nats \
         per image, variance of the logits' gradient {last_variance:.1e}",
        options.steps,
        options.batch,
        1e3 * seconds / (options.steps - first) as f64,
        average.unwrap_or(f64::NAN),
    );
    let chart = |title: &str, y_label: &str, y_scale, points| Chart {
        title: title.into(),
        x_label: "step".into(),
        y_label: y_label.into(),
        y_scale,
        series: vec![Series {
            name: options.estimator.clone(),
            points,
        }],
    };
    Ok(vec![
        chart(
            "Train ELBO, running mean",
            "nats per image",
            Scale::Linear,
            elbos,
        ),
        chart(
            "Variance of the gradient",
            "by the latents' logits",
            Scale::Log,
            variances,
        ),
    ])
}

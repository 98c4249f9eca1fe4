//! What training reaches in a given CPU time.
//!
//! Each estimator trains an autoencoder from the same initial weights, on the CPU, on one thread. Only its steps count,
//! including Adam's update; making the batches and evaluations are left out. The ELBO is in nats per image, from one
//! draw each of the first `--images` training images, and of as many held-out ones. The numbers a run ends with depend
//! on the machine's speed, so two runs differ. Each training is written when it ends: a run that was stopped continues
//! after the last one.

use std::time::Duration;

use clap::Args;
use relax_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::lineup::Entrant;
use crate::measure::batch_key;
use crate::program::Outcome;
use crate::progress::Progress;
use crate::results::Results;
use crate::stages::timed_step;
use crate::study;
use crate::task::Task;
use crate::vae::Vae;

/// Settings of `elbo`.
#[derive(Args)]
#[group(id = "elbo_settings")]
pub(crate) struct Options {
    #[command(flatten)]
    study: study::Options,
    /// CPU seconds of training after which to evaluate.
    #[arg(long, value_delimiter = ',', default_value = "60")]
    seconds: Vec<f64>,
    /// Seeds; every estimator is trained with each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Images per step [default: the network's].
    #[arg(long)]
    batch: Option<usize>,
    /// Adam's rate [default: the network's].
    #[arg(long)]
    learning_rate: Option<f32>,
    /// Images evaluated of each kind.
    #[arg(long, default_value_t = 10_000)]
    images: usize,
}

/// What all trainings of a file have in common.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) network: String,
    pub(crate) title: String,
    pub(crate) batch: usize,
    pub(crate) rate: f32,
    pub(crate) images: usize,
}

/// What a training had reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) estimator: String,
    pub(crate) seed: u64,
    /// CPU seconds of training.
    pub(crate) seconds: f64,
    pub(crate) steps: u64,
    /// Of f, a step.
    pub(crate) evaluations: usize,
    /// ELBO of images that were trained on.
    pub(crate) train: f64,
    /// ELBO of others.
    pub(crate) held_out: f64,
}

pub(crate) type Table = Results<Settings, Reached>;

/// Trains what has not been trained yet.
///
/// # Errors
/// Settings that make no sense, files that cannot be read or written, or whatever goes wrong in an
/// estimator.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let mut limits = options.seconds.clone();
    limits.sort_by(f64::total_cmp);
    if limits
        .iter()
        .any(|seconds| !(seconds.is_finite() && *seconds > 0.0))
    {
        return Err("--seconds must be above 0".into());
    }
    let design = options.study.design();
    let batch = options.batch.unwrap_or(design.batch);
    if batch == 0 || options.images == 0 {
        return Err("--batch and --images must be at least 1".into());
    }
    let study = options.study.open(&COINS)?;
    let digits = &study.digits;
    let settings = Settings {
        network: design.name.into(),
        title: Vae::new(design, digits, 0)?.title(),
        batch,
        rate: options.learning_rate.unwrap_or(design.rate),
        images: options.images,
    };
    println!("{}, batch {batch}, rate {}", settings.title, settings.rate);
    let file = study.file(format!("elbo-{}-{batch}.json", design.name));
    let mut results = Table::open(file, settings)?;
    let evaluated = [
        digits.trained_on(options.images)?,
        digits.held_out(options.images)?,
    ];
    println!("{HEADER}");
    for &seed in &options.seeds {
        for entrant in &study.entrants {
            let of = |row: &Reached| row.estimator == entrant.name && row.seed == seed;
            let is = |row: &Reached, seconds: f64| of(row) && row.seconds == seconds;
            let done = |&seconds: &f64| results.rows.iter().any(|row| is(row, seconds));
            if !limits.iter().all(done) {
                let vae = Vae::new(design, digits, seed)?;
                for row in train(&vae, entrant, seed, &limits, &results.settings, &evaluated)? {
                    let seconds = row.seconds;
                    results.push(row, |other| is(other, seconds))?;
                }
            }
            let rows = results.rows.iter().filter(|row| of(row));
            rows.for_each(|row| println!("{}", line(row)));
        }
    }
    Ok(())
}

/// What is trained on coins where nothing else is asked for.
const COINS: [&str; 7] = [
    "relax",
    "disarm",
    "double-cv-2",
    "rodeo-3",
    "rloo-4",
    "arms-4",
    "arms-6",
];

const HEADER: &str = "estimator            seed  CPU s   steps  ms/step  train ELBO  held-out ELBO";

fn line(row: &Reached) -> String {
    format!(
        "{:19} {:>5}  {:>5}  {:>6}  {:7.2}  {:10.2}  {:13.2}",
        row.estimator,
        row.seed,
        row.seconds,
        row.steps,
        1e3 * row.seconds / row.steps as f64,
        row.train,
        row.held_out
    )
}

/// One training, as it stood at each limit.
fn train(
    vae: &Vae,
    entrant: &Entrant,
    seed: u64,
    limits: &[f64],
    settings: &Settings,
    [trained_on, held_out]: &[Vec<Tensor>; 2],
) -> Outcome<Vec<Reached>> {
    let mut trainer = entrant.trainer(seed).optimizer(Adam::new(settings.rate));
    let mut reached = Vec::new();
    let mut spent = Duration::ZERO;
    let last = limits.last().copied().unwrap_or_default();
    let mut progress = Progress::new("CPU s", 0, last.ceil() as u64)?;
    for &seconds in limits {
        let mut evaluations = 0;
        while spent.as_secs_f64() < seconds {
            let key = batch_key(seed, trainer.steps_taken());
            let x = vae.batch(key, settings.batch)?;
            let (time, report) = timed_step(vae, &mut trainer, &x)?;
            spent += time;
            evaluations = report.evaluations;
            progress.at(spent.as_secs(), || {
                format!("{}, seed {seed}, {report}", entrant.name)
            });
        }
        reached.push(Reached {
            estimator: entrant.name.into(),
            seed,
            seconds,
            steps: trainer.steps_taken(),
            evaluations,
            train: vae.elbo(trained_on, &trainer, 1)?,
            held_out: vae.elbo(held_out, &trainer, 1)?,
        });
    }
    Ok(reached)
}

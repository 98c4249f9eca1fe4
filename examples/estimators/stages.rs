//! Variance of the gradient at stages of a training, at the same weights for all estimators.
//!
//! One estimator trains an autoencoder. At each stage the weights are held fixed, and every estimator
//! - first learns what it learns (surrogates, weights of control variates, baselines) from `--learn` steps on batches
//!   of its own, with its parameters starting afresh;
//! - is then held fixed itself and measured: variance by a logit of an image's gradient, averaged over images and
//!   logits; by a weight of the encoder, of the mean gradient of a batch that is the same in all draws (the batch's
//!   noise out); and the same with a new batch in each draw (in). The last two are averaged over the weights, biases
//!   included;
//! - takes some steps of training, by Adam, whose median CPU time is the time of an estimate; the weights are then
//!   restored.
//!
//! Runs on the CPU, on one thread. The training's weights are saved every thousand steps, and each measurement when it
//! is made: a run that was stopped continues where it was.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cpu_time::ProcessTime;
use relax_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::lineup::{Entrant, named};
use crate::measure::{LEARNING, PROBE_BATCH, PROBES, Still, batch_key};
use crate::program::Outcome;
use crate::progress::Progress;
use crate::results::Results;
use crate::study::{self, Study};
use crate::task::Task;
use crate::vae::Vae;

/// Settings of `variance`.
#[derive(Args)]
#[group(id = "variance_settings")]
pub(crate) struct Options {
    #[command(flatten)]
    study: study::Options,
    /// Steps of training after which to measure.
    #[arg(long, value_delimiter = ',', default_value = "2000,20000,100000")]
    stages: Vec<u64>,
    /// The estimator that trains [default: disarm, or disarm-tree for categories].
    #[arg(long)]
    along: Option<String>,
    /// Steps that an estimator learns from at each stage before it is measured.
    #[arg(long, default_value_t = 2_000)]
    learn: u64,
    /// Batches over which variances are averaged.
    #[arg(long, default_value_t = 8)]
    batches: u64,
    /// Draws per batch.
    #[arg(long, default_value_t = 24)]
    draws: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What all measurements of a file have in common.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) network: String,
    pub(crate) title: String,
    pub(crate) along: String,
    pub(crate) batch: usize,
    pub(crate) rate: f32,
    pub(crate) learn: u64,
    pub(crate) batches: u64,
    pub(crate) draws: u64,
    pub(crate) seed: u64,
}

/// One estimator at one stage: variances with their standard errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) stage: u64,
    pub(crate) estimator: String,
    /// Of f, an estimate.
    pub(crate) evaluations: usize,
    /// By a logit of an image.
    pub(crate) logit: f64,
    pub(crate) logit_error: f64,
    /// By a weight of the encoder, the batch fixed.
    pub(crate) weight: f64,
    pub(crate) weight_error: f64,
    /// By a weight of the encoder, a new batch in each draw.
    pub(crate) total: f64,
    pub(crate) total_error: f64,
    /// CPU milliseconds of a step of training.
    pub(crate) ms: f64,
}

pub(crate) type Table = Results<Settings, Measured>;

/// Measures what is not measured yet.
///
/// # Errors
/// Settings that make no sense, files that cannot be read or written, or whatever goes wrong in an
/// estimator.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let mut stages = options.stages.clone();
    stages.sort_unstable();
    if options.draws < 2 || options.batches < 2 {
        return Err("--batches and --draws must be at least 2, to have a variance".into());
    }
    let study = options.study.open(&COINS)?;
    let usual = match options.study.coins() {
        true => "disarm",
        false => "disarm-tree",
    };
    let along = options.along.as_deref().unwrap_or(usual);
    let design = study.design;
    let vae = Vae::new(design, &study.digits, options.seed)?;
    let settings = Settings {
        network: design.name.into(),
        title: vae.title(),
        along: along.into(),
        batch: design.batch,
        rate: design.rate,
        learn: options.learn,
        batches: options.batches,
        draws: options.draws,
        seed: options.seed,
    };
    let file = study.file(format!("variance-{}.json", design.name));
    let mut results = Table::open(file, settings)?;
    println!("{}, along the training of {along}", vae.title());
    let course = Course {
        study: &study,
        vae: &vae,
        leader: named(&[along])?.remove(0),
        seed: options.seed,
        stages: &stages,
    };
    for &stage in &stages {
        let done = |entrant: &&Entrant| {
            let mut rows = results.rows.iter();
            !rows.any(|row| row.stage == stage && row.estimator == entrant.name)
        };
        let missing: Vec<Entrant> = study.entrants.iter().filter(done).cloned().collect();
        if !missing.is_empty() {
            course.reach(stage)?;
        }
        println!("{HEADER}");
        let before = results.rows.iter().filter(|row| row.stage == stage);
        before.for_each(|row| println!("{}", line(row)));
        for entrant in &missing {
            let row = measure(&vae, entrant, stage, options)?;
            println!("{}", line(&row));
            results.push(row, |_| false)?;
        }
    }
    Ok(())
}

/// What is measured on coins where nothing else is asked for.
const COINS: [&str; 13] = [
    "relax",
    "relax-0.35",
    "disarm",
    "rloo-2",
    "double-cv-2",
    "rodeo-2",
    "relax-published-0.1",
    "arms-3",
    "double-cv-3",
    "rodeo-3",
    "rloo-4",
    "arms-4",
    "arms-6",
];

const HEADER: &str =
    "  stage  estimator            f   by logit  by weight  with batch's noise  ms";

fn line(row: &Measured) -> String {
    format!(
        "{:>7}  {:19} {:>2}  {:9.3e}  {:9.3e}  {:18.3e}  {:.2}",
        row.stage, row.estimator, row.evaluations, row.logit, row.weight, row.total, row.ms
    )
}

/// The training along which is measured.
struct Course<'a> {
    study: &'a Study,
    vae: &'a Vae,
    leader: Entrant,
    seed: u64,
    stages: &'a [u64],
}

impl Course<'_> {
    fn file(&self, step: u64) -> PathBuf {
        let (network, leader) = (self.vae.design.name, self.leader.name);
        let name = format!("{network}-{leader}-{step}.safetensors");
        self.study.file(name)
    }

    /// Gives the autoencoder the weights of a stage.
    fn reach(&self, stage: u64) -> Outcome<()> {
        const SAVED: u64 = 1_000;
        let mut trainer = self
            .leader
            .trainer(self.seed)
            .optimizer(Adam::new(self.vae.design.rate))
            .layers(self.vae.parameters());
        let is_saved = |step: u64| step.is_multiple_of(SAVED) || self.stages.contains(&step);
        let mut saved = (0..=stage).rev().filter(|&step| is_saved(step));
        if let Some(step) = saved.find(|&step| self.file(step).exists()) {
            trainer.resume(self.file(step))?;
        }
        let mut progress = Progress::new("steps", trainer.steps_taken(), stage)?;
        let mut rolling: Option<PathBuf> = None;
        while trainer.steps_taken() < stage {
            let key = batch_key(self.seed, trainer.steps_taken());
            let x = self.vae.batch(key, self.vae.rows())?;
            self.vae
                .with_objective(&x, None, &mut |objective| trainer.step(objective).map(drop))?;
            let step = trainer.steps_taken();
            if is_saved(step) {
                trainer.save(self.file(step))?;
                let old = rolling.replace(self.file(step));
                old.map_or(Ok(()), fs::remove_file)?;
            }
            progress.at(step, || format!("trained by {}", self.leader.name));
        }
        Ok(())
    }
}

/// Lets an estimator learn at the weights as they are, and measures it.
fn measure(vae: &Vae, entrant: &Entrant, stage: u64, options: &Options) -> Outcome<Measured> {
    let seed = options.seed;
    let mut trainer = entrant.trainer(seed).optimizer(Still);
    let batch = |part: u64, step: u64| {
        let key = Key {
            step,
            ..Key::new(part + seed)
        };
        vae.batch(key, vae.rows())
    };
    let learned = if entrant.learns { options.learn } else { 0 };
    for step in 0..learned {
        let x = batch(LEARNING, step)?;
        let logits = Parameter::new(vae.logits(&x).detach());
        vae.with_objective(&x, Some(&logits), &mut |objective| {
            trainer.step(objective).map(drop)
        })?;
    }
    let mut draw = 0;
    let mut evaluations = 0;
    let mut gradient = |x: &Tensor| -> Result<Tensor> {
        let logits = Parameter::new(vae.logits(x).detach());
        let key = Key {
            step: draw,
            ..Key::new(PROBES + seed)
        };
        draw += 1;
        let mut by_logits = logits.get().zeros_like();
        vae.with_objective(x, Some(&logits), &mut |objective| {
            let found = trainer.gradients(objective, key)?;
            evaluations = found.evaluations;
            let all = found.parameters.into_iter();
            let own = all.filter(|(parameter, _)| parameter.key() == logits.key());
            own.for_each(|(_, gradient)| by_logits = gradient);
            Ok(())
        })?;
        Ok(by_logits)
    };
    let (mut logit, mut weight, mut total) = (Vec::new(), Vec::new(), Vec::new());
    for group in 0..options.batches {
        let x = batch(PROBE_BATCH, group)?;
        let (mut by_logit, mut by_weight) = (Spread::default(), Spread::default());
        let mut with_noise = Spread::default();
        for draw in 0..options.draws {
            let g = gradient(&x)?;
            by_logit.add(&g.to_vec()?);
            by_weight.add(&vae.pull(&x, &g)?);
            let x = batch(PROBE_BATCH, (group + 1) << 32 | draw)?;
            let g = gradient(&x)?;
            with_noise.add(&vae.pull(&x, &g)?);
        }
        logit.push(by_logit.variance());
        weight.push(by_weight.variance());
        total.push(with_noise.variance());
    }
    let [logit, weight, total] = [logit, weight, total].map(|groups| mean_and_error(&groups));
    Ok(Measured {
        stage,
        estimator: entrant.name.into(),
        evaluations,
        logit: logit.0,
        logit_error: logit.1,
        weight: weight.0,
        weight_error: weight.1,
        total: total.0,
        total_error: total.1,
        ms: milliseconds(vae, entrant, seed)?,
    })
}

/// The median CPU time of a step of training, Adam's update included, the making of the batch left
/// out; the weights are put back.
fn milliseconds(vae: &Vae, entrant: &Entrant, seed: u64) -> Outcome<f64> {
    const STEPS: u64 = 40;
    let weights = vae.parameters();
    let before: Vec<Tensor> = weights.iter().map(|weight| weight.get().detach()).collect();
    let mut trainer = entrant.trainer(seed).optimizer(Adam::new(vae.design.rate));
    let mut times = Vec::new();
    for step in 0..STEPS {
        let x = vae.batch(batch_key(seed, step), vae.rows())?;
        times.push(timed_step(vae, &mut trainer, &x)?.0);
    }
    for (weight, value) in weights.iter().zip(before) {
        weight.set(value)?;
    }
    times.sort_unstable();
    Ok(1e3 * times[times.len() / 2].as_secs_f64())
}

/// Takes a step of training, and says how much of the processor's time it took.
///
/// # Errors
/// Whatever goes wrong in the step.
pub(crate) fn timed_step(
    vae: &Vae,
    trainer: &mut Trainer,
    x: &Tensor,
) -> Outcome<(Duration, StepReport)> {
    let started = ProcessTime::now();
    let mut report = None;
    vae.with_objective(x, None, &mut |objective| {
        report = Some(trainer.step(objective)?);
        Ok(())
    })?;
    let report = report.ok_or("no step was taken")?;
    Ok((started.elapsed(), report))
}

/// Variance of vectors, mean over their elements.
#[derive(Default)]
struct Spread {
    mean: Vec<f64>,
    squares: f64,
    draws: f64,
}

impl Spread {
    fn add(&mut self, vector: &[f32]) {
        self.mean.resize(vector.len(), 0.0);
        self.draws += 1.0;
        for (mean, &x) in self.mean.iter_mut().zip(vector) {
            let off = f64::from(x) - *mean;
            *mean += off / self.draws;
            self.squares += off * (f64::from(x) - *mean);
        }
    }

    fn variance(&self) -> f64 {
        self.squares / (self.draws - 1.0) / self.mean.len() as f64
    }
}

/// The mean of some numbers, and its standard error.
pub(crate) fn mean_and_error(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

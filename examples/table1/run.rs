//! One training, which may be stopped at any moment and goes on to the same numbers.

use std::fs;
use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use relax_runtime::infer::LogEvidence;
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::report::StepReport;

use crate::autoencoder::{Autoencoder, generate, recognise};
use crate::data::{BinaryImages, Dataset, PIXELS};
use crate::entrants::Entrant;
use crate::program::Outcome;
use crate::progress::Progress;
use crate::record::{Bounds, Point, Record, Settings};

/// How far a run goes.
pub(crate) struct Goal {
    pub(crate) steps: u64,
    /// The validation ELBO that is enough.
    pub(crate) until: Option<f64>,
    /// Steps after which the next end of an epoch is saved.
    pub(crate) checkpoint_every: u64,
    /// Importance-weighted draws an image for the bounds at the end.
    pub(crate) draws: usize,
    pub(crate) device: Device,
}

impl Goal {
    /// Whether the validation ELBO has been high enough.
    fn is_reached(&self, record: &Record) -> bool {
        self.until
            .is_some_and(|enough| record.reaches(enough).is_some())
    }
}

/// Steps of pre-training.
const PRETRAINING: u64 = 1_000;
/// A rate at which no weight moves: 1,000 steps are below the last digit of all but a 0, which they leave below 10⁻³⁴.
const STILL: f32 = 1e-38;
/// Steps after which our own rate is half of the first one.
const HALVING: f64 = 200_000.0;

impl Settings {
    /// The optimiser at a rate.
    ///
    /// # Errors
    /// If a setting of it makes no sense.
    pub(crate) fn optimizer(&self, rate: f32) -> Result<Optimizer> {
        let mut adam = Adam::new(rate).weight_decay(self.weight_decay);
        if let Some(beta2) = self.beta2 {
            adam = adam.betas(0.9, beta2);
        }
        match self.averaged {
            true => Optimizer::new(Averaged::of(adam)),
            false => Optimizer::new(adam),
        }
    }

    /// The rate of the epoch that starts at the step given. As published it stays; ours falls as that of Robbins and
    /// Monro, and does not depend on how long the run is to be.
    fn rate_at(&self, step: u64) -> f32 {
        match self.published {
            true => self.rate,
            false => (f64::from(self.rate) / (1.0 + step as f64 / HALVING)) as f32,
        }
    }
}

/// A training with its data.
struct Run<'a> {
    settings: Settings,
    dataset: &'a Dataset,
    device: &'a Device,
    vae: Autoencoder,
    trainer: Trainer,
}

/// Goes on with a run to its goal, and saves it in its folder.
///
/// # Errors
/// Files that cannot be read or written, or whatever goes wrong in the estimator.
pub(crate) fn train(
    record: &mut Record,
    folder: &Path,
    entrant: &Entrant,
    dataset: &Dataset,
    goal: &Goal,
) -> Outcome<()> {
    let settings = record.settings.clone();
    let mean = dataset.train.mean();
    let vae = Autoencoder::new(
        settings.row.kind(settings.published),
        mean,
        settings.seed,
        &goal.device,
    )?
    .with_context(settings.published);
    let mut trainer = Trainer::new(settings.seed)
        .estimator(entrant.estimator.clone())
        .layers(vae.parameters());
    *trainer.optimizer_mut() = settings.optimizer(STILL)?;
    let mut run = Run {
        settings,
        dataset,
        device: &goal.device,
        vae,
        trainer,
    };
    match &record.checkpoint {
        Some(file) => run.trainer.resume(folder.join(file))?,
        None if run.settings.published && entrant.pretrains => run.pretrain()?,
        None => {}
    }
    let title = format!("{} {}", run.settings.row.name(), entrant.name);
    let mut progress = Progress::new("steps", record.steps, goal.steps)?;
    let mut saved = record.steps;
    while record.steps < goal.steps && !goal.is_reached(record) {
        run.epoch(record, goal.steps, &mut |step, elbo| {
            progress.at(step, || format!("{title}: ELBO {elbo:.2}"));
        })?;
        if record.steps >= saved + goal.checkpoint_every {
            save(record, &run.trainer, folder)?;
            saved = record.steps;
        }
    }
    if record.steps > saved {
        save(record, &run.trainer, folder)?;
    }
    let known = record.bounds.as_ref();
    if known.is_none_or(|bounds| (bounds.step, bounds.draws) != (record.steps, goal.draws)) {
        record.bounds = Some(run.bounds(record.steps, goal.draws)?);
        record.write(folder)?;
    }
    Ok(())
}

/// Saves the trainer under a new name, then the record that names it, and only then removes the old one.
fn save(record: &mut Record, trainer: &Trainer, folder: &Path) -> Outcome<()> {
    let file = format!("checkpoint-{}.safetensors", record.steps);
    trainer.save(folder.join(&file))?;
    let old = record.checkpoint.replace(file.clone());
    record.write(folder)?;
    match old {
        Some(old) if old != file => fs::remove_file(folder.join(&old))
            .map_err(|error| format!("{}: {error}", folder.join(old).display()).into()),
        _ => Ok(()),
    }
}

impl Run<'_> {
    /// Whole batches of an epoch.
    fn steps_of_epoch(&self) -> u64 {
        (self.dataset.train.count() / self.settings.batch) as u64
    }

    /// Trains surrogates alone, on the batches of an epoch that is never trained on.
    fn pretrain(&mut self) -> Outcome<()> {
        let order = self.order(u64::MAX);
        for step in 0..PRETRAINING {
            let batch = step % self.steps_of_epoch();
            self.step(&order, batch)?;
        }
        Ok(())
    }

    /// Takes the steps of an epoch that are left, and adds a point to the curve.
    fn epoch(
        &mut self,
        record: &mut Record,
        end: u64,
        tell: &mut dyn FnMut(u64, f64),
    ) -> Outcome<()> {
        let of_epoch = self.steps_of_epoch();
        let epoch = record.steps / of_epoch;
        let start = epoch * of_epoch;
        let memory = match record.steps {
            // That of pre-training is none of the model's.
            0 => Default::default(),
            _ => self.trainer.optimizer_mut().state()?,
        };
        let mut optimizer = self.settings.optimizer(self.settings.rate_at(start))?;
        optimizer.restore(memory);
        *self.trainer.optimizer_mut() = optimizer;

        let order = self.order(epoch);
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        let steps = record.steps..end.min(start + of_epoch);
        // The point of a run that ended within this epoch: the one at its end takes its place.
        let part = record.curve.pop_if(|point| point.step > start);
        let before = part.as_ref().or(record.curve.last());
        let spent = before.map_or((0.0, 0.0), |point| (point.seconds, point.cpu_seconds));
        let mut sum = part.map_or(0.0, |part| part.train * (part.step - start) as f64);
        let mut last = None;
        for step in steps {
            let report = self.step(&order, step - start)?;
            sum += report.elbo() / self.settings.batch as f64;
            record.evaluations = report.evaluations;
            record.steps = step + 1;
            tell(record.steps, sum / (step + 1 - start) as f64);
            last = Some(report);
        }
        let (seconds, cpu_seconds) = (wall.elapsed(), cpu.elapsed());
        let variance = |site: &str| {
            let report = last.as_ref()?.site(site)?;
            Some(report.variance)
        };
        let point = Point {
            epoch: record.steps as f64 / of_epoch as f64,
            step: record.steps,
            train: sum / (record.steps - start) as f64,
            validation: self.evidence(&self.dataset.validation, 1)?.elbo,
            variance: variance("h").unwrap_or(f64::NAN),
            variance_above: variance("above"),
            seconds: spent.0 + seconds.as_secs_f64(),
            cpu_seconds: spent.1 + cpu_seconds.as_secs_f64(),
        };
        record.curve.push(point);
        Ok(())
    }

    /// The training images in the order of an epoch, which depends on seed and epoch alone.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let key = Key {
            step: epoch,
            ..Key::new(self.settings.seed)
        };
        let mut stream = key.stream("epoch");
        let mut order: Vec<usize> = (0..self.dataset.train.count()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, stream.below(last + 1));
        }
        order
    }

    /// A step on a batch of an epoch, a consecutive slice of its order.
    fn step(&mut self, order: &[usize], batch: u64) -> Result<StepReport> {
        let rows = self.settings.batch;
        let indices = &order[batch as usize * rows..][..rows];
        let x = Tensor::from_vec(
            self.dataset.train.batch(indices),
            [rows, PIXELS],
            self.device,
        )?;
        let (model, guide) = (
            generate(&x, &self.vae, rows),
            recognise(&x, &self.vae, rows),
        );
        self.trainer.step(&Elbo::new(&model).guide(&guide))
    }

    /// Bounds at the averages of the weights, where they are kept.
    fn evidence(&self, images: &BinaryImages, draws: usize) -> Result<LogEvidence> {
        let (params, seed) = (self.trainer.params(), self.settings.seed);
        let look = || self.vae.evidence(images, params, seed, draws);
        match self.settings.averaged {
            true => self.trainer.at_averages(look)?,
            false => look(),
        }
    }

    fn bounds(&self, step: u64, draws: usize) -> Outcome<Bounds> {
        let test = self.dataset.test.as_ref();
        Ok(Bounds {
            step,
            draws,
            train: Some(self.evidence(&self.dataset.train, 1)?.elbo),
            validation: self.evidence(&self.dataset.validation, draws)?.bound,
            test: test
                .map(|images| self.evidence(images, draws).map(|evidence| evidence.bound))
                .transpose()?,
        })
    }
}

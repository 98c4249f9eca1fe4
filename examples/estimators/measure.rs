//! The measurements: the gradient by the logits, over fresh draws, and training with equal evaluations of f.

use std::time::Instant;

use relax_runtime::optim::{Rule, Step};
use relax_runtime::prelude::*;

use crate::lineup::Entrant;
use crate::program::Outcome;
use crate::task::Task;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Evaluations of f, a row, that each estimator trains with.
    pub(crate) evaluations: usize,
    /// Times that the gradient is measured along the way.
    pub(crate) points: usize,
    /// Fresh draws of the gradient at each.
    pub(crate) draws: u64,
    /// Of all random numbers.
    pub(crate) seed: u64,
}

/// A point on the way.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    /// Evaluations of f so far.
    pub(crate) spent: usize,
    /// Variance of the gradient by a logit, mean over rows and logits.
    pub(crate) variance: f64,
    /// Evaluations of f a step.
    pub(crate) evaluations: usize,
}

/// What one estimator's training came to.
pub(crate) struct Run {
    pub(crate) points: Vec<Point>,
    /// The value of the weights at each point.
    pub(crate) values: Vec<f64>,
    /// Median time of a step.
    pub(crate) seconds: f64,
}

/// Gradients by the logits, drawn afresh.
struct Probe {
    evaluations: usize,
    /// By row and logit.
    mean: Vec<f64>,
    squares: Vec<f64>,
    draws: f64,
}

/// Numbers that keep the streams of a run apart: batches, measurements, batches of measurements,
/// and those from which an estimator learns before it is measured.
const BATCHES: u64 = 1 << 32;
pub(crate) const PROBES: u64 = 2 << 32;
pub(crate) const PROBE_BATCH: u64 = 3 << 32;
pub(crate) const LEARNING: u64 = 4 << 32;

/// Of the batch of a training step.
pub(crate) fn batch_key(seed: u64, step: u64) -> Key {
    Key {
        step,
        ..Key::new(BATCHES + seed)
    }
}

/// Draws gradients by the logits of a batch that is the same for every estimator; nothing learns.
fn probe(task: &dyn Task, trainer: &mut Trainer, effort: Effort) -> Result<Probe> {
    let x = task.batch(Key::new(PROBE_BATCH + effort.seed), task.probe_rows())?;
    let logits = Parameter::new(task.logits(&x).detach());
    let mut probe: Option<Probe> = None;
    for step in 0..effort.draws {
        let key = Key {
            step,
            ..Key::new(PROBES + effort.seed)
        };
        task.with_objective(&x, Some(&logits), &mut |objective| {
            let found = trainer.gradients(objective, key)?;
            let gradient = by(&logits, &found.parameters)?;
            let probe = probe.get_or_insert_with(|| Probe {
                evaluations: found.evaluations,
                mean: vec![0.0; gradient.len()],
                squares: vec![0.0; gradient.len()],
                draws: 0.0,
            });
            probe.add(&gradient);
            Ok(())
        })?;
    }
    probe.ok_or_else(|| Error::Model("no draws to measure".into()))
}

/// A gradient by one parameter.
fn by(parameter: &Parameter, all: &[(Parameter, Tensor)]) -> Result<Vec<f32>> {
    let mut found = all.iter().filter(|(p, _)| p.key() == parameter.key());
    let gradient = found.next().map(|(_, gradient)| gradient.to_vec());
    gradient.unwrap_or_else(|| Ok(vec![0.0; parameter.shape().numel()]))
}

impl Probe {
    fn add(&mut self, gradient: &[f32]) {
        self.draws += 1.0;
        let moments = self.mean.iter_mut().zip(&mut self.squares);
        for ((mean, squares), &g) in moments.zip(gradient) {
            let off = f64::from(g) - *mean;
            *mean += off / self.draws;
            *squares += off * (f64::from(g) - *mean);
        }
    }

    fn point(&self, spent: usize) -> Point {
        let squares = self.squares.iter().sum::<f64>() / self.squares.len() as f64;
        Point {
            spent,
            variance: squares / (self.draws - 1.0),
            evaluations: self.evaluations,
        }
    }

    /// The largest distance of a logit's mean gradient from the exact one, in standard errors,
    /// where all rows have the same law.
    fn bias(&self, exact: &[f64]) -> f64 {
        /// Rounding of f32, as a part of the gradient: no standard error is smaller.
        const ROUNDING: f64 = 1e-5;
        let logits = exact.len();
        let rows = (self.mean.len() / logits) as f64;
        let sum = |all: &[f64], logit: usize| all[logit..].iter().step_by(logits).sum::<f64>();
        let distance = |(logit, exact): (usize, &f64)| {
            let (mean, squares) = (sum(&self.mean, logit) / rows, sum(&self.squares, logit));
            let error = (squares / (self.draws - 1.0) / self.draws).sqrt() / rows;
            (mean - exact).abs() / error.max(ROUNDING * exact.abs())
        };
        let distances = exact.iter().enumerate().map(distance);
        distances.fold(0.0, f64::max)
    }
}

/// Trains the weights of a task from the start.
///
/// # Errors
/// Whatever goes wrong in the task.
pub(crate) fn train(task: &dyn Task, entrant: &Entrant, effort: Effort) -> Outcome<Run> {
    let mut trainer = entrant
        .trainer(effort.seed)
        .optimizer(Adam::new(task.learning_rate()));
    let (mut points, mut values, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut spent, mut step) = (0, 0);
    while points.len() < effort.points {
        let x = task.batch(batch_key(effort.seed, step), task.rows())?;
        let started = Instant::now();
        task.with_objective(&x, None, &mut |objective| {
            spent += trainer.step(objective)?.evaluations;
            Ok(())
        })?;
        times.push(started.elapsed().as_secs_f64());
        step += 1;
        while spent * effort.points >= (points.len() + 1) * effort.evaluations {
            let probe = probe(task, &mut trainer, effort)?;
            points.push(probe.point(spent));
            values.push(task.value(&trainer)?);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Run {
        points,
        values,
        seconds: times[times.len() / 2],
    })
}

/// One estimator's gradients at the shared weights.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) points: Vec<Point>,
    /// Bias at the end, in standard errors, where the exact gradient is known.
    pub(crate) bias: Option<f64>,
}

/// Trains the weights of a task by the reference; the others look on, learn what they learn from
/// the same batches, and have their gradients measured.
///
/// # Errors
/// Whatever goes wrong in the task.
pub(crate) fn share(
    task: &dyn Task,
    reference: &Entrant,
    entrants: &[Entrant],
    effort: Effort,
) -> Outcome<Vec<Shared>> {
    let mut leader = reference
        .trainer(effort.seed)
        .optimizer(Adam::new(task.learning_rate()));
    let mut others = entrants
        .iter()
        .map(|entrant| {
            let trainer = entrant.trainer(effort.seed).optimizer(Still);
            Ok((trainer, Shared::default()))
        })
        .collect::<Result<Vec<_>>>()?;
    let (mut spent, mut step, mut point) = (0, 0, 0);
    while point < effort.points {
        let x = task.batch(batch_key(effort.seed, step), task.rows())?;
        let logits = Parameter::new(task.logits(&x).detach());
        for (trainer, _) in &mut others {
            task.with_objective(&x, Some(&logits), &mut |objective| {
                trainer.step(objective).map(drop)
            })?;
        }
        task.with_objective(&x, None, &mut |objective| {
            spent += leader.step(objective)?.evaluations;
            Ok(())
        })?;
        step += 1;
        while spent * effort.points >= (point + 1) * effort.evaluations {
            point += 1;
            for (trainer, shared) in &mut others {
                let probe = probe(task, trainer, effort)?;
                shared.points.push(probe.point(spent));
                if point == effort.points && task.enumerable() {
                    shared.bias = Some(probe.bias(&exact(task)?));
                }
            }
        }
    }
    Ok(others.into_iter().map(|(_, shared)| shared).collect())
}

/// An update rule that moves nothing.
#[derive(Debug)]
pub(crate) struct Still;

impl Rule for Still {
    fn kind(&self) -> String {
        "still".into()
    }

    fn slots(&self) -> usize {
        0
    }

    fn apply(&self, _: Step, _: &mut [f32], _: &[f32], _: &mut [Vec<f32>]) {}

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// The gradient by the logits of one row, by enumeration.
fn exact(task: &dyn Task) -> Result<Vec<f64>> {
    let x = task.batch(Key::new(0), 1)?;
    let logits = Parameter::new(task.logits(&x).detach());
    let mut exact = Vec::new();
    task.with_objective(&x, Some(&logits), &mut |objective| {
        let (_, gradients) = exact_gradient(objective, &ParamStore::default())?;
        exact = by(&logits, &gradients)?
            .into_iter()
            .map(f64::from)
            .collect();
        Ok(())
    })?;
    Ok(exact)
}

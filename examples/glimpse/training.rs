//! Training by one estimator.

use std::time::Instant;

use relax_runtime::prelude::*;

use crate::digits::Digits;
use crate::evaluate::{Accuracy, accuracy};
use crate::lineup::{crop, estimator};
use crate::model::{Eyes, look};
use crate::plot::Series;
use crate::program::Outcome;
use crate::progress::Progress;
use crate::scenes::Scenes;
use crate::table::Sight;

/// What all trainings have in common.
pub(crate) struct Training<'a> {
    pub(crate) digits: &'a Digits,
    /// Scenes a step.
    pub(crate) batch: usize,
    pub(crate) rate: f32,
    pub(crate) entropy: f32,
    pub(crate) seed: u64,
}

impl Training<'_> {
    /// The scenes of a step, the same for every estimator.
    pub(crate) fn scenes(&self, step: u64) -> Result<Scenes> {
        let key = Key {
            step,
            ..Key::new(self.seed)
        };
        Scenes::draw(self.digits, self.batch, &mut key.stream("scenes"))
    }
}

/// What a training has come to.
pub(crate) struct Learned {
    pub(crate) curve: Series,
    pub(crate) last: Accuracy,
    /// Of the cost of a scene, a step.
    pub(crate) evaluations: usize,
    pub(crate) seconds: f64,
}

/// Trains new networks.
pub(crate) fn learn(
    name: &str,
    steps: u64,
    test: &Scenes,
    training: &Training<'_>,
) -> Outcome<(Eyes, Learned)> {
    const POINTS: u64 = 20;
    let (eyes, sight) = (Eyes::new(training.seed)?, Sight::default());
    let mut trainer = Trainer::new(training.seed)
        .optimizer(Adam::new(training.rate))
        .estimator(estimator(name, &sight, training.seed)?);
    let crop = crop(name);
    let mut progress = Progress::new("steps", 0, steps)?;
    let (start, mut evaluations) = (Instant::now(), 0);
    let mut points = Vec::new();
    let mut last = accuracy(&eyes, test)?;
    for step in 0..steps {
        let scenes = training.scenes(step)?;
        if name == "relax-table" {
            sight.turn_to(&scenes)?;
        }
        let report = trainer.step(&ExpectedCost::new(&look(
            &scenes,
            &eyes,
            crop,
            training.entropy,
        )))?;
        evaluations = report.evaluations;
        if (step + 1) % steps.div_ceil(POINTS) == 0 || step + 1 == steps {
            last = accuracy(&eyes, test)?;
            points.push((step as f64 + 1.0, last.error));
        }
        progress.at(step, || format!("{name}: error {:.1}%", 100.0 * last.error));
    }
    let learned = Learned {
        curve: Series {
            name: name.into(),
            points,
        },
        last,
        evaluations,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok((eyes, learned))
}

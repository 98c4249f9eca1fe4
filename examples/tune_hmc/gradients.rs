//! Gradients of one chain each, drawn side by side.

use relax_runtime::estimator::IntoEstimator;
use relax_runtime::infer::Objective;
use relax_runtime::prelude::*;

use crate::program::Outcome;

/// Mean, standard deviation and number of independent gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    pub(crate) draws: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let draws = values.len() as f64;
        let mean = values.iter().sum::<f64>() / draws;
        let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        Self {
            mean,
            deviation: (square / (draws - 1.0)).sqrt(),
            draws,
        }
    }

    /// Distance of the mean from a number, in standard errors.
    pub(crate) fn z(&self, exact: f64) -> f64 {
        (self.mean - exact) / (self.deviation / self.draws.sqrt())
    }
}

/// Gradients by a parameter with a row a chain, of an objective that is a sum over rows: each row's is
/// that of a chain of its own. What the estimator learns it learns in `warm_up` steps beforehand.
///
/// # Errors
/// The program's own.
pub(crate) fn spread(
    objective: &dyn Objective,
    parameter: &Parameter,
    estimator: impl IntoEstimator,
    (warm_up, batches): (u64, u64),
    seed: u64,
) -> Outcome<Spread> {
    // So slow that the parameter stays where it is.
    let mut trainer = Trainer::new(seed)
        .optimizer(Sgd::new(1e-20))
        .site_estimator("accept", estimator);
    for _ in 0..warm_up {
        trainer.step(objective)?;
    }
    let mut values = Vec::new();
    for step in 0..batches {
        let key = Key {
            step,
            ..Key::new(seed + 1)
        };
        let gradients = trainer.gradients(objective, key)?;
        let found = gradients.parameters.iter();
        let own = found.filter(|(other, _)| other.key() == parameter.key());
        for (_, gradient) in own {
            values.extend(gradient.to_vec()?.into_iter().map(f64::from));
        }
    }
    Ok(Spread::of(&values))
}

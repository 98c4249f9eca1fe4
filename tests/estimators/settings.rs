//! Programs whose gradients are known from a formula, and how their estimators are measured.

use std::rc::Rc;

use relax_runtime::estimator::Estimator;
use relax_runtime::infer::{Configure, Objective, Trainer};
use relax_runtime::model::ParamStore;
use relax_runtime::{Key, Parameter, Result, Tensor};

use crate::statistics::{Moments, Verdicts};

/// Rows of a plate, and how often it is drawn: 6 · 10⁴ draws.
pub const ROWS: usize = 1_000;
const PLATES: u64 = 60;
/// Draws of a program without plate.
pub const DRAWS: u64 = 50_000;

/// Parameters by name, with the values that one row has.
pub type Values<'a> = &'a [(&'a str, &'a [f32])];

/// A program whose value and gradient are known by a formula.
pub struct Setting<'a> {
    pub objective: &'a dyn Objective,
    /// Its expectation as a multiple of the known one.
    pub weight: f64,
    /// How often it is drawn.
    pub calls: u64,
    pub values: Values<'a>,
    /// The continuous site that gets the estimators, instead of all discrete ones.
    pub continuous: Option<&'a str>,
}

impl<'a> Setting<'a> {
    /// Of a plate with many equal rows.
    pub fn rows(objective: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            objective,
            weight: ROWS as f64,
            calls: PLATES,
            values,
            continuous: None,
        }
    }

    pub fn single(objective: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            weight: 1.0,
            calls: DRAWS,
            ..Self::rows(objective, values)
        }
    }

    /// Gives parameters the known values.
    pub fn set(&self, params: &ParamStore) -> Result<()> {
        for (name, values) in self.values {
            let parameter = params.parameter(name);
            let parameter = parameter.unwrap_or_else(|| panic!("no parameter `{name}`"));
            let (shape, old) = (parameter.shape(), parameter.get());
            let values = values.repeat(old.len() / values.len());
            parameter.set(Tensor::from_vec(values, shape, &old.device())?)?;
        }
        assert_eq!(
            params.names().len(),
            self.values.len(),
            "{:?}",
            params.names()
        );
        Ok(())
    }

    /// All coordinates in the order of `values`, over the weight; parameters that every row has
    /// for itself are summed.
    pub fn flat(&self, gradients: &[(Parameter, Tensor)], weight: f64) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for (name, values) in self.values {
            let mut sum = vec![0.0; values.len()];
            for (_, gradient) in gradients.iter().filter(|(p, _)| p.name() == Some(name)) {
                for row in gradient.to_vec()?.chunks(values.len()) {
                    sum.iter_mut()
                        .zip(row)
                        .for_each(|(s, &x)| *s += f64::from(x) / weight);
                }
            }
            all.extend(sum);
        }
        Ok(all)
    }

    pub fn check_against(
        &self,
        value: f64,
        gradient: &[f64],
        estimators: Vec<Rc<dyn Estimator>>,
    ) -> Result<()> {
        let mut verdicts = Verdicts::default();
        for (seed, estimator) in estimators.into_iter().enumerate() {
            let what = format!("{} ({:?})", estimator.name(), estimator.coupling());
            let (losses, gradients) = self.measure(estimator, seed as u64)?;
            verdicts.add(&format!("{what}, loss"), losses.compare(&[value]));
            verdicts.add(&what, gradients.compare(gradient));
        }
        verdicts.finish();
        Ok(())
    }

    /// Losses and gradients, with surrogates and baselines that have learned something.
    fn measure(&self, estimator: Rc<dyn Estimator>, seed: u64) -> Result<(Moments, Moments)> {
        const STEPS: usize = 20;
        let name = estimator.name();
        let trainer = Trainer::new(seed);
        let mut trainer = match self.continuous {
            Some(site) => trainer.site_estimator(site, estimator),
            None => trainer.estimator(estimator),
        };
        for _ in 0..STEPS {
            trainer.step(self.objective)?;
        }
        self.set(trainer.params())?;
        let width = self.values.iter().map(|(_, values)| values.len()).sum();
        let (mut losses, mut gradients) = (Moments::new(1), Moments::new(width));
        for step in 0..self.calls {
            let key = Key {
                seed: 100 + seed,
                step,
                particle: 0,
            };
            let found = trainer.gradients(self.objective, key)?;
            let mut sites = found.sites.iter();
            let asked = match self.continuous {
                Some(continuous) => sites.any(|s| *s.name == *continuous && s.estimator == name),
                None => !found.sites.is_empty() && sites.all(|site| site.estimator == name),
            };
            assert!(asked, "{:?}", found.sites);
            losses.push(&[found.loss / self.weight]);
            gradients.push(&self.flat(&found.parameters, self.weight)?);
        }
        Ok((losses, gradients))
    }
}

//! Programs with known gradients, and how their estimators are measured.

use std::rc::Rc;

use relax_runtime::estimator::{
    Arms, ContinuousEstimate, ContinuousTask, Cost, Coupling, Disarm, Dlax, Enumerate, Estimate,
    Estimator, IndeCateR, Nvil, Rebar, Reinforce, Relax, Rloo, SiteClass, SiteState, SiteTask,
};
use relax_runtime::infer::{Objective, Trainer, exact_gradient};
use relax_runtime::model::ParamStore;
use relax_runtime::{Key, Parameter, Result, Tensor};

use crate::problems::{COUPLINGS, perturb};
use crate::statistics::{Moments, Verdicts};

/// Rows of a plate, and how often it is drawn: 1.2 · 10⁵ draws.
pub const ROWS: usize = 1_000;
const PLATES: u64 = 120;
/// Draws of a program without plate.
pub const DRAWS: u64 = 100_000;

/// An estimator whose surrogates do not start at zero.
#[derive(Debug)]
pub struct Moved<E>(pub E);

impl<E: Estimator> Estimator for Moved<E> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        self.0.valid_for(class)
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        self.0.evaluations(class)
    }

    fn centred(&self) -> bool {
        self.0.centred()
    }

    fn coupling(&self) -> Coupling {
        self.0.coupling()
    }

    fn further_noise(&self) -> usize {
        self.0.further_noise()
    }

    fn biased(&self) -> bool {
        self.0.biased()
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let state = self.0.state(task)?;
        perturb(state.parameters(), 0.3, &mut Key::new(8).stream(task.name))?;
        Ok(state)
    }

    fn continuous_state(&self, task: &ContinuousTask<'_>) -> Result<SiteState> {
        let state = self.0.continuous_state(task)?;
        perturb(state.parameters(), 0.3, &mut Key::new(8).stream(task.name))?;
        Ok(state)
    }

    fn estimate_continuous(
        &self,
        task: &ContinuousTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<ContinuousEstimate> {
        self.0.estimate_continuous(task, cost, state)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        self.0.estimate(task, cost, state)
    }
}

pub type Estimators = Vec<Rc<dyn Estimator>>;

/// What is valid everywhere.
pub fn black_box() -> Estimators {
    let mut all: Estimators = vec![
        Rc::new(Reinforce::default()),
        Rc::new(Reinforce::without_baseline()),
    ];
    for coupling in COUPLINGS {
        let free_form = Relax::free_form();
        all.push(Rc::new(Moved(Relax {
            coupling,
            ..free_form
        })));
    }
    all
}

/// What is valid where the cost can be relaxed, too.
pub fn structured() -> Estimators {
    let mut all = black_box();
    for coupling in COUPLINGS {
        let (rebar, relax) = (Rebar::default(), Relax::default());
        all.push(Rc::new(Moved(Rebar { coupling, ..rebar })));
        all.push(Rc::new(Moved(Relax { coupling, ..relax })));
    }
    all
}

/// What is valid at every discrete site whose rows do not meet, with few enough values.
pub fn summing() -> Estimators {
    vec![
        Rc::new(Rloo::new(2).unwrap()),
        Rc::new(Enumerate::default()),
        Rc::new(IndeCateR),
    ]
}

/// What learns, beside RELAX, and is valid at every discrete site.
pub fn learning() -> Estimators {
    vec![
        Rc::new(Moved(Nvil::default())),
        Rc::new(Moved(Dlax::default())),
    ]
}

/// What is valid at coins.
pub fn coins() -> Estimators {
    vec![Rc::new(Disarm), Rc::new(Arms::new(3).unwrap())]
}

/// Parameters by name, with the values that one row has.
pub type Values<'a> = &'a [(&'a str, &'a [f32])];

/// One program, twice.
pub struct Setting<'a> {
    /// With few enough choices to be enumerated.
    pub one: &'a dyn Objective,
    /// With many rows.
    pub many: &'a dyn Objective,
    /// The expectation of `many` as a multiple of that of `one`.
    pub weight: f64,
    /// How often `many` is drawn.
    pub calls: u64,
    pub values: Values<'a>,
    /// The continuous site that gets the estimators, instead of all discrete ones.
    pub continuous: Option<&'a str>,
}

impl<'a> Setting<'a> {
    pub fn rows(one: &'a dyn Objective, many: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            one,
            many,
            weight: ROWS as f64,
            calls: PLATES,
            values,
            continuous: None,
        }
    }

    pub fn single(one: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            one,
            many: one,
            weight: 1.0,
            calls: DRAWS,
            values,
            continuous: None,
        }
    }

    fn set(&self, params: &ParamStore) -> Result<()> {
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
    fn flat(&self, gradients: &[(Parameter, Tensor)], weight: f64) -> Result<Vec<f64>> {
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

    /// Value and gradient by enumeration; the gradient is checked against central differences of
    /// the value.
    fn exact(&self) -> Result<(f64, Vec<f64>)> {
        const STEP: f32 = 1e-2;
        let params = ParamStore::default();
        exact_gradient(self.one, &params)?;
        self.set(&params)?;
        let (value, gradient) = exact_gradient(self.one, &params)?;
        let gradient = self.flat(&gradient, 1.0)?;
        let mut differences = Vec::new();
        for (name, values) in self.values {
            for i in 0..values.len() {
                let at = |sign: f32| {
                    let mut moved = values.to_vec();
                    moved[i] += sign * STEP;
                    let parameter = params.parameter(name).unwrap();
                    let shape = parameter.shape();
                    parameter.set(Tensor::from_vec(moved, shape, &parameter.get().device())?)?;
                    Ok::<_, relax_runtime::Error>(exact_gradient(self.one, &params)?.0)
                };
                differences.push((at(1.0)? - at(-1.0)?) / f64::from(2.0 * STEP));
            }
            self.set(&params)?;
        }
        for (exact, difference) in gradient.iter().zip(&differences) {
            let error = (exact - difference).abs();
            assert!(
                error < 1e-3 * (1.0 + exact.abs()),
                "{gradient:?}, {differences:?}"
            );
        }
        Ok((value, gradient))
    }

    pub fn check(&self, estimators: Estimators) -> Result<()> {
        let (value, gradient) = self.exact()?;
        self.check_against(value, &gradient, estimators)
    }

    pub fn check_against(
        &self,
        value: f64,
        gradient: &[f64],
        estimators: Estimators,
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

    /// The opposite of [`check`](Self::check): a mean gradient off the exact one.
    pub fn check_biased(&self, estimators: Estimators) -> Result<()> {
        let (value, gradient) = self.exact()?;
        for (seed, estimator) in estimators.into_iter().enumerate() {
            let name = estimator.name();
            let (losses, gradients) = self.measure(estimator, seed as u64)?;
            losses.compare(&[value]).unwrap();
            let problem = gradients.compare(&gradient).unwrap_err();
            assert!(problem.contains("standard errors"), "{name}: {problem}");
        }
        Ok(())
    }

    /// Losses and gradients, with surrogates and baselines that have learned something.
    fn measure(&self, estimator: Rc<dyn Estimator>, seed: u64) -> Result<(Moments, Moments)> {
        const STEPS: usize = 20;
        let name = estimator.name();
        let trainer = Trainer::new(seed);
        let mut trainer = match self.continuous {
            Some(site) => trainer.with_site_estimator(site, estimator),
            None => trainer.with_estimator(estimator),
        };
        for _ in 0..STEPS {
            trainer.step(self.many)?;
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
            let found = trainer.gradients(self.many, key)?;
            let mut sites = found.sites.iter();
            let asked = match self.continuous {
                Some(continuous) => sites.any(|s| s.name == continuous && s.estimator == name),
                None => !found.sites.is_empty() && sites.all(|site| site.estimator == name),
            };
            assert!(asked, "{:?}", found.sites);
            losses.push(&[found.loss / self.weight]);
            gradients.push(&self.flat(&found.parameters, self.weight)?);
        }
        Ok((losses, gradients))
    }
}

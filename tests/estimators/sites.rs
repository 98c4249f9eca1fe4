//! Estimators at the sites of programs, through `Trainer::gradients`.

use std::rc::Rc;

use relax_runtime::estimator::{
    Cost, Coupling, Estimate, Estimator, Rebar, Reinforce, Relax, SiteClass, SiteState, SiteTask,
};
use relax_runtime::infer::{Elbo, ExpectedCost, Objective, Trainer, exact_gradient};
use relax_runtime::model::ParamStore;
use relax_runtime::{Key, Parameter, Result, Tensor};

use crate::models;
use crate::problems::{COUPLINGS, perturb};
use crate::statistics::{Moments, Verdicts};

/// Rows of a plate, and how often it is drawn: 1.2 · 10⁵ draws.
const ROWS: usize = 1_000;
const PLATES: u64 = 120;
/// Draws of a program without plate.
const DRAWS: u64 = 100_000;

/// An estimator whose surrogates do not start at zero.
#[derive(Debug)]
struct Moved<E>(E);

impl<E: Estimator> Estimator for Moved<E> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        self.0.valid_for(class)
    }

    fn centred(&self) -> bool {
        self.0.centred()
    }

    fn coupling(&self) -> Coupling {
        self.0.coupling()
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let state = self.0.state(task)?;
        perturb(state.surrogate(), 0.3, &mut Key::new(8).stream(task.name))?;
        Ok(state)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &mut dyn Cost,
        state: &mut SiteState,
    ) -> Result<Estimate> {
        self.0.estimate(task, cost, state)
    }
}

type Estimators = Vec<Rc<dyn Estimator>>;

/// What is valid everywhere.
fn black_box() -> Estimators {
    let mut all: Estimators = vec![
        Rc::new(Reinforce::default()),
        Rc::new(Reinforce::without_baseline()),
    ];
    for coupling in COUPLINGS {
        let free_form = Relax::free_form();
        all.push(Rc::new(Moved(Relax { coupling, ..free_form })));
    }
    all
}

/// What is valid where the cost can be relaxed, too.
fn structured() -> Estimators {
    let mut all = black_box();
    for coupling in COUPLINGS {
        let (rebar, relax) = (Rebar::default(), Relax::default());
        all.push(Rc::new(Moved(Rebar { coupling, ..rebar })));
        all.push(Rc::new(Moved(Relax { coupling, ..relax })));
    }
    all
}

/// Parameters by name, with the values that one row has.
type Values<'a> = &'a [(&'a str, &'a [f32])];

/// One program, twice.
struct Setting<'a> {
    /// With few enough choices to be enumerated.
    one: &'a dyn Objective,
    /// With many rows.
    many: &'a dyn Objective,
    /// The expectation of `many` as a multiple of that of `one`.
    weight: f64,
    /// How often `many` is drawn.
    calls: u64,
    values: Values<'a>,
}

impl<'a> Setting<'a> {
    fn rows(one: &'a dyn Objective, many: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            one,
            many,
            weight: ROWS as f64,
            calls: PLATES,
            values,
        }
    }

    fn single(one: &'a dyn Objective, values: Values<'a>) -> Self {
        Self {
            one,
            many: one,
            weight: 1.0,
            calls: DRAWS,
            values,
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
        assert_eq!(params.names().len(), self.values.len(), "{:?}", params.names());
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
                    sum.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x) / weight);
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
            assert!(error < 1e-3 * (1.0 + exact.abs()), "{gradient:?}, {differences:?}");
        }
        Ok((value, gradient))
    }

    fn check(&self, estimators: Estimators) -> Result<()> {
        let (value, gradient) = self.exact()?;
        self.check_against(value, &gradient, estimators)
    }

    fn check_against(&self, value: f64, gradient: &[f64], estimators: Estimators) -> Result<()> {
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
        let mut trainer = Trainer::new(seed)?;
        trainer.set_estimator(estimator);
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
            let discrete = found.sites.iter().all(|site| site.estimator == name);
            assert!(discrete && !found.sites.is_empty(), "{:?}", found.sites);
            losses.push(&[found.loss / self.weight]);
            gradients.push(&self.flat(&found.parameters, self.weight)?);
        }
        Ok((losses, gradients))
    }
}

/// A program with a plate: once a row counted once, and once as a subsample.
macro_rules! plated {
    ($test:ident, $model:path, $estimators:expr, $values:expr) => {
        #[test]
        fn $test() -> Result<()> {
            let (one, many) = ($model(1, 1), $model(ROWS, ROWS));
            let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
            Setting::rows(&one, &many, $values).check($estimators)
        }
    };
}

plated!(one_bernoulli, models::coin, structured(), &[("theta", &[0.4])]);

plated!(
    interacting_bernoullis,
    models::coins,
    structured(),
    &[("theta", &[0.4, -1.1, 1.7]), ("weights", &[0.9, -1.4, 0.6])]
);

plated!(
    a_categorical,
    models::index,
    black_box(),
    &[("theta", &[0.3, -0.7, 1.2, 0.1])]
);

plated!(
    a_one_hot_vector,
    models::one_hot,
    structured(),
    &[("theta", &[0.3, -0.7, 1.2, 0.1])]
);

plated!(
    two_dependent_sites,
    models::two_coins,
    structured(),
    &[("first", &[0.4]), ("second", &[-0.6]), ("slope", &[1.3])]
);

plated!(
    an_index_after_a_vector,
    models::vector_then_index,
    black_box(),
    &[
        ("table", &[0.3, -0.7, 1.2, 0.1, -0.5, 0.6]),
        ("theta", &[0.3, -0.4, 0.5])
    ]
);

plated!(
    a_loop_of_dependent_sites,
    models::chain,
    structured(),
    &[("bias", &[-0.4]), ("slope", &[1.1])]
);

/// A plate that stands for more rows than it has multiplies everything.
#[test]
fn a_subsampling_plate() -> Result<()> {
    const OF: usize = 7_000;
    let (one, many) = (models::two_coins(1, OF), models::two_coins(ROWS, OF));
    let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
    let values: Values<'_> = &[("first", &[0.4]), ("second", &[-0.6]), ("slope", &[1.3])];
    let setting = Setting {
        weight: 1.0,
        ..Setting::rows(&one, &many, values)
    };
    setting.check(structured())
}

#[test]
fn a_plate_in_a_plate() -> Result<()> {
    let (one, many) = (models::nested(1), models::nested(ROWS));
    let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
    let values: Values<'_> = &[("bias", &[-0.4]), ("slope", &[1.1]), ("theta", &[0.3])];
    Setting::rows(&one, &many, values).check(structured())
}

#[test]
fn a_choice_that_rows_depend_on() -> Result<()> {
    let program = models::shared_coin();
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("slope", &[1.1]), ("theta", &[0.3])];
    let estimators = structured().split_off(4);
    Setting::single(&objective, values).check(estimators)
}

#[test]
fn a_guide_with_a_subsampled_model() -> Result<()> {
    const OF: usize = 5_000;
    let (model, guide) = (models::pair_model(1, OF), models::pair_guide(1, OF));
    let one = Elbo::new(&model).guide(&guide);
    let (model, guide) = (models::pair_model(ROWS, OF), models::pair_guide(ROWS, OF));
    let many = Elbo::new(&model).guide(&guide);
    let values: Values<'_> = &[
        ("first", &[0.9]),
        ("second", &[-0.8]),
        ("slope", &[-0.7]),
        ("weight", &[1.2]),
    ];
    let setting = Setting {
        weight: 1.0,
        ..Setting::rows(&one, &many, values)
    };
    setting.check(structured())
}

#[test]
fn an_automatic_guide() -> Result<()> {
    let (one, many) = (models::mixture(1), models::mixture(ROWS));
    let (one, many) = (Elbo::new(&one), Elbo::new(&many));
    let values: Values<'_> = &[("k.logits", &[0.3, -0.9, 0.7]), ("s.logits", &[-0.5, 0.8])];
    Setting::rows(&one, &many, values).check(black_box())
}

#[test]
fn an_automatic_guide_of_host_choices() -> Result<()> {
    let program = models::sprinkler();
    let objective = Elbo::new(&program);
    let values: Values<'_> = &[("rain.logits", &[0.4]), ("sprinkler.logits", &[-0.3])];
    Setting::single(&objective, values).check(black_box())
}

#[test]
fn an_automatic_guide_of_choices_on_some_paths() -> Result<()> {
    let program = models::paths();
    let objective = Elbo::new(&program);
    let values: Values<'_> = &[
        ("kind[0].logits", &[0.3, -0.2, 0.1]),
        ("kind[1].logits", &[0.0, 0.4, -0.5]),
        ("step[0].logits", &[0.6]),
        ("step[1].logits", &[-0.2]),
    ];
    Setting::single(&objective, values).check(black_box())
}

#[test]
fn a_choice_inside_host_control_flow() -> Result<()> {
    let program = models::decision();
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("first", &[0.2]), ("second", &[0.5]), ("third", &[0.2, -0.5, 0.4])];
    Setting::single(&objective, values).check(black_box())
}

#[test]
fn a_loop_whose_length_is_drawn() -> Result<()> {
    let program = models::run_of_coins();
    let objective = ExpectedCost::new(&program);
    Setting::single(&objective, &[("theta", &[0.7, 0.2, -0.4])]).check(black_box())
}

/// E\[f\] with f = (x (b + ½) − t)², x ~ N(w b, s): with m = E\[f | b = 1\] − E\[f | b = 0\],
/// where E\[f | 1\] = 9/4 (w² + s²) − 3 t w + t² and E\[f | 0\] = s²/4 + t².
#[test]
fn a_coin_before_a_continuous_choice() -> Result<()> {
    let (theta, w, s, t) = (0.3_f64, 0.8_f64, 0.6_f64, 0.4_f64);
    let p = 1.0 / (1.0 + (-theta).exp());
    let one = 2.25 * (w * w + s * s) - 3.0 * t * w + t * t;
    let zero = 0.25 * s * s + t * t;
    let value = p * one + (1.0 - p) * zero;
    let by_w = p * (4.5 * w - 3.0 * t);
    let by_s = p * 4.5 * s + (1.0 - p) * 0.5 * s;
    let program = models::coin_and_normal(ROWS, ROWS);
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("scale", &[0.6]), ("slope", &[0.8]), ("theta", &[0.3])];
    let gradient = [by_s, by_w, p * (1.0 - p) * (one - zero)];
    Setting::rows(&objective, &objective, values).check_against(value, &gradient, structured())
}

#[test]
fn rebar_is_refused_where_the_cost_cannot_be_relaxed() -> Result<()> {
    let (decision, index) = (models::decision(), models::index(1, 1));
    for objective in [ExpectedCost::new(&decision), ExpectedCost::new(&index)] {
        let mut trainer = Trainer::new(1)?;
        trainer.set_estimator(Rc::new(Rebar::default()));
        let error = trainer.step(&objective).unwrap_err().to_string();
        assert!(error.contains("REBAR"), "{error}");
    }
    Ok(())
}

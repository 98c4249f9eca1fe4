//! Estimators at the sites of programs, through `Trainer::gradients`.

use std::rc::Rc;

use relax_runtime::Result;
use relax_runtime::estimator::{Estimator, Rebar, Reinforce, Relax};
use relax_runtime::infer::{Elbo, ExpectedCost, Trainer};

use crate::models;
use crate::problems::COUPLINGS;
use crate::settings::{DRAWS, Moved, ROWS, Setting, Values, black_box, structured};

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

plated!(
    one_bernoulli,
    models::coin,
    structured(),
    &[("theta", &[0.4])]
);

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
    let setting = Setting {
        calls: DRAWS / 8,
        ..Setting::single(&objective, values)
    };
    setting.check(structured().split_off(4))
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
    let setting = Setting {
        calls: DRAWS / 4,
        ..Setting::single(&objective, values)
    };
    setting.check(black_box())
}

#[test]
fn a_choice_inside_host_control_flow() -> Result<()> {
    let program = models::decision();
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[
        ("first", &[0.2]),
        ("second", &[0.5]),
        ("third", &[0.2, -0.5, 0.4]),
    ];
    Setting::single(&objective, values).check(black_box())
}

/// The plan for such a site changes with the path, which does not depend on the site.
#[test]
fn a_choice_that_is_read_on_some_paths() -> Result<()> {
    let program = models::sometimes_read();
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: DRAWS / 4,
        ..Setting::single(&objective, &[("first", &[0.2]), ("second", &[-0.5])])
    };
    let estimators = COUPLINGS.map(|coupling| {
        let relax = Relax::default();
        Rc::new(Moved(Relax { coupling, ..relax })) as Rc<dyn Estimator>
    });
    setting.check(estimators.to_vec())
}

#[test]
fn a_loop_whose_length_is_drawn() -> Result<()> {
    let program = models::run_of_coins();
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: DRAWS / 2,
        ..Setting::single(&objective, &[("theta", &[0.7, 0.2, -0.4])])
    };
    setting.check(black_box())
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

/// Coin k has mean mₖ = a + c mₖ₋₁, and costs (h − t)², in expectation mₖ (1 − 2t) + t².
#[test]
fn more_dependent_sites_than_a_set_tells_apart() -> Result<()> {
    let (a, c, t) = (0.3_f64, 0.4_f64, 0.2_f64);
    let (mut mean, mut by_a, mut by_c) = (0.0, 0.0, 0.0);
    let (mut value, mut gradient) = (0.0, [0.0, 0.0]);
    for step in 0..140 {
        (mean, by_a, by_c) = (a + c * mean, 1.0 + c * by_a, mean + c * by_c);
        if step >= 120 {
            value += mean * (1.0 - 2.0 * t) + t * t;
            gradient[0] += by_a * (1.0 - 2.0 * t);
            gradient[1] += by_c * (1.0 - 2.0 * t);
        }
    }
    let program = models::long_chain(ROWS);
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: 30,
        ..Setting::rows(
            &objective,
            &objective,
            &[("bias", &[0.3]), ("slope", &[0.4])],
        )
    };
    let estimators: Vec<Rc<dyn Estimator>> =
        vec![Rc::new(Reinforce::default()), Rc::new(Relax::free_form())];
    setting.check_against(value, &gradient, estimators)
}

#[test]
fn rebar_is_refused_where_the_cost_cannot_be_relaxed() -> Result<()> {
    let (decision, index) = (models::decision(), models::index(1, 1));
    for objective in [ExpectedCost::new(&decision), ExpectedCost::new(&index)] {
        let mut trainer = Trainer::new(1).with_estimator(Rebar::default());
        let error = trainer.step(&objective).unwrap_err().to_string();
        assert!(error.contains("REBAR"), "{error}");
    }
    Ok(())
}

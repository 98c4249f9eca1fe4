//! The estimators that evaluate the cost at other draws than the site's own, at the sites of
//! programs.

use std::rc::Rc;

use relax_runtime::Result;
use relax_runtime::estimator::{
    DisarmTree, DoubleCv, Enumerate, GumbelSoftmax, MuProp, ReinMax, Relax, Rloo, Rodeo,
    StraightThrough, by_name,
};
use relax_runtime::infer::{Elbo, ExpectedCost, Trainer};

use crate::models;
use crate::settings::{
    DRAWS, Estimators, Moved, ROWS, Setting, Values, black_box, coins, learning, summing,
};

/// Draws of a plate: these estimators vary less than the score function.
const PLATES: u64 = 60;

/// What is valid at every discrete site.
fn everywhere() -> Estimators {
    let mut all = summing();
    all.extend(learning());
    all
}

fn of_coins() -> Estimators {
    let mut all = everywhere();
    all.extend(coins());
    all
}

/// Coins whose cost can be relaxed.
fn of_relaxable_coins() -> Estimators {
    let mut all = of_coins();
    all.push(Rc::new(MuProp::default()));
    all.push(Rc::new(Moved(DoubleCv::default())));
    all.push(Rc::new(Moved(Rodeo::default())));
    all
}

/// One-hot vectors whose cost can be relaxed.
fn of_one_hots() -> Estimators {
    let mut all = of_categoricals();
    all.push(Rc::new(MuProp::default()));
    all.push(Rc::new(Moved(DoubleCv::default())));
    all
}

fn of_categoricals() -> Estimators {
    let mut all = everywhere();
    all.push(Rc::new(DisarmTree));
    all
}

macro_rules! plated {
    ($test:ident, $model:path, $estimators:expr, $values:expr) => {
        #[test]
        fn $test() -> Result<()> {
            let (one, many) = ($model(1, 1), $model(ROWS, ROWS));
            let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
            let setting = Setting {
                calls: PLATES,
                ..Setting::rows(&one, &many, $values)
            };
            setting.check($estimators)
        }
    };
}

plated!(
    interacting_bernoullis,
    models::coins,
    of_relaxable_coins(),
    &[("theta", &[0.4, -1.1, 1.7]), ("weights", &[0.9, -1.4, 0.6])]
);

plated!(
    a_categorical,
    models::index,
    of_categoricals(),
    &[("theta", &[0.3, -0.7, 1.2, 0.1])]
);

plated!(
    a_one_hot_vector,
    models::one_hot,
    of_one_hots(),
    &[("theta", &[0.3, -0.7, 1.2, 0.1])]
);

plated!(
    two_dependent_sites,
    models::two_coins,
    of_relaxable_coins(),
    &[("first", &[0.4]), ("second", &[-0.6]), ("slope", &[1.3])]
);

plated!(
    an_index_after_a_vector,
    models::vector_then_index,
    of_categoricals(),
    &[
        ("table", &[0.3, -0.7, 1.2, 0.1, -0.5, 0.6]),
        ("theta", &[0.3, -0.4, 0.5])
    ]
);

plated!(
    a_loop_of_dependent_sites,
    models::chain,
    of_relaxable_coins(),
    &[("bias", &[-0.4]), ("slope", &[1.1])]
);

#[test]
fn a_plate_in_a_plate() -> Result<()> {
    let (one, many) = (models::nested(1), models::nested(ROWS));
    let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
    let values: Values<'_> = &[("bias", &[-0.4]), ("slope", &[1.1]), ("theta", &[0.3])];
    let setting = Setting {
        calls: PLATES,
        ..Setting::rows(&one, &many, values)
    };
    setting.check(of_relaxable_coins())
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
        calls: PLATES,
        ..Setting::rows(&one, &many, values)
    };
    setting.check(of_relaxable_coins())
}

#[test]
fn an_automatic_guide() -> Result<()> {
    let (one, many) = (models::mixture(1), models::mixture(ROWS));
    let (one, many) = (Elbo::new(&one), Elbo::new(&many));
    let values: Values<'_> = &[("k.logits", &[0.3, -0.9, 0.7]), ("s.logits", &[-0.5, 0.8])];
    let setting = Setting {
        calls: PLATES,
        ..Setting::rows(&one, &many, values)
    };
    setting.check(of_categoricals())
}

#[test]
fn a_choice_that_rows_depend_on() -> Result<()> {
    let program = models::shared_coin();
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: DRAWS / 8,
        ..Setting::single(&objective, &[("slope", &[1.1]), ("theta", &[0.3])])
    };
    setting.check(of_coins())
}

/// The other value of a host coin is a `bool`, and that of a host index an index: what is drawn
/// after them is drawn anew.
#[test]
fn host_choices_on_some_paths() -> Result<()> {
    let program = models::paths();
    let objective = Elbo::new(&program);
    let values: Values<'_> = &[
        ("kind[0].logits", &[0.3, -0.2, 0.1]),
        ("kind[1].logits", &[0.0, 0.4, -0.5]),
        ("step[0].logits", &[0.6]),
        ("step[1].logits", &[-0.2]),
    ];
    let setting = Setting {
        calls: DRAWS / 8,
        ..Setting::single(&objective, values)
    };
    setting.check(summing())
}

#[test]
fn host_coins() -> Result<()> {
    let program = models::sprinkler();
    let objective = Elbo::new(&program);
    let values: Values<'_> = &[("rain.logits", &[0.4]), ("sprinkler.logits", &[-0.3])];
    let setting = Setting {
        calls: DRAWS / 2,
        ..Setting::single(&objective, values)
    };
    setting.check(of_coins())
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
    let setting = Setting {
        calls: DRAWS / 8,
        ..Setting::single(&objective, values)
    };
    setting.check(summing())
}

#[test]
fn a_loop_whose_length_is_drawn() -> Result<()> {
    let program = models::run_of_coins();
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: DRAWS / 8,
        ..Setting::single(&objective, &[("theta", &[0.7, 0.2, -0.4])])
    };
    setting.check(of_coins())
}

/// Rows that meet in a cost outside their plate can be neither summed over nor differentiated one
/// by one; several draws of all rows are as good as ever.
#[test]
fn rows_that_meet() -> Result<()> {
    let program = models::meeting_rows();
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: DRAWS / 4,
        ..Setting::single(&objective, &[("theta", &[0.7, 0.2, -0.4])])
    };
    let mut several = black_box();
    several.push(Rc::new(Relax::default()));
    several.push(Rc::new(Rloo::default()));
    several.extend(coins());
    setting.check(several)?;
    for (name, problem) in [
        ("enumerate", "rows meet"),
        ("indecater", "rows meet"),
        ("rebar", "REBAR"),
    ] {
        let mut trainer = Trainer::new(1).with_estimator(by_name(name)?);
        let error = trainer.step(&objective).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    Ok(())
}

#[test]
fn estimators_of_coins_are_refused_at_other_sites() -> Result<()> {
    let program = models::index(1, 1);
    for estimator in coins() {
        let mut trainer = Trainer::new(1).with_estimator(estimator);
        let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
        assert!(error.to_string().contains("Bernoulli"), "{error}");
    }
    let mut trainer = Trainer::new(1).with_estimator(Enumerate { largest: 3 });
    let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
    assert!(error.to_string().contains("more than 3"), "{error}");
    Ok(())
}

/// The site's own draw is evaluated once, together with everything else.
#[test]
fn evaluations_are_counted() -> Result<()> {
    let program = models::two_coins(ROWS, ROWS);
    for (estimator, evaluations) in of_coins().into_iter().zip([3, 3, 3, 1, 3, 3, 5]) {
        let mut trainer = Trainer::new(1).with_estimator(estimator);
        let report = trainer.step(&ExpectedCost::new(&program))?;
        assert_eq!(report.evaluations, evaluations);
    }
    Ok(())
}

fn biased() -> Estimators {
    vec![
        Rc::new(GumbelSoftmax::default()),
        Rc::new(StraightThrough::default()),
        Rc::new(StraightThrough::gumbel()),
        Rc::new(ReinMax::default()),
    ]
}

/// With later choices relaxed, ReinMax is biased at costs that are quadratic, too.
#[test]
fn biased_estimators_are_found_to_be() -> Result<()> {
    let (one, many) = (models::two_coins(1, 1), models::two_coins(ROWS, ROWS));
    let (one, many) = (ExpectedCost::new(&one), ExpectedCost::new(&many));
    let values: Values<'_> = &[("first", &[0.4]), ("second", &[-0.6]), ("slope", &[1.3])];
    let setting = Setting {
        calls: PLATES,
        ..Setting::rows(&one, &many, values)
    };
    setting.check_biased(biased())
}

/// The plan names them, and none is chosen without being asked for.
#[test]
fn the_plan_marks_biased_estimators() -> Result<()> {
    let program = models::two_coins(2, 2);
    let objective = ExpectedCost::new(&program);
    for estimator in biased() {
        let marked = format!("{} (biased)", estimator.name());
        let mut trainer = Trainer::new(1).with_site_estimator("a", by_name(estimator.name())?);
        trainer.step(&objective)?;
        let plan = trainer.plan();
        assert!(plan.to_string().contains(&marked), "{plan}");
        let flags: Vec<bool> = plan.entries.iter().map(|entry| entry.biased).collect();
        assert_eq!(flags, [true, false]);
    }
    Ok(())
}

//! Every estimator at the sites of every program, by the check that users have.

use std::rc::Rc;

use relax_runtime::estimator::{Arms, Coupling, Estimator, Rebar, Relax, Rloo, registry};
use relax_runtime::infer::{Elbo, ExpectedCost, Objective};
use relax_runtime::prelude::*;
use relax_runtime::report::{BiasRow, BiasTable, Subject};

use crate::models;
use crate::moved::Moved;

/// Rows of a plate, and how often it is drawn.
const ROWS: usize = 1_000;
const PLATES: u64 = 40;

/// Draws of a program without plate.
const DRAWS: u64 = 10_000;

/// Rows that a subsampled plate stands for.
const OF: usize = 7_000;

/// Gradients must be known so well that a bias of this fraction of the largest would show.
const COARSEST: f64 = 0.5;
/// A fraction of the largest gradient that needs no more draws to show.
const FINE: f64 = 0.2;
/// As few draws as a check takes.
const FEWEST: u64 = 30;

/// The registry's, and others whose settings change what is computed.
fn estimators() -> Vec<Rc<dyn Estimator>> {
    let coupling = Coupling::Independent;
    let (relax, free_form, rebar) = (Relax::sum(), Relax::free_form(), Rebar::default());
    let mut all = registry();
    all.push(Rc::new(Relax { coupling, ..relax }));
    all.push(Rc::new(Relax {
        coupling,
        ..free_form
    }));
    all.push(Rc::new(Rebar { coupling, ..rebar }));
    all.push(Rc::new(Rloo::new(2).unwrap()));
    all.push(Rc::new(Arms::new(3).unwrap()));
    all
}

fn check(
    objective: &dyn Objective,
    estimator: &Rc<dyn Estimator>,
    draws: u64,
) -> Result<BiasTable> {
    const WARM_UP: u64 = 20;
    Check::new(objective)
        .estimator(Moved(Rc::clone(estimator)))
        .warm_up(WARM_UP)
        .draws(draws)
        .run()
}

/// Whether an estimator was refused because it is not valid somewhere in the program.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Site { source, .. } => is_refusal(source),
        Error::Config { setting, .. } => *setting == "estimator",
        _ => false,
    }
}

/// The smallest bias that shows at every site, as a fraction of the largest gradient.
fn largest_share(table: &BiasTable) -> f64 {
    let sites = || {
        let is_site = |row: &&BiasRow| matches!(row.subject, Subject::Site { .. });
        table.rows.iter().filter(is_site)
    };
    let largest = sites().map(|row| row.size).fold(0.0, f64::max);
    let coarsest = sites().map(|row| row.resolution).fold(0.0, f64::max);
    coarsest / largest
}

/// A check with all draws, unless some of them show that there is no bias that is not [`FINE`].
fn check_until_fine(
    objective: &dyn Objective,
    estimator: &Rc<dyn Estimator>,
    draws: u64,
) -> Result<BiasTable> {
    let first = check(objective, estimator, (draws / 4).max(FEWEST))?;
    match largest_share(&first) <= FINE && first.verdict().is_ok() {
        true => Ok(first),
        false => check(objective, estimator, draws),
    }
}

/// Checks every unbiased estimator where it is valid: in `valid` cells.
fn check_all(objective: &dyn Objective, draws: u64, valid: usize) -> Result<()> {
    let mut failures = Vec::new();
    let mut checked = Vec::new();
    for estimator in estimators().iter().filter(|estimator| !estimator.biased()) {
        let name = format!("{} ({:?})", estimator.name(), estimator.coupling());
        let table = match check_until_fine(objective, estimator, draws) {
            Err(error) if is_refusal(&error) => continue,
            other => other?,
        };
        checked.push(name.clone());
        if let Err(error) = table.verdict() {
            failures.push(format!("{name}: {error}"));
        }
        let share = largest_share(&table);
        if share.is_nan() || share > COARSEST {
            failures.push(format!("{name}: shows biases from {share:.2}\n{table}"));
        }
    }
    println!("{} estimators: {}", checked.len(), checked.join(", "));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(checked.len() >= valid, "only {} are valid", checked.len());
    Ok(())
}

/// VIMCO at the sites of a bound of two samples.
#[test]
fn a_bound_of_several_samples() -> Result<()> {
    let model = models::mixture(ROWS);
    check_all(&Elbo::new(&model).samples(2), PLATES, 2)
}

/// A test of one program, or one that is still to be given a device: its objective, draws, and how many estimators are valid there at least.
macro_rules! program {
    ($test:ident: on $device:ident, cost of $program:expr, $draws:expr, $valid:expr) => {
        fn $test($device: &Device) -> Result<()> {
            check_all(&ExpectedCost::new(&$program), $draws, $valid)
        }
    };
    ($test:ident: cost of $program:expr, $draws:expr, $valid:expr) => {
        #[test]
        fn $test() -> Result<()> {
            check_all(&ExpectedCost::new(&$program), $draws, $valid)
        }
    };
    ($test:ident: bound of $model:expr, $draws:expr, $valid:expr) => {
        #[test]
        fn $test() -> Result<()> {
            check_all(&Elbo::new(&$model), $draws, $valid)
        }
    };
    ($test:ident: bound of $model:expr, samples $samples:expr, $draws:expr, $valid:expr) => {
        #[test]
        fn $test() -> Result<()> {
            check_all(&Elbo::new(&$model).samples($samples), $draws, $valid)
        }
    };
    ($test:ident: bound of $model:expr, guide $guide:expr, $draws:expr, $valid:expr) => {
        #[test]
        fn $test() -> Result<()> {
            check_all(&Elbo::new(&$model).guide(&$guide), $draws, $valid)
        }
    };
}

program!(one_bernoulli: cost of models::coin(ROWS, ROWS), PLATES, 18);
program!(interacting_bernoullis: on device, cost of models::coins(device.clone(), ROWS, ROWS), PLATES, 18);
program!(a_categorical: on device, cost of models::index(device.clone(), ROWS, ROWS), PLATES, 10);
program!(a_one_hot_vector: on device, cost of models::one_hot(device.clone(), ROWS, ROWS), PLATES, 15);
program!(two_dependent_sites: cost of models::two_coins(ROWS, ROWS), PLATES, 18);
program!(an_index_after_a_vector: cost of models::vector_then_index(ROWS, ROWS), PLATES, 10);
program!(a_loop_of_dependent_sites: cost of models::chain(ROWS, ROWS), PLATES, 18);
program!(a_subsampling_plate: cost of models::two_coins(ROWS, OF), PLATES, 18);
program!(a_plate_in_a_plate: cost of models::nested(ROWS), PLATES, 18);
program!(a_model_in_a_model: cost of models::calls(ROWS), PLATES, 18);
program!(a_choice_that_rows_depend_on: cost of models::shared_coin(), DRAWS / 4, 12);
program!(rows_that_meet: cost of models::meeting_rows(), DRAWS / 4, 9);
program!(a_choice_inside_host_control_flow: cost of models::decision(), DRAWS, 8);
program!(a_choice_that_is_read_on_some_paths: cost of models::sometimes_read(), DRAWS / 2, 8);
program!(a_loop_whose_length_is_drawn: cost of models::run_of_coins(), DRAWS / 2, 8);
program!(
    a_guide_with_a_subsampled_model: bound of models::pair_model(ROWS, OF),
    guide models::pair_guide(ROWS, OF), PLATES, 18
);
program!(a_bound_of_two_samples: bound of models::mixture(ROWS), samples 2, PLATES, 2);
program!(an_automatic_guide: bound of models::mixture(ROWS), PLATES, 8);
program!(an_automatic_guide_of_host_choices: bound of models::sprinkler(), DRAWS, 10);
program!(an_automatic_guide_of_choices_on_some_paths: bound of models::paths(), DRAWS / 2, 7);
program!(a_coin_before_a_continuous_choice: on device, cost of models::coin_and_normal(device.clone(), ROWS, ROWS), PLATES, 15);

// Of each kind of choice one.
on_every_engine!(
    interacting_bernoullis,
    a_categorical,
    a_one_hot_vector,
    a_coin_before_a_continuous_choice,
);

/// With later choices relaxed, ReinMax is biased at costs that are quadratic, too.
#[test]
fn estimators_that_are_declared_biased_are_found_to_be() -> Result<()> {
    let program = models::two_coins(ROWS, ROWS);
    let objective = ExpectedCost::new(&program);
    let biased: Vec<_> = registry().into_iter().filter(|e| e.biased()).collect();
    assert!(biased.len() >= 4);
    for estimator in &biased {
        let table = check_until_fine(&objective, estimator, PLATES)?;
        let Err(Error::Biased {
            names, findings, ..
        }) = table.verdict()
        else {
            panic!("{}:\n{table}", estimator.name());
        };
        assert!(names.contains(&"a".to_owned()), "{names:?}");
        assert!(findings.contains("is a biased one"), "{findings}");
        assert!(table.to_string().contains("biased, as declared"), "{table}");
    }
    Ok(())
}

/// An estimator that is valid at no kind of site would not be tested.
#[test]
fn every_estimator_is_valid_somewhere() -> Result<()> {
    let programs: [(Box<dyn Program>, &str); 3] = [
        (Box::new(models::coins(Device::cpu(), 2, 2)), "b"),
        (Box::new(models::one_hot(Device::cpu(), 2, 2)), "b"),
        (Box::new(models::coin_and_normal(Device::cpu(), 2, 2)), "x"),
    ];
    let bounded = models::mixture(2);
    for estimator in estimators() {
        let valid = |(program, site): &(Box<dyn Program>, &str)| {
            let mut trainer = Trainer::new(1).site_estimator(site, Rc::clone(&estimator));
            trainer.step(&ExpectedCost::new(&**program)).is_ok()
        };
        let of_bounds = || {
            let mut trainer = Trainer::new(1).site_estimator("k", Rc::clone(&estimator));
            trainer.step(&Elbo::new(&bounded).samples(2)).is_ok()
        };
        let name = estimator.name();
        assert!(programs.iter().any(valid) || of_bounds(), "{name}");
    }
    Ok(())
}

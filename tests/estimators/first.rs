//! The first estimates of a site, and costs that are large compared with their differences.

use relax_runtime::estimator::by_name;
use relax_runtime::infer::exact_gradient;
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::*;

/// Estimators that weigh scores with costs.
const NAMES: [&str; 14] = [
    "relax",
    "relax-free-form",
    "relax-relaxed-cost",
    "relax-sum",
    "rebar",
    "reinforce",
    "nvil",
    "dlax",
    "rloo",
    "double-cv",
    "disarm",
    "arms",
    "indecater",
    "enumerate",
];

/// A coin whose cost has a constant beside it.
#[model]
fn shifted(by: f64) {
    let theta = param!(0.0);
    let b = sample!(Bernoulli(logits = &theta));
    cost!((&b * 0.75 - 0.25).square());
    cost!(by);
}

/// The same in host numbers.
#[model]
fn shifted_host(by: f64) {
    let theta = param!(0.0);
    let b = sample!(Bernoulli(logits = &theta));
    let on = b.to_bool()?;
    cost!(by + if on { 0.25 } else { 0.0625 });
}

/// Squares of gradients, and the parameter, along some steps.
fn trained(program: &dyn Program, name: &str) -> Result<Option<(Vec<f64>, f32)>> {
    let objective = ExpectedCost::new(program);
    let mut trainer = Trainer::new(4).estimator(by_name(name)?);
    let mut squares = Vec::new();
    for step in 0..200 {
        match trainer.step(&objective) {
            Ok(report) => squares.push(report.sites[0].mean_square),
            Err(Error::Site { .. } | Error::Config { .. }) if step == 0 => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let theta = trainer.params().get("theta").expect("a parameter");
    Ok(Some((squares, theta.item()?)))
}

/// The first estimate too has a baseline: an optimiser remembers its square.
#[test]
fn a_constant_of_the_cost_changes_no_training() -> Result<()> {
    let mut valid = 0;
    for name in NAMES {
        let programs: [fn(f64) -> Box<dyn Program>; 2] =
            [|by| Box::new(shifted(by)), |by| Box::new(shifted_host(by))];
        for program in programs {
            let Some((_, plain)) = trained(&*program(0.0), name)? else {
                continue;
            };
            valid += 1;
            for by in [1e3, -1e7] {
                let (squares, theta) = trained(&*program(by), name)?.expect("valid as before");
                assert!(
                    squares.iter().all(|s| *s < 10.0),
                    "{name}, {by}: {squares:?}"
                );
                assert!(
                    (theta - plain).abs() < 1e-3,
                    "{name}, {by}: {theta}, {plain}"
                );
            }
        }
    }
    assert!(valid > 18, "{valid}");
    Ok(())
}

/// Data of a thousand numbers, whose density is as far from 0 as there are many.
#[model]
fn far(n: usize) {
    let b = sample!(Bernoulli(0.5));
    let mean = if b { 0.0 } else { 0.03 };
    for _ in 0..n {
        observe!(Normal(mean, 1.0), 0.0, name = "x");
    }
}

#[test]
fn the_posterior_of_much_data_is_reached() -> Result<()> {
    for name in ["relax", "reinforce", "rloo"] {
        let program = far(1_000);
        let fit = Svi::new(&program)
            .estimator(by_name(name)?)
            .steps(1_500)
            .seed(1)
            .progress(false)
            .run()?;
        let found = 1.0 / (1.0 + (-fit.param("b.logits")?[0]).exp());
        assert!((found - 0.6106).abs() < 0.02, "{name}: {found}");
    }
    Ok(())
}

/// A site that is met first when the others have been trained for long, in a branch.
#[model]
fn late(steps: &std::rc::Rc<std::cell::Cell<usize>>) {
    let theta = param!(0.2);
    steps.set(steps.get() + 1);
    if steps.get() > 40 {
        let late = sample!(Bernoulli(logits = &theta));
        cost!(late * 0.3);
    }
    let early = sample!(Bernoulli(logits = &theta));
    cost!(early * 0.5);
    cost!(5e4);
}

#[test]
fn sites_that_are_met_late_have_a_first_baseline_too() -> Result<()> {
    let steps = std::rc::Rc::default();
    let program = late(&steps);
    let mut trainer = Trainer::new(2).estimator(by_name("reinforce")?);
    for _ in 0..80 {
        for site in trainer.step(&ExpectedCost::new(&program))?.sites {
            assert!(site.mean_square < 1.0, "{site:?}");
        }
    }
    assert!(trainer.plan().entries.len() == 2);
    Ok(())
}

#[test]
fn host_numbers_are_subtracted_before_they_are_rounded() -> Result<()> {
    for by in [0.0, 1e8] {
        let (value, gradient) = exact_gradient(
            &ExpectedCost::new(&shifted_host(by)),
            &ParamStore::default(),
        )?;
        assert!((value - by - 0.15625).abs() < 1e-6, "{value}");
        let found = gradient[0].1.item()?;
        assert!((found - 0.1875 * 0.25).abs() < 1e-7, "{found}");
    }
    Ok(())
}

/// Data that one of two values makes impossible.
#[model]
fn switch() {
    let a = sample!(Bernoulli(0.05));
    let seen = if a { [0.0, 1.0] } else { [1.0, 0.0] };
    observe!(Categorical(seen), 1, name = "seen");
}

#[test]
fn impossible_data_are_named() -> Result<()> {
    let program = switch();
    for name in ["rloo", "relax", "indecater", "enumerate"] {
        for seed in 0..4 {
            let svi = Svi::new(&program).steps(50).seed(seed).progress(false);
            let error = svi.estimator(by_name(name)?).run().unwrap_err().to_string();
            assert!(
                error.contains("`seen`") && error.contains("probability 0"),
                "{name}: {error}"
            );
            assert!(!error.contains("learning rate"), "{name}: {error}");
        }
    }
    Ok(())
}

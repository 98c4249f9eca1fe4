//! Parameters that stay in a set.

use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_near, assert_says, error};

/// Each parameter is drawn towards what lies in its set.
#[model]
fn wells() {
    let scale = param!(0.5, positive);
    cost!((&scale - 3.0).square());
    let p = param!(0.5, unit);
    cost!((&p - 0.2).square() * 10.0);
    let shift = param!(-1.0, interval(-2.0, 0.5));
    cost!((&shift - 4.0).square());
    let shares = param!([0.2, 0.3, 0.5], simplex);
    let wanted = Tensor::from_slice(&[0.6, 0.3, 0.1]);
    cost!((&shares - wanted).square().sum_all() * 10.0);
    let cuts = param!([-1.0, 0.0, 1.0], ordered);
    cost!(
        (&cuts - Tensor::from_slice(&[0.0, 0.5, 3.0]))
            .square()
            .sum_all()
    );
    let rates = param!([0.1, 1.0], positive_ordered);
    cost!(
        (&rates - Tensor::from_slice(&[0.5, 2.0]))
            .square()
            .sum_all()
    );
    let root = param!(Tensor::eye(2, &Device::cpu()), lower_cholesky);
    let wanted = Tensor::from_slice(&[2.0, 0.0, -0.5, 0.7]).reshape([2, 2]);
    cost!((&root - wanted).square().sum_all());
}

#[test]
fn parameters_are_learned_within_their_sets() -> Result<()> {
    let model = wells();
    let fit = Minimize::new(&model)
        .steps(1_500)
        .optimizer(Adam::new(0.02))
        .progress(false)
        .run()?;
    for (name, wanted) in [
        ("scale", &[3.0][..]),
        ("p", &[0.2]),
        ("shares", &[0.6, 0.3, 0.1]),
        ("cuts", &[0.0, 0.5, 3.0]),
        ("rates", &[0.5, 2.0]),
        ("root", &[2.0, 0.0, -0.5, 0.7]),
    ] {
        let found = fit.param(name)?;
        assert_eq!(found.len(), wanted.len(), "{name}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert_near(f64::from(*found), *wanted, 0.02);
        }
    }
    // What is wanted lies outside.
    let shift = f64::from(fit.param("shift")?[0]);
    assert!(shift > 0.3 && shift < 0.5, "{shift}");
    Ok(())
}

#[test]
fn they_start_from_their_first_values() -> Result<()> {
    let model = wells();
    let mut trainer = Trainer::new(1);
    trainer.step(&ExpectedCost::new(&model))?;
    let shares = trainer
        .params()
        .get("shares")
        .expect("a parameter")
        .to_vec()?;
    for (found, wanted) in shares.iter().zip([0.2, 0.3, 0.5]) {
        // After a step of the size that Adam takes.
        assert_near(f64::from(*found), wanted, 0.02);
    }
    assert_eq!(
        trainer.params().parameter("shares").map(|p| p.shape()),
        Some(2.into())
    );
    Ok(())
}

#[test]
fn checkpoints_bring_them_back() -> Result<()> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("fit");
    let model = wells();
    let objective = ExpectedCost::new(&model);
    let mut whole = Trainer::new(1);
    for _ in 0..5 {
        whole.step(&objective)?;
    }
    whole.save(&path)?;
    let mut resumed = Trainer::new(1);
    resumed.resume(&path)?;
    for trainer in [&mut whole, &mut resumed] {
        for _ in 0..5 {
            trainer.step(&objective)?;
        }
    }
    for name in whole.params().names() {
        let value = |trainer: &Trainer| trainer.params().get(&name).expect("a parameter").to_vec();
        assert_eq!(value(&whole)?, value(&resumed)?, "{name}");
    }
    Ok(())
}

#[model]
fn wide() -> Tensor {
    param!(0.5, positive, name = "scale")
}

#[test]
fn handlers_give_values_of_the_set() -> Result<()> {
    let run = Simulation::seeded(1).run(&substitute(wide(), "scale", 2.0))?;
    assert_eq!(run.output.item()?, 2.0);
    let found = error(
        Simulation::seeded(1)
            .run(&substitute(wide(), "scale", -2.0))
            .map(|_| ()),
    );
    assert_says(&found, &["scale", "constraints.rs", "positive", "-2"]);
    Ok(())
}

#[model]
fn wrong(first: f64) {
    let p = param!(first, unit);
    cost!(p.square());
}

#[test]
fn first_values_outside_are_refused() {
    let found = error(Simulation::seeded(1).run(&wrong(1.5)).map(|_| ()));
    assert_says(
        &found,
        &["`p`", "constraints.rs", "unit", "1.5", "between 0 and 1"],
    );
}

/// Ends that the program computes.
#[model]
fn between(low: f64) {
    let x = param!(low + 0.5, interval(low, low + 1.0));
    cost!((&x - 9.0).square());
}

#[test]
fn ends_may_be_computed() -> Result<()> {
    let model = between(2.0);
    let fit = Minimize::new(&model).steps(300).progress(false).run()?;
    let found = fit.param("x")?[0];
    assert!(found > 2.5 && found < 3.0, "{found}");
    Ok(())
}

#[model]
fn rate(x: f64, constrained: bool) {
    let rate = match constrained {
        true => param!(2.0, positive, name = "rate"),
        false => param!(2.0, name = "rate"),
    };
    observe!(Exponential(rate), x);
}

/// A program that left the constraint out would take the logarithm for the rate.
#[test]
fn another_constraint_than_before_is_refused() -> Result<()> {
    let mut trainer = Trainer::new(1);
    let (model, other) = (rate(0.5, true), rate(0.5, false));
    trainer.step(&Elbo::new(&model).guide(&MeanFieldGuide))?;
    let refused = error(trainer.step(&Elbo::new(&other).guide(&MeanFieldGuide)));
    assert_says(&refused, &["`rate`", "unconstrained here", "`positive`"]);
    Ok(())
}

/// Numbers of a file mean what they meant when it was written.
#[test]
fn a_saved_parameter_keeps_its_constraint() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rate");
    let (model, other) = (rate(0.5, true), rate(0.5, false));
    let step = |trainer: &mut Trainer, model: &dyn Program| {
        trainer
            .step(&Elbo::new(model).guide(&MeanFieldGuide))
            .map(drop)
    };
    let mut trainer = Trainer::new(1);
    step(&mut trainer, &model)?;
    trainer.save(&path)?;
    let value = |trainer: &Trainer| trainer.params().get("rate").expect("saved").item();
    for (model, fits) in [(&model, true), (&other, false)] {
        let mut again = Trainer::new(1);
        again.resume(&path)?;
        assert_eq!(value(&again)?, value(&trainer)?);
        let stepped = step(&mut again, model);
        match fits {
            true => stepped?,
            false => assert_says(
                &error(stepped),
                &["`rate`", "was `positive`", "unconstrained"],
            ),
        }
    }
    // The other way round.
    let mut trainer = Trainer::new(1);
    step(&mut trainer, &other)?;
    trainer.save(&path)?;
    assert_says(
        &error(step(&mut trainer, &model)),
        &["`rate`", "`positive` here", "unconstrained elsewhere"],
    );
    let mut again = Trainer::new(1);
    again.resume(&path)?;
    assert_says(
        &error(step(&mut again, &model)),
        &["`rate`", "was unconstrained", "`positive`"],
    );
    Ok(())
}

//! Which estimators a site accepts, what a plan says of them, and how their evaluations count.

use std::rc::Rc;

use relax_runtime::estimator::{Arms, Disarm, Enumerate, Estimator, Rebar, by_name, registry};
use relax_runtime::infer::{Configure, ExpectedCost, Trainer};
use relax_runtime::{Device, Result};

use crate::models;

fn of_coins() -> [Rc<dyn Estimator>; 2] {
    [Rc::new(Disarm), Rc::new(Arms::new(3).unwrap())]
}

#[test]
fn estimators_of_coins_are_refused_at_other_sites() -> Result<()> {
    let program = models::index(Device::cpu(), 1, 1);
    for estimator in of_coins() {
        let mut trainer = Trainer::new(1).estimator(estimator);
        let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
        assert!(error.to_string().contains("Bernoulli"), "{error}");
    }
    let mut trainer = Trainer::new(1).estimator(Enumerate { largest: 3 });
    let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
    assert!(error.to_string().contains("more than 3"), "{error}");
    Ok(())
}

#[test]
fn rebar_is_refused_where_the_cost_cannot_be_relaxed() -> Result<()> {
    let (decision, index) = (models::decision(), models::index(Device::cpu(), 1, 1));
    for objective in [ExpectedCost::new(&decision), ExpectedCost::new(&index)] {
        let mut trainer = Trainer::new(1).estimator(Rebar::default());
        let error = trainer.step(&objective).unwrap_err().to_string();
        assert!(error.contains("REBAR"), "{error}");
    }
    Ok(())
}

/// Rows that meet in a cost outside their plate can be neither summed over nor differentiated one
/// by one.
#[test]
fn rows_that_meet_are_refused() -> Result<()> {
    let program = models::meeting_rows();
    for (name, problem) in [
        ("enumerate", "rows meet"),
        ("indecater", "rows meet"),
        ("rebar", "REBAR"),
    ] {
        let mut trainer = Trainer::new(1).estimator(by_name(name)?);
        let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    Ok(())
}

/// The site's own draw is evaluated once, together with everything else; there are two sites. A sum
/// over all four combinations has no draws; where that is too much, each site is summed over alone.
#[test]
fn evaluations_are_counted() -> Result<()> {
    let program = models::two_coins(10, 10);
    for (name, evaluations) in [
        ("reinforce", 1),
        ("nvil", 1),
        ("enumerate", 4),
        ("indecater", 3),
        ("disarm", 3),
        ("relax-free-form", 1),
        ("relax", 1),
        ("relax-relaxed-cost", 3),
        ("relax-sum", 3),
        ("dlax", 1),
    ] {
        let mut trainer = Trainer::new(1).estimator(by_name(name)?);
        let report = trainer.step(&ExpectedCost::new(&program))?;
        assert_eq!(report.evaluations, evaluations, "{name}");
    }
    let mut trainer = Trainer::new(1).estimator(Enumerate { largest: 3 });
    assert_eq!(trainer.step(&ExpectedCost::new(&program))?.evaluations, 3);
    let mut trainer = Trainer::new(1).estimator(Arms::new(3)?);
    assert_eq!(trainer.step(&ExpectedCost::new(&program))?.evaluations, 5);
    Ok(())
}

/// The plan names them, and none is chosen without being asked for.
#[test]
fn the_plan_marks_biased_estimators() -> Result<()> {
    let program = models::two_coins(2, 2);
    let objective = ExpectedCost::new(&program);
    for estimator in registry().iter().filter(|e| e.biased()) {
        let marked = format!("{} (biased)", estimator.name());
        let mut trainer = Trainer::new(1).site_estimator("a", by_name(estimator.name())?);
        trainer.step(&objective)?;
        let plan = trainer.plan();
        assert!(plan.to_string().contains(&marked), "{plan}");
        let flags: Vec<bool> = plan.entries.iter().map(|entry| entry.biased).collect();
        assert_eq!(flags, [true, false]);
    }
    Ok(())
}

//! What is summed jointly, what is drawn, and what the plan says about it.

use relax_runtime::estimator::{Enumerate, by_name};
use relax_runtime::prelude::*;

use crate::joint::lawn;
use crate::{assert_near, assert_says};

#[test]
fn the_plan_says_what_is_summed_over() -> Result<()> {
    let model = lawn(true);
    let plan = |trainer: Trainer| -> Result<String> {
        let mut trainer = trainer;
        trainer.step(&Elbo::new(&model))?;
        Ok(trainer.plan().to_string())
    };
    let asked = plan(Trainer::new(1).estimator(by_name("enumerate")?))?;
    assert_says(
        &asked,
        &[
            "enumerate  8",
            "asked for; discrete: exact sum over 2 values, and over all 8 combinations of the program's choices",
        ],
    );
    let budget = plan(Trainer::new(1).budget(8))?;
    assert_says(
        &budget,
        &["least variance within 8", "over all 8 combinations"],
    );
    let less = plan(Trainer::new(1).budget(7))?;
    assert_says(
        &less,
        &[
            "the others as drawn: the program's choices have more than 7 combinations",
            "budget",
        ],
    );
    let few = plan(Trainer::new(1).estimator(Enumerate { largest: 5 }))?;
    assert_says(&few, &["more than 5 combinations", "largest"]);
    Ok(())
}

/// Where another site has another estimator, is continuous, or on some path only, or the support
/// is too large, each site is summed over on its own, as before.
#[test]
fn what_cannot_be_summed_jointly_is_drawn() -> Result<()> {
    #[model]
    fn continuous() {
        let b = sample!(Bernoulli(0.3));
        let x = sample!(Normal(0.0, 1.0));
        observe!(Normal(if b { x } else { -x }, 1.0), 0.4);
    }
    #[model]
    fn continuous_on_a_path() {
        let b = sample!(Bernoulli(0.5));
        let x = if b { sample!(Normal(0.0, 1.0)) } else { 0.2 };
        observe!(Normal(x, 1.0), 0.4);
    }
    #[model]
    fn endless() {
        let mut failures = 0.0;
        while !sample!(Bernoulli(0.4), name = "success") {
            failures += 1.0;
        }
        observe!(Normal(failures, 1.0), 1.2);
    }
    #[model]
    fn asked() {
        let a = sample!(Bernoulli(0.3), estimator = "enumerate");
        let b = sample!(Bernoulli(0.3), estimator = "reinforce");
        observe!(Bernoulli(if a == b { 0.2 } else { 0.7 }), true);
    }
    for program in [
        &continuous() as &dyn Program,
        &continuous_on_a_path(),
        &endless(),
    ] {
        let mut trainer = Trainer::new(3).estimator(Enumerate::default());
        let mut losses = Vec::new();
        for _ in 0..12 {
            losses.push(trainer.step(&Elbo::new(program))?.loss);
        }
        let falls = losses.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(falls < 11, "this looks like the exact loss: {losses:?}");
        assert!(
            !trainer
                .plan()
                .to_string()
                .contains("combinations of the program")
        );
    }
    let mut trainer = Trainer::new(3);
    for _ in 0..3 {
        assert_eq!(trainer.step(&Elbo::new(&asked()))?.evaluations, 2);
    }
    Ok(())
}

/// `estimator = ".."` at every site is asking, too.
#[test]
fn sites_can_ask_for_themselves() -> Result<()> {
    #[model]
    fn asking() {
        for _ in 0..3 {
            let b = sample!(Bernoulli(0.3), estimator = "enumerate");
            cost!(if b { 0.4 } else { 1.0 });
        }
    }
    let model = asking();
    let report = Trainer::new(1).step(&Elbo::new(&model))?;
    assert_eq!(report.evaluations, 8);
    let report = Trainer::new(1).step(&ExpectedCost::new(&model))?;
    assert_eq!(report.evaluations, 8);
    assert_near(report.loss, 3.0 * (0.3 * 0.4 + 0.7), 1e-6);
    Ok(())
}

//! Which estimator the plan gives a site, by class and budget, and what it costs.

use relax_runtime::estimator::{PlanEntry, by_name};
use relax_runtime::infer::{ExpectedCost, Objective, Trainer};
use relax_runtime::prelude::{Minimize, Program};
use relax_runtime::{Error, Result};

use crate::models;

/// The plan's entries after one step within a budget.
fn plan(program: &dyn Program, budget: usize) -> Result<Vec<PlanEntry>> {
    let mut trainer = Trainer::new(1).with_budget(budget)?;
    trainer.step(&ExpectedCost::new(program))?;
    Ok(trainer.plan().entries)
}

fn chosen(program: &dyn Program, budgets: &[usize]) -> Result<Vec<(&'static str, usize)>> {
    let first = |&budget: &usize| {
        let entry = plan(program, budget)?.swap_remove(0);
        assert!(entry.evaluations <= budget && !entry.biased, "{entry:?}");
        Ok((entry.estimator, entry.evaluations))
    };
    budgets.iter().map(first).collect()
}

#[test]
fn coins_whose_cost_can_be_relaxed() -> Result<()> {
    let program = models::coins(4, 4);
    assert_eq!(
        chosen(&program, &[1, 2, 3, 4, 7, 8])?,
        [
            ("relax-free-form", 1),
            ("relax-sum", 2),
            ("rodeo", 3),
            ("rodeo", 4),
            ("rodeo", 7),
            ("enumerate", 8)
        ]
    );
    Ok(())
}

#[test]
fn coins_before_a_black_box() -> Result<()> {
    let program = models::meeting_rows();
    assert_eq!(
        chosen(&program, &[1, 2, 3, 9])?,
        [
            ("relax-free-form", 1),
            ("disarm", 2),
            ("arms", 3),
            ("arms", 9)
        ]
    );
    Ok(())
}

#[test]
fn categoricals() -> Result<()> {
    let (vector, index) = (models::one_hot(4, 4), models::index(4, 4));
    assert_eq!(
        chosen(&vector, &[1, 2, 3, 4])?,
        [
            ("relax-free-form", 1),
            ("relax-sum", 2),
            ("relax-sum", 2),
            ("enumerate", 4)
        ]
    );
    assert_eq!(
        chosen(&index, &[1, 3, 4])?,
        [
            ("relax-free-form", 1),
            ("relax-free-form", 1),
            ("enumerate", 4)
        ]
    );
    Ok(())
}

/// Sixteen vectors of three values are too many to enumerate, but each can be summed out.
#[test]
fn many_categoricals() -> Result<()> {
    let program = models::many_vectors(3);
    assert_eq!(
        chosen(&program, &[3, 4, 32, 33])?,
        [
            ("relax-sum", 2),
            ("double-cv", 4),
            ("double-cv", 32),
            ("indecater", 33)
        ]
    );
    Ok(())
}

#[test]
fn continuous_choices() -> Result<()> {
    let program = models::threshold();
    let entries = plan(&program, 3)?;
    assert_eq!((entries[0].estimator, entries[0].evaluations), ("lax", 1));
    let program = models::coin_and_normal(4, 4);
    let entries = plan(&program, 1)?;
    assert_eq!(entries[1].estimator, "pathwise");
    Ok(())
}

/// Without a budget, RELAX: also where a sum over two values would be as cheap.
#[test]
fn without_a_budget() -> Result<()> {
    let program = models::two_coins(4, 4);
    let mut trainer = Trainer::new(1);
    trainer.step(&ExpectedCost::new(&program))?;
    assert!(
        trainer
            .plan()
            .entries
            .iter()
            .all(|e| e.estimator == "relax" && e.rivals.is_empty())
    );
    Ok(())
}

#[test]
fn the_plan_says_what_it_costs_and_why_not_another() -> Result<()> {
    let program = models::coins(4, 4);
    let mut trainer = Trainer::new(1).with_budget(4)?;
    trainer.step(&ExpectedCost::new(&program))?;
    let plan = trainer.plan().to_string();
    for line in [
        "b     Bernoulli     rodeo      4            least variance within 4; coins",
        "b: not enumerate: it takes 8 evaluations",
        "b: not pathwise: a discrete draw has no pathwise derivative",
    ] {
        assert!(plan.lines().any(|found| found.starts_with(line)), "{plan}");
    }
    Ok(())
}

#[test]
fn sites_have_budgets_of_their_own_and_overrides() -> Result<()> {
    let program = models::two_coins(4, 4);
    let mut trainer = Trainer::new(1)
        .with_budget(1)?
        .with_site_budget("b", 3)?
        .with_site_estimator("a", by_name("rloo")?);
    trainer.step(&ExpectedCost::new(&program))?;
    let entries = trainer.plan().entries;
    assert_eq!(entries[0].estimator, "rloo");
    assert!(
        entries[0].reason.contains("beyond the budget of 1"),
        "{}",
        entries[0].reason
    );
    assert_eq!(entries[1].estimator, "enumerate");
    Ok(())
}

#[test]
fn budgets_are_checked() -> Result<()> {
    let error = Trainer::new(1).with_budget(0).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Config {
                setting: "budget",
                ..
            }
        ),
        "{error}"
    );
    let program = models::two_coins(4, 4);
    let error = Minimize::new(&program)
        .steps(1)
        .budget(0)
        .progress(false)
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("at least 1"), "{error}");
    let typo = Minimize::new(&program)
        .steps(1)
        .site_budget("nobody", 3)
        .progress(false);
    assert!(matches!(typo.run(), Err(Error::UnknownSite { .. })));
    Ok(())
}

/// What an estimator says that it takes is what the trainer counts.
#[test]
fn evaluations_are_as_announced() -> Result<()> {
    const NAMES: [&str; 23] = [
        "relax",
        "relax-free-form",
        "relax-sum",
        "rebar",
        "reinforce",
        "reinforce-without-baseline",
        "rloo",
        "disarm",
        "arms",
        "disarm-tree",
        "enumerate",
        "indecater",
        "muprop",
        "double-cv",
        "rodeo",
        "nvil",
        "dlax",
        "lax",
        "evolution-strategies",
        "gumbel-softmax",
        "straight-through",
        "straight-through-gumbel",
        "reinmax",
    ];
    let (coins, vector, index) = (
        models::coins(4, 4),
        models::one_hot(4, 4),
        models::index(4, 4),
    );
    let continuous = models::scored_normal(4, 4);
    let programs: [(&str, &dyn Program); 4] = [
        ("b", &coins),
        ("b", &vector),
        ("k", &index),
        ("x", &continuous),
    ];
    for name in NAMES {
        let mut valid = 0;
        for (site, program) in programs {
            let objective = ExpectedCost::new(program);
            let mut trainer = Trainer::new(1).with_site_estimator(site, by_name(name)?);
            let Ok(report) = trainer.step(&objective as &dyn Objective) else {
                continue;
            };
            assert_eq!(
                trainer.plan().entries[0].evaluations,
                report.evaluations,
                "{name}"
            );
            valid += 1;
        }
        assert!(valid > 0, "{name}");
    }
    Ok(())
}

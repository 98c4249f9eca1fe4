//! Which estimator the plan gives a site, by class and budget, and what it costs.

use std::cell::Cell;
use std::rc::Rc;

use relax_runtime::estimator::{PlanEntry, by_name};
use relax_runtime::infer::{ExpectedCost, Objective};
use relax_runtime::prelude::*;

use crate::models;

/// The plan's entries after one step within a budget.
fn plan(program: &dyn Program, budget: usize) -> Result<Vec<PlanEntry>> {
    let mut trainer = Trainer::new(1).budget(budget);
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

/// What is exact is taken where it is affordable, and what races is within the budget.
#[test]
fn exact_sums_are_taken_where_a_budget_is_enough() -> Result<()> {
    let coins = models::coins(Device::cpu(), 4, 4);
    let (vector, index) = (
        models::one_hot(Device::cpu(), 4, 4),
        models::index(Device::cpu(), 4, 4),
    );
    for (program, values) in [(&coins as &dyn Program, 8), (&vector, 4), (&index, 4)] {
        assert_eq!(chosen(program, &[values])?, [("enumerate", values)]);
        for entry in [1, 2, 3].map(|budget| plan(program, budget)) {
            let entry = entry?.swap_remove(0);
            assert_ne!(entry.estimator, "enumerate");
            assert!(
                entry.reason.contains("within") || entry.reason.contains("raced"),
                "{entry:?}"
            );
        }
    }
    let meeting = models::meeting_rows();
    for (estimator, evaluations) in chosen(&meeting, &[1, 2, 3, 9])? {
        // Rows that meet can neither be relaxed nor summed over.
        let valid = ["relax-free-form", "disarm", "arms", "rloo"];
        assert!(
            valid.contains(&estimator) && evaluations <= 9,
            "{estimator}"
        );
    }
    Ok(())
}

/// Sixteen vectors of three values are too many to enumerate, but each can be summed out.
#[test]
fn many_categoricals() -> Result<()> {
    let program = models::many_vectors(3);
    let found = chosen(&program, &[3, 33])?;
    assert!(
        found[0].1 <= 3 && found[1] == ("indecater", 33),
        "{found:?}"
    );
    Ok(())
}

/// Many coins before a network of leaky units: a program that counts its runs.
#[model]
fn network(runs: &Rc<Cell<usize>>) {
    runs.set(runs.get() + 1);
    let theta = param!(Tensor::zeros([1, 60], &Device::cpu()));
    let wave = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin() * 0.3).collect();
    let first = Tensor::from_vec(wave(60 * 20, 1.7), [60, 20], &Device::cpu());
    let second = Tensor::from_vec(wave(20, 2.3), [20], &Device::cpu());
    plate!(8 => {
        let b = sample!(Bernoulli(logits = &theta));
        let hidden = b.matmul(first.as_ref().map_err(Clone::clone)?).leaky_relu(0.3);
        cost!((hidden * second.as_ref().map_err(Clone::clone)?).sum(-1).square());
    });
}

/// RODEO takes many times as long as its evaluations do.
#[test]
fn what_wins_has_the_least_variance_for_its_time() -> Result<()> {
    let runs = Rc::default();
    let program = network(&runs);
    let entry = plan(&program, 3)?.swap_remove(0);
    assert_ne!(entry.estimator, "rodeo", "{entry:?}");
    let product = |text: &str| -> f64 {
        let number = text.split("= ").nth(1).expect("a product");
        let number = number.split(';').next().expect("a number").trim();
        number.parse().expect("a number")
    };
    let won = product(&entry.reason);
    let raced: Vec<_> = entry
        .rivals
        .iter()
        .filter(|r| r.problem.contains('×'))
        .collect();
    assert!(raced.len() >= 4, "{entry:?}");
    for rival in raced {
        assert!(product(&rival.problem) >= won, "{entry:?}");
    }
    Ok(())
}

/// More draws than are worth their time are not taken, and a step with them runs the program as
/// often as it says.
#[test]
fn large_budgets_take_no_longer() -> Result<()> {
    let runs: Rc<Cell<usize>> = Rc::default();
    let program = network(&runs);
    let mut counts = Vec::new();
    for budget in [16, 50] {
        let objective = ExpectedCost::new(&program);
        let mut trainer = Trainer::new(1).budget(budget);
        trainer.step(&objective)?;
        let before = runs.get();
        trainer.step(&objective)?;
        let evaluations = trainer.plan().entries[0].evaluations;
        assert!(evaluations <= 16, "{}", trainer.plan());
        counts.push(runs.get() - before);
    }
    assert!(counts[0] == counts[1] && counts[0] <= 16, "{counts:?}");
    Ok(())
}

/// A race is a function of the seed: trainings that are resumed go on with the same choice and
/// the same numbers.
#[test]
fn races_come_out_the_same_and_are_not_held_again() -> Result<()> {
    let runs: Rc<Cell<usize>> = Rc::default();
    let program = network(&runs);
    let objective = ExpectedCost::new(&program);
    let trainer = || Trainer::new(5).budget(4);
    let (mut one, mut other) = (trainer(), trainer());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint");
    for step in 0..6 {
        if step == 3 {
            other.save(&path)?;
            other = trainer();
            other.resume(&path)?;
            let before = runs.get();
            other.step(&objective)?;
            assert!(runs.get() - before < 20, "a second race");
        } else {
            other.step(&objective)?;
        }
        one.step(&objective)?;
    }
    let theta = |trainer: &Trainer| trainer.params().get("theta").expect("theta").to_vec();
    assert_eq!(theta(&one)?, theta(&other)?);
    assert_eq!(
        one.plan().entries[0].estimator,
        other.plan().entries[0].estimator
    );
    Ok(())
}

#[model]
fn loop_of_coins(runs: &Rc<Cell<usize>>, n: usize) {
    runs.set(runs.get() + 1);
    let theta = param!(0.3);
    let mut total = Tensor::scalar(0.0);
    for _ in 0..n {
        let h = sample!(OneHotCategorical(
            logits = Tensor::from_slice(&[0.1, -0.2, 0.3]) * &theta
        ));
        total = total + h.index(-1, 0);
    }
    cost!((total - 1.0).square());
}

/// Sites of a loop that are alike race once.
#[test]
fn a_loop_races_once() -> Result<()> {
    let runs: Rc<Cell<usize>> = Rc::default();
    let mut counts = Vec::new();
    for n in [2, 20] {
        let program = loop_of_coins(&runs, n);
        let before = runs.get();
        let mut trainer = Trainer::new(1).budget(2);
        trainer.step(&ExpectedCost::new(&program))?;
        counts.push(runs.get() - before);
        let entries = trainer.plan().entries;
        assert!(
            entries.iter().all(|e| e.reason == entries[0].reason),
            "{entries:?}"
        );
        assert!(entries[0].reason.contains("raced"), "{entries:?}");
    }
    assert!(counts[1] < counts[0] + 100, "{counts:?}");
    Ok(())
}

#[model]
fn brackets() {
    let theta = param!(0.3);
    let b = sample!(Bernoulli(logits = &theta));
    let c = sample!(Bernoulli(logits = &theta), name = "a]b");
    let d = sample!(Bernoulli(logits = &theta), name = "]b");
    cost!(b + c + d);
}

/// Only what stands for a loop's index is no part of a name.
#[test]
fn names_with_brackets_are_names() -> Result<()> {
    let program = brackets();
    let mut trainer = Trainer::new(1).site_estimator("b", by_name("rloo")?);
    trainer.step(&ExpectedCost::new(&program))?;
    let found: Vec<_> = trainer.plan().entries.iter().map(|e| e.estimator).collect();
    assert_eq!(found, ["rloo", "relax", "relax"]);
    Ok(())
}

#[test]
fn continuous_choices() -> Result<()> {
    let program = models::threshold();
    let entries = plan(&program, 3)?;
    assert_eq!((entries[0].estimator, entries[0].evaluations), ("lax", 1));
    let program = models::coin_and_normal(Device::cpu(), 4, 4);
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
    let program = models::coins(Device::cpu(), 4, 4);
    let mut trainer = Trainer::new(1).budget(4);
    trainer.step(&ExpectedCost::new(&program))?;
    let plan = trainer.plan().to_string();
    for line in [
        "b     Bernoulli     ",
        "b: not enumerate: it takes 8 evaluations",
        "b: not rodeo: variance 0.",
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
        .budget(1)
        .site_budget("b", 3)
        .site_estimator("a", by_name("rloo")?);
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
    let program = models::two_coins(4, 4);
    let mut trainer = Trainer::new(1).budget(0);
    let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
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
    const NAMES: [&str; 24] = [
        "relax",
        "relax-free-form",
        "relax-relaxed-cost",
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
        models::coins(Device::cpu(), 4, 4),
        models::one_hot(Device::cpu(), 4, 4),
        models::index(Device::cpu(), 4, 4),
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
            let mut trainer = Trainer::new(1).site_estimator(site, by_name(name)?);
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

//! What shows in later sums alone, since choices that are left, or ranges that have grown, lead there.

use std::cell::Cell;

use relax_runtime::infer::{Marginalised, marginalise};
use relax_runtime::model::{Model, condition};
use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence, log_sum_exp};

fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
}

/// The log-probability of one more sum of a model with `y` given.
fn at<M: Model>(sum: &Marginalised<M>, y: f64) -> Result<f64> {
    Simulation::seeded(1)
        .run(&condition(sum, "y", y))?
        .trace
        .log_prob()
}

/// A second observation is made where `y` is above 0.
#[model]
fn regimes(seen: f64) {
    let y: f64 = sample!(Normal(0.0, 1.0));
    let on = sample!(Bernoulli(0.3));
    observe!(
        Normal(if on { 1.0 } else { -1.0 }, 1.0),
        0.2,
        name = "first"
    );
    if y > 0.0 {
        observe!(
            Normal(if on { 2.0 } else { -2.0 }, 1.0),
            seen,
            name = "second"
        );
    }
}

#[test]
fn terms_that_later_sums_meet_first_are_looked_at() -> Result<()> {
    let sum = marginalise(regimes(1.5));
    let of = |y: f64, p: f64, side: f64| {
        let second = if y > 0.0 {
            log_normal(1.5, 2.0 * side, 1.0)
        } else {
            0.0
        };
        p.ln() + log_normal(0.2, side, 1.0) + second
    };
    for y in [-1.0, -1.0, -1.0, 1.0, -2.0, 0.5] {
        let wanted = log_normal(y, 0.0, 1.0) + log_sum_exp(&[of(y, 0.3, 1.0), of(y, 0.7, -1.0)]);
        assert_near(at(&sum, y)?, wanted, 1e-6);
    }
    Ok(())
}

/// Which of two coins counts follows from `y`.
#[model]
fn switched(seen: f64) {
    let y: f64 = sample!(Normal(0.0, 1.0));
    let first = sample!(Bernoulli(0.3));
    let second = sample!(Bernoulli(0.8));
    let on = if y > 1.0 { first } else { second };
    observe!(Normal(if on { 1.0 } else { -1.0 }, 1.0), seen);
}

#[test]
fn dependence_that_a_choice_that_is_left_moves_is_found_soon() -> Result<()> {
    let sum = marginalise(switched(0.7));
    for _ in 0..5 {
        at(&sum, 0.0)?;
    }
    let of = |p: f64| {
        let sides = [(p, 1.0), (1.0 - p, -1.0)];
        log_sum_exp(&sides.map(|(p, mean)| p.ln() + log_normal(0.7, mean, 1.0)))
    };
    let mut found = 0.0;
    for _ in 0..16 {
        found = at(&sum, 2.0)?;
    }
    assert_near(found, log_normal(2.0, 0.0, 1.0) + of(0.3), 1e-6);
    assert_near(at(&sum, 0.0)?, log_normal(0.0, 0.0, 1.0) + of(0.8), 1e-6);
    Ok(())
}

/// The range of a choice that is left follows from the coin where `y` is above 0.
#[model]
fn bounded() {
    let y: f64 = sample!(Normal(0.0, 1.0));
    let on = sample!(Bernoulli(0.3));
    let largest = if y > 0.0 && on { 4.0 } else { 9.0 };
    let u: f64 = sample!(Uniform(0.0, largest));
    observe!(Normal(u, 1.0), 3.0);
}

#[test]
fn ranges_of_choices_that_are_left_are_looked_at_later_too() -> Result<()> {
    let sum = marginalise(bounded());
    for _ in 0..3 {
        at(&sum, -1.0)?;
    }
    let mut later = (0..9).map(|_| at(&sum, 1.0));
    let error = later.find_map(std::result::Result::err);
    let said = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("`u`") && said.contains("draw_all"), "{said}");
    Ok(())
}

/// Groups with means of many values, and data that name their groups.
#[model]
fn grouped(group: &[usize], x: &[f64], runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut means = Vec::new();
    for _ in 0..20 {
        let at = sample!(DiscreteUniform(0, 19));
        means.push(0.2 * at as f64);
    }
    for (&group, &x) in group.iter().zip(x) {
        observe!(Normal(means[group], 1.0), x);
    }
}

#[test]
fn guesses_never_make_a_sum_too_large() -> Result<()> {
    let group: Vec<usize> = (0..100).map(|i| (i * 37 + i * i / 7) % 20).collect();
    let x: Vec<f64> = (0..100).map(|i| 2.0 + (0.7 * i as f64).sin()).collect();
    let wanted = (0..20).map(|g| {
        let of = |at: usize| {
            let own = group.iter().zip(&x).filter(|(of, _)| **of == g);
            let own = own.map(|(_, x)| log_normal(*x, 0.2 * at as f64, 1.0));
            -(20.0_f64.ln()) + own.sum::<f64>()
        };
        log_sum_exp(&(0..20).map(of).collect::<Vec<_>>())
    });
    let runs = Cell::new(0);
    assert_near(
        log_evidence(grouped(&group, &x, &runs))?,
        wanted.sum(),
        1e-8,
    );
    assert!(runs.get() < 4_000, "{}", runs.get());
    Ok(())
}

/// A walk over whole numbers: each range follows from the step before.
#[model]
fn walk(steps: usize, seen: f64, runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut at: usize = sample!(DiscreteUniform(0, 2), name = "start");
    for _ in 0..steps {
        let next = sample!(DiscreteUniform(at.saturating_sub(1), at + 1));
        at = next;
    }
    observe!(Normal(at as f64, 1.0), seen);
}

#[test]
fn ranges_that_grow_step_by_step_take_few_runs() -> Result<()> {
    const STEPS: usize = 12;
    let mut p = vec![1.0 / 3.0; 3];
    for _ in 0..STEPS {
        let mut next = vec![0.0; p.len() + 1];
        for (at, p) in p.iter().enumerate() {
            let range = at.saturating_sub(1)..=at + 1;
            let count = range.clone().count() as f64;
            range.for_each(|to| next[to] += p / count);
        }
        p = next;
    }
    let terms = p
        .iter()
        .enumerate()
        .map(|(at, p)| p.ln() + log_normal(9.0, at as f64, 1.0));
    let wanted = log_sum_exp(&terms.collect::<Vec<_>>());
    let runs = Cell::new(0);
    assert_near(log_evidence(walk(STEPS, 9.0, &runs))?, wanted, 1e-9);
    assert!(runs.get() < 3_000, "{}", runs.get());
    Ok(())
}

/// The same, where the other coin's side excludes the observation.
#[model]
fn excluded() {
    let y: f64 = sample!(Normal(0.0, 1.0));
    let first = sample!(Bernoulli(0.3));
    let second = sample!(Bernoulli(0.8));
    let on = if y > 1.0 { first } else { second };
    observe!(Bernoulli(if on { 0.9 } else { 0.0 }), true);
}

#[test]
fn nothing_is_impossible_before_it_was_looked_at() -> Result<()> {
    let wanted = log_normal(2.0, 0.0, 1.0) + (0.3_f64 * 0.9).ln();
    for seed in 0..12 {
        let sum = marginalise(excluded());
        let at = |y: f64| {
            let run = Simulation::seeded(seed).run(&condition(&sum, "y", y))?;
            run.trace.log_prob()
        };
        at(0.0)?;
        for _ in 0..80 {
            // Whatever the runs of this sum are, none is refused.
            at(2.0)?;
        }
        assert_near(at(2.0)?, wanted, 1e-6);
    }
    Ok(())
}

/// A choice decides whether a plate is entered before another one.
#[model]
fn optional(x: &Tensor) {
    let device = Device::cpu();
    let before = sample!(Bernoulli(0.5));
    if before {
        plate!(2 => {
            observe!(Normal(0.0, 1.0), Tensor::zeros([2], &device), name = "before it");
        })
    }
    plate!(x.rows() => {
        let z = sample!(Bernoulli(Tensor::full(x.rows(), 0.5, &device)));
        if before {
            observe!(Normal(&z, 1.0), x, name = "one");
        } else {
            observe!(Normal(&z * 2.0, 1.0), x, name = "other");
        }
    })
}

#[test]
fn plates_are_told_apart_by_their_lines() -> Result<()> {
    let x = [0.4, 1.2, -0.3];
    let of = |scale: f64| {
        let rows = x.iter().map(|&x| {
            let sides = [log_normal(x, 0.0, 1.0), log_normal(x, scale, 1.0)];
            0.5_f64.ln() + log_sum_exp(&sides)
        });
        0.5_f64.ln() + rows.sum::<f64>()
    };
    let wanted = log_sum_exp(&[of(1.0) + 2.0 * log_normal(0.0, 0.0, 1.0), of(2.0)]);
    let rows: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    assert_near(
        log_evidence(optional(&Tensor::from_slice(&rows)))?,
        wanted,
        1e-5,
    );
    Ok(())
}

/// As many coins as there are data.
#[model]
fn vector(x: &Tensor) {
    let on = sample!(Bernoulli(Tensor::full(x.shape(), 0.5, &Device::cpu())));
    observe!(Normal(on, 1.0), x);
}

#[test]
fn there_may_be_no_coins() -> Result<()> {
    assert_near(log_evidence(vector(&Tensor::from_slice(&[])))?, 0.0, 1e-9);
    let two = log_evidence(vector(&Tensor::from_slice(&[0.5, 0.5])))?;
    assert_near(two, 2.0 * log_normal(0.5, 0.0, 1.0), 1e-5);
    Ok(())
}

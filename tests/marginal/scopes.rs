//! What terms in loops depend on when host code has read choices: few runs find it.

use std::cell::Cell;

use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence, log_sum_exp};

fn log_normal(x: f64, mean: f64) -> f64 {
    -0.5 * (x - mean).powi(2) - 0.5 * std::f64::consts::TAU.ln()
}

/// Evidence, and the runs that it took.
fn counted<M: Model>(model: impl FnOnce(&'static Cell<usize>) -> M) -> Result<(f64, usize)> {
    let runs: &'static Cell<usize> = Box::leak(Box::default());
    let found = log_evidence(model(runs))?;
    Ok((found, runs.get()))
}

/// Data of groups in a flat loop: each belongs to the group that it names.
#[model]
fn grouped(group: &[usize], x: &[f64], runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut means = Vec::new();
    for _ in 0..=group.iter().copied().max().unwrap_or(0) {
        let is_high = sample!(Bernoulli(0.3));
        means.push(if is_high { 1.5 } else { -0.5 });
    }
    for (&group, &x) in group.iter().zip(x) {
        observe!(Normal(means[group], 1.0), x);
    }
}

fn numbers(count: usize) -> Vec<f64> {
    (0..count)
        .map(|i| 2.0 * (1.3 * (i * i) as f64).sin())
        .collect()
}

#[test]
fn data_depend_on_their_groups_alone() -> Result<()> {
    let x = numbers(100);
    // Sorted, and in an order of its own.
    for group in [
        (0..100).map(|i| i / 5).collect::<Vec<usize>>(),
        (0..100).map(|i| (i * 37 + i * i / 7) % 20).collect(),
    ] {
        let of = |g: usize, mean: f64| {
            let own = x.iter().zip(&group).filter(|(_, of)| **of == g);
            own.map(|(x, _)| log_normal(*x, mean)).sum::<f64>()
        };
        let terms =
            (0..20).map(|g| log_sum_exp(&[0.3_f64.ln() + of(g, 1.5), 0.7_f64.ln() + of(g, -0.5)]));
        let wanted: f64 = terms.sum();
        let (found, runs) = counted(|runs| grouped(&group, &x, runs))?;
        assert_near(found, wanted, 1e-9);
        assert!(runs < 600, "{runs}");
    }
    Ok(())
}

/// Coins of a tree, each of which follows its parent, with a reading of each.
#[model]
fn tree(parents: &[usize], x: &[f64], runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let mut coins = Vec::new();
    for at in 0..x.len() {
        let p = match at {
            0 => 0.5,
            _ if coins[parents[at]] => 0.8,
            _ => 0.3,
        };
        let coin = sample!(Bernoulli(p));
        coins.push(coin);
        observe!(Normal(if coin { 1.0 } else { 0.0 }, 1.0), x[at]);
    }
}

#[test]
fn trees_of_any_form_take_few_runs() -> Result<()> {
    let x = numbers(30);
    let heap: Vec<usize> = (0..30_usize).map(|at| at.saturating_sub(1) / 2).collect();
    let any: Vec<usize> = (0..30_usize).map(|at| (at * at + 5) % at.max(1)).collect();
    for parents in [heap, any] {
        // From the leaves up: ln p of what is below, by the value.
        let mut below = vec![[0.0_f64; 2]; 30];
        for at in (0..30).rev() {
            let own = [0, 1].map(|on| below[at][on] + log_normal(x[at], on as f64));
            let of = |p: f64| log_sum_exp(&[(1.0 - p).ln() + own[0], p.ln() + own[1]]);
            if at == 0 {
                let (found, runs) = counted(|runs| tree(&parents, &x, runs))?;
                assert_near(found, of(0.5), 1e-9);
                assert!(runs < 800, "{runs}");
            } else {
                below[parents[at]][0] += of(0.3);
                below[parents[at]][1] += of(0.8);
            }
        }
    }
    Ok(())
}

/// Rows of data, each row of a component of its own, in a loop inside the other.
#[model]
fn nested(x: &[Vec<f64>], runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    for row in x {
        let is_high = sample!(Bernoulli(0.3));
        for &x in row {
            observe!(Normal(if is_high { 1.5 } else { -0.5 }, 1.0), x);
        }
    }
}

#[test]
fn inner_loops_depend_on_choices_of_outer_ones() -> Result<()> {
    let x: Vec<Vec<f64>> = numbers(800).chunks(10).map(<[f64]>::to_vec).collect();
    let of_row = |row: &Vec<f64>| {
        let of = |mean: f64| row.iter().map(|x| log_normal(*x, mean)).sum::<f64>();
        log_sum_exp(&[0.3_f64.ln() + of(1.5), 0.7_f64.ln() + of(-0.5)])
    };
    let wanted: f64 = x.iter().map(of_row).sum();
    let (found, runs) = counted(|runs| nested(&x, runs))?;
    assert_near(found, wanted, 1e-9);
    assert!(runs < 900, "{runs}");
    Ok(())
}

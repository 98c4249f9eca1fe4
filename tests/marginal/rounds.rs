//! Choices that come and go with a number that is not summed out.

use std::cell::Cell;

use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use crate::{assert_near, log_sum_exp};

/// As many tosses as a count of this rate says.
#[model]
fn tosses(rate: f64, heads: f64, runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let count = sample!(Poisson(rate));
    let mut found = 0.0;
    for _ in 0..count {
        let on = sample!(Bernoulli(0.3));
        if on {
            found += 1.0;
        }
    }
    observe!(Normal(found, 0.5), heads);
}

fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
}

/// ln Σ over the heads of `count` tosses of their probability and that of an observation.
fn of_tosses(count: usize, heads: f64) -> f64 {
    let (mut ways, mut terms) = (1.0_f64, Vec::new());
    for found in 0..=count {
        let (on, off) = (found as f64, (count - found) as f64);
        terms.push(ways.ln() + on * 0.3_f64.ln() + off * 0.7_f64.ln() + log_normal(heads, on, 0.5));
        ways *= off / (on + 1.0);
    }
    log_sum_exp(&terms)
}

/// After nine tosses two have four combinations, and not 512.
#[test]
fn a_sum_takes_runs_for_the_choices_that_are_there() -> Result<()> {
    let runs = Cell::new(0);
    let model = tosses(3.0, 2.0, &runs);
    let summed = marginalise(&model);
    for (sum, count) in [3, 9, 9, 2, 9, 0, 1, 5].into_iter().enumerate() {
        let before = runs.get();
        let run = Simulation::seeded(1).run(&condition(&summed, "count", count))?;
        let made = runs.get() - before;
        let poisson =
            count as f64 * 3.0_f64.ln() - 3.0 - (1..=count).map(|k| (k as f64).ln()).sum::<f64>();
        assert_near(run.trace.log_prob()?, poisson + of_tosses(count, 2.0), 1e-5);
        // The first three find out what there is.
        assert!(
            sum < 3 || made <= (1 << count) + 1,
            "{made} runs for {count} tosses"
        );
    }
    Ok(())
}

/// What is drawn after all follows what it would have followed from the beginning.
#[test]
fn choices_of_a_sum_that_was_given_up_follow_each_other() -> Result<()> {
    let runs = Cell::new(0);
    // So many that the sum is given up.
    let model = tosses(5.0, 2.0, &runs);
    let fit = Svi::new(&model).seed(1).progress(false).run()?;
    let plan = fit.plan().to_string();
    assert!(
        plan.contains("on[1]: guided by its law in the model, a table by `on[0]`"),
        "{plan}"
    );
    // Heads are a Poisson number of rate 5 · 0.3.
    let mut terms = Vec::new();
    let mut log_mass = -1.5;
    for found in 0..30 {
        terms.push(log_mass + log_normal(2.0, f64::from(found), 0.5));
        log_mass += 1.5_f64.ln() - f64::from(found + 1).ln();
    }
    let exact = log_sum_exp(&terms);
    let elbo = fit.posterior().log_evidence().elbo;
    assert!(
        (exact - 0.6..exact + 0.05).contains(&elbo),
        "{elbo}, where {exact} is right"
    );
    Ok(())
}

/// Seven tosses or seven others: their 2¹⁴ combinations never count together.
#[model]
fn either(heads: f64) {
    let which = sample!(Poisson(1.0));
    let mut found = 0.0;
    for _ in 0..7 {
        let on = match which {
            0 => sample!(Bernoulli(0.3), name = "one"),
            _ => sample!(Bernoulli(0.3), name = "other"),
        };
        if on {
            found += 1.0;
        }
    }
    observe!(Normal(found, 0.5), heads);
}

#[test]
fn choices_that_are_never_there_together_are_not_combined() -> Result<()> {
    let model = either(2.0);
    let summed = marginalise(&model);
    for which in [0, 1, 1, 0] {
        let run = Simulation::seeded(1).run(&condition(&summed, "which", which))?;
        // Both values of the count have probability 1/e.
        assert_near(run.trace.log_prob()?, of_tosses(7, 2.0) - 1.0, 1e-5);
    }
    Ok(())
}

/// A toss until one ends it: first values, which a sum starts with, never do.
#[model]
fn until(turns: &Cell<usize>) {
    let mut lasted = 0.0;
    loop {
        turns.set(turns.get() + 1);
        let stop = sample!(Bernoulli(0.5));
        if stop {
            break;
        }
        lasted += 1.0;
    }
    observe!(Normal(lasted, 1.0), 3.0);
}

#[test]
fn a_loop_that_chance_ends_is_drawn_after_a_short_look() -> Result<()> {
    let turns = Cell::new(0);
    Svi::new(&until(&turns)).steps(20).seed(1).run()?;
    assert!(turns.get() < 1 << 16, "{} turns", turns.get());
    Ok(())
}

/// Nobody has asked for a sum: one that becomes too large while a fit goes on is left.
#[test]
fn choices_that_become_too_many_are_drawn() -> Result<()> {
    /// Two tosses, or seventeen, which training comes by, as they alone fit.
    #[model]
    fn few_or_many() {
        let many = sample!(Poisson(0.02));
        let mut found = 0.0;
        for _ in 0..if many > 0 { 17 } else { 2 } {
            let on = sample!(Bernoulli(0.5));
            if on {
                found += 1.0;
            }
        }
        observe!(Normal(found, 0.5), 8.5);
    }
    let model = few_or_many();
    let refused = Svi::new(&model).marginalise().steps(500).seed(1).run();
    assert!(matches!(refused.map(drop), Err(error) if error.to_string().contains("combinations")));
    let fit = Svi::new(&model).steps(500).seed(1).run()?;
    let plan = fit.plan();
    let of_first = plan.entries.iter().filter(|entry| entry.site == "on[0]");
    assert_eq!(of_first.count(), 1);
    Ok(())
}

/// Whether something has changed, and when: a choice that is not always there, on which all data depend.
#[model]
fn changed(counts: &[usize]) {
    let has_changed = sample!(Bernoulli(0.5));
    let mut since = counts.len();
    if has_changed {
        let at = sample!(DiscreteUniform(1, 29));
        since = at;
    }
    for (time, &count) in counts.iter().enumerate() {
        observe!(Poisson(if time < since { 2.0 } else { 3.0 }), count);
    }
}

/// Of each term's values most cannot be, where the choice is not there.
#[test]
fn many_terms_of_a_choice_that_is_not_always_there() -> Result<()> {
    let counts: Vec<usize> = (0..200).map(|at| [1, 2, 4, 3, 2][at % 5]).collect();
    let log_mass = |count: usize, rate: f64| {
        let factorial: f64 = (1..=count).map(|k| (k as f64).ln()).sum();
        count as f64 * rate.ln() - rate - factorial
    };
    let since = |since: usize| -> f64 {
        let all = counts.iter().enumerate();
        all.map(|(time, &count)| log_mass(count, if time < since { 2.0 } else { 3.0 }))
            .sum()
    };
    let mut terms = vec![0.5_f64.ln() + since(counts.len())];
    terms.extend((1..=29).map(|at| (0.5 / 29.0_f64).ln() + since(at)));
    let run = Simulation::seeded(1).run(&marginalise(&changed(&counts)))?;
    assert_near(run.trace.log_prob()?, log_sum_exp(&terms), 1e-6);
    Ok(())
}

/// Counts at many places, seen with an error, of which each sum takes as many runs as a count may have values.
#[model]
fn counted_at(places: usize) {
    let rate = sample!(Gamma(Tensor::scalar(2.0), 0.2));
    let rate = f64::from(rate.to_vec().unwrap()[0]);
    for _ in 0..places {
        let count = sample!(Truncated(Poisson(rate), 0, 150));
        observe!(Normal(count as f64, 2.0), 4.0);
    }
}

#[test]
fn a_plan_says_why_no_sum_is_taken() -> Result<()> {
    let model = counted_at(100);
    let fit = Svi::new(&model).seed(1).steps(2).run()?;
    let plan = fit.plan().to_string();
    assert!(
        plan.contains("151 runs of 201 terms") && plan.contains("`marginalise()`"),
        "{plan}"
    );
    Ok(())
}

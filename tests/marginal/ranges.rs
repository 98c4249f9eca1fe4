//! Ranges of counts that other choices determine.

use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence, log_sum_exp};

fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
}

/// One name for each size of the range.
#[model]
fn by_name(seen: bool) {
    let sides = sample!(DiscreteUniform(1, 6));
    let roll = sample!(DiscreteUniform(1, sides), name = format!("roll of {sides}"));
    observe!(Bernoulli(if roll > 2 { 0.9 } else { 0.2 }), seen);
}

/// The same name for all of them.
#[model]
fn of_one_name(seen: bool) {
    let sides = sample!(DiscreteUniform(1, 6));
    let roll = sample!(DiscreteUniform(1, sides));
    observe!(Bernoulli(if roll > 2 { 0.9 } else { 0.2 }), seen);
}

#[test]
fn choices_may_decide_on_the_size_of_a_range() -> Result<()> {
    let of = |sides: usize| {
        let high = sides.saturating_sub(2) as f64 / sides as f64;
        0.9 * high + 0.2 * (1.0 - high)
    };
    let all: f64 = (1..=6).map(|sides| of(sides) / 6.0).sum();
    let sides: f64 = (1..=6).map(|n| n as f64 * of(n) / 6.0 / all).sum();
    let check = |svi: Svi<'_>| -> Result<Fit> {
        let fit = svi.seed(1).run()?;
        assert_near(fit.posterior().log_evidence().bound, all.ln(), 1e-6);
        assert_near(fit.posterior().mean("sides")?, sides, 1e-6);
        Ok(fit)
    };
    check(Svi::new(&by_name(true)))?;
    for svi in [
        Svi::new(&of_one_name(true)),
        Svi::new(&of_one_name(true)).marginalise(),
    ] {
        let fit = check(svi)?;
        // A roll of 6 needs six sides.
        let joint = |roll: usize| (if roll > 2 { 0.9 } else { 0.2 }) * roll as f64;
        let of_sides = |n: usize| (1..=n).map(joint).sum::<f64>() / n as f64;
        let roll: f64 = (1..=6).map(|n| of_sides(n) / 6.0 / all).sum();
        assert_near(fit.posterior().mean("roll")?, roll, 1e-6);
    }
    Ok(())
}

/// Ranges of one size that lie elsewhere.
#[model]
fn shifted(seen: f64) {
    let from = sample!(DiscreteUniform(0, 2));
    let at = sample!(DiscreteUniform(from, from + 2));
    observe!(Normal(at as f64, 0.5), seen);
}

/// The same with tensors.
#[model]
fn shifted_tensors(seen: f64) {
    let from = sample!(DiscreteUniform(Tensor::scalar(0.0), 2));
    let at = sample!(DiscreteUniform(&from, &from + 2.0));
    observe!(Normal(at, 0.5), seen);
}

/// The same of two families, in branches.
#[model]
fn of_two_families(seen: f64, low: usize) {
    let is_far = sample!(Bernoulli(0.4));
    let at = match is_far {
        true => sample!(DiscreteUniform(low, 4), name = "at"),
        false => sample!(Binomial(2, 0.3), name = "at"),
    };
    observe!(Normal(at as f64, 0.5), seen);
}

#[test]
fn choices_may_decide_where_a_range_is() -> Result<()> {
    let seen = 3.4;
    let states = (0..3).flat_map(|from| (from..from + 3).map(move |at| (from, at)));
    let joint = |at: usize| -(9.0_f64.ln()) + log_normal(seen, at as f64, 0.5);
    let terms: Vec<f64> = states.clone().map(|(_, at)| joint(at)).collect();
    let evidence = log_sum_exp(&terms);
    let mean = |of: fn((usize, usize)) -> usize| -> f64 {
        let states = states.clone();
        states
            .map(|state| of(state) as f64 * (joint(state.1) - evidence).exp())
            .sum()
    };
    for fit in [
        Svi::new(&shifted(seen)).seed(1).run()?,
        Svi::new(&shifted_tensors(seen)).seed(1).run()?,
    ] {
        let posterior = fit.posterior();
        assert_near(posterior.log_evidence().bound, evidence, 1e-5);
        assert_near(posterior.mean("from")?, mean(|(from, _)| from), 1e-5);
        assert_near(posterior.mean("at")?, mean(|(_, at)| at), 1e-5);
    }
    let near: [f64; 3] = [0.49, 0.42, 0.09];
    let terms = (0..5).map(|at| {
        let prior =
            if at < 3 { 0.6 * near[at] } else { 0.0 } + if at < 2 { 0.0 } else { 0.4 / 3.0 };
        prior.ln() + log_normal(seen, at as f64, 0.5)
    });
    let terms: Vec<f64> = terms.collect();
    let found = log_evidence(of_two_families(seen, 2))?;
    assert_near(found, log_sum_exp(&terms), 1e-6);
    Ok(())
}

/// A range whose end is a count without a last value, which is drawn.
#[model]
fn of_drawn(seen: f64) {
    let shots = sample!(Poisson(3.0));
    let hits = sample!(Binomial(shots, 0.4));
    observe!(Normal(hits as f64, 0.5), seen);
}

#[test]
fn drawn_counts_may_decide_on_a_range() -> Result<()> {
    // Hits are Poisson(1.2) whatever the shots are.
    let seen = 2.3;
    let mut ln_mass = -1.2_f64;
    let terms = (0..30).map(|hits| {
        if hits > 0 {
            ln_mass += (1.2 / f64::from(hits)).ln();
        }
        (
            ln_mass + log_normal(seen, f64::from(hits), 0.5),
            f64::from(hits),
        )
    });
    let terms: Vec<(f64, f64)> = terms.collect();
    let evidence = log_sum_exp(&terms.iter().map(|(log, _)| *log).collect::<Vec<_>>());
    let mean: f64 = terms
        .iter()
        .map(|(log, hits)| hits * (log - evidence).exp())
        .sum();
    let fit = Svi::new(&of_drawn(seen))
        .seed(1)
        .posterior_draws(4_000)
        .run()?;
    assert_near(fit.posterior().mean("hits")?, mean, 0.1);
    Ok(())
}

/// Values of another kind under one name.
#[model]
fn of_another_kind(seen: bool) {
    let is_coin = sample!(Bernoulli(0.5));
    let on = match is_coin {
        true => sample!(Bernoulli(0.5), name = "on"),
        false => sample!(Categorical([0.2, 0.7, 0.1]), name = "on") == 1,
    };
    observe!(Bernoulli(if on { 0.9 } else { 0.2 }), seen);
}

#[test]
fn values_of_another_kind_are_refused_in_words() {
    let model = of_another_kind(true);
    for svi in [Svi::new(&model), Svi::new(&model).marginalise()] {
        let refused = svi.seed(1).run().map(drop).expect_err("other values");
        let message = refused.to_string();
        assert!(message.contains("`on`"), "{message}");
        assert!(message.contains("format!(\"x of {n}\")"), "{message}");
    }
}

/// A choice of how many rows a plate has: of ten data the first come from one law and the others from another.
#[model]
fn parted(x: &Tensor) {
    let at = sample!(DiscreteUniform(1, 9));
    let before = sample!(Bernoulli(0.5));
    plate!(at => {
        observe!(Normal(f64::from(before), 1.0), x.slice(0, 0..at), name = "first");
    });
    plate!(10 - at => {
        observe!(Normal(2.0, 1.0), x.slice(0, at..10), name = "last");
    });
}

#[test]
fn choices_may_decide_how_many_rows_are_observed() -> Result<()> {
    let x: Vec<f32> = (0..10)
        .map(|i| if i < 4 { 0.2 } else { 1.7 } + 0.1 * i as f32)
        .collect();
    let log = |at: usize, before: f64| {
        let of_row = |i: usize| log_normal(f64::from(x[i]), if i < at { before } else { 2.0 }, 1.0);
        -(18.0_f64.ln()) + (0..10).map(of_row).sum::<f64>()
    };
    let states = (1..10).flat_map(|at| [0.0, 1.0].map(|before| (at, before)));
    let terms: Vec<f64> = states.clone().map(|(at, before)| log(at, before)).collect();
    let evidence = log_sum_exp(&terms);
    let mean: f64 = states
        .map(|(at, before)| at as f64 * (log(at, before) - evidence).exp())
        .sum();
    let x = Tensor::from_slice(&x);
    for seed in 0..3 {
        let fit = Svi::new(&parted(&x)).seed(seed).run()?;
        assert_near(fit.posterior().log_evidence().bound, evidence, 1e-4);
        assert_near(fit.posterior().mean("at")?, mean, 1e-4);
    }
    Ok(())
}

/// The same with choices in the rows.
#[model]
fn rows_of_choices(most: usize) {
    let rows = sample!(DiscreteUniform(1, most));
    plate!(rows => {
        let on = sample!(Bernoulli(0.3));
        observe!(Bernoulli(0.2 + 0.6 * on), Tensor::ones([rows], &Device::cpu()));
    });
}

#[test]
fn choices_in_rows_whose_number_is_summed_over_are_refused_in_words() {
    let refused = log_evidence(rows_of_choices(3)).expect_err("other rows");
    let message = refused.to_string();
    assert!(
        message.contains("`on`") && message.contains("`for` loop"),
        "{message}"
    );
}

/// Ranges within that of the first run.
#[model]
fn shrinking(seen: f64) {
    let is_short = sample!(Bernoulli(0.5));
    let roll = sample!(DiscreteUniform(1, if is_short { 3 } else { 6 }));
    let low = sample!(DiscreteUniform(0, 2));
    let rest = sample!(Truncated(Poisson(4.0), low, 20));
    observe!(Normal((roll + rest) as f64, 1.0), seen);
}

#[test]
fn ranges_may_be_parts_of_the_first() -> Result<()> {
    let exact = exact_posterior(&shrinking(7.3))?;
    for seed in 0..3 {
        let fit = Svi::new(&shrinking(7.3)).seed(seed).run()?;
        assert_near(
            fit.posterior().log_evidence().bound,
            exact.log_evidence,
            1e-5,
        );
        for site in ["is_short", "roll", "low", "rest"] {
            assert_near(fit.posterior().mean(site)?, exact.mean(site)?, 1e-5);
        }
        let fit = Svi::new(&of_two_families(1.4, 0)).seed(seed).run()?;
        let exact = exact_posterior(&of_two_families(1.4, 0))?;
        assert_near(fit.posterior().mean("at")?, exact.mean("at")?, 1e-5);
    }
    Ok(())
}

/// Ranges that lie far apart.
#[model]
fn far_apart() {
    let place = sample!(DiscreteUniform(0, 3));
    let at = sample!(DiscreteUniform(place * 20_000, place * 20_000 + 2));
    observe!(Normal(at as f64, 1.0), 40_001.0);
}

#[test]
fn ranges_of_too_many_values_are_refused_in_words() {
    let refused = log_evidence(far_apart()).expect_err("60,003 values");
    assert!(refused.to_string().contains("4096 values"), "{refused}");
}

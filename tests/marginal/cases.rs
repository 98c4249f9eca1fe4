//! Choices that are tensors: after the first sum one run gives all terms, and they equal those of one run for each
//! combination.

use std::cell::Cell;

use relax_runtime::grad;
use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence};

/// ln p(x) of as many sums one after the other, the first of which takes a run for each combination.
fn of_sums<M: relax_runtime::model::Model>(model: M, count: usize) -> Result<Vec<f64>> {
    let summed = marginalise(model);
    let sum = |_| Simulation::seeded(1).run(&summed)?.trace.log_prob();
    (0..count).map(sum).collect()
}

/// Whether sums, of which the first is made by runs, agree with it.
fn assert_same(sums: &[f64]) {
    for sum in sums {
        assert_near(*sum, sums[0], 1e-5 * sums[0].abs().max(1.0));
    }
}

#[model]
fn chain(seen: &[f64], runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let moves = Tensor::from_vec(
        vec![0.7, 0.2, 0.1, 0.3, 0.6, 0.1, 0.2, 0.2, 0.6],
        [3, 3],
        &Device::cpu(),
    )?;
    let means = Tensor::from_slice(&[-1.0, 0.0, 2.0]);
    let mut probs = Tensor::from_slice(&[0.5, 0.3, 0.2]);
    for x in seen {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Normal(state.matmul(&means), 1.0), *x);
        probs = state.matmul(&moves);
    }
}

#[test]
fn a_chain_of_tensors_takes_one_run_a_sum() -> Result<()> {
    let (seen, runs) = ([0.3, -1.2, 2.2, 1.9, 0.1, -0.4, -1.0], Cell::new(0));
    let model = chain(&seen, &runs);
    let summed = marginalise(&model);
    let mut sums = Vec::new();
    for sum in 1..=40 {
        let before = runs.get();
        sums.push(Simulation::seeded(sum).run(&summed)?.trace.log_prob()?);
        let made = runs.get() - before;
        // Nothing that host code looks at may tell terms apart.
        assert!(
            if sum == 1 { made >= 9 } else { made == 1 },
            "{made} runs at sum {sum}"
        );
    }
    assert_same(&sums);
    Ok(())
}

/// Coins, indices, counts and comparisons, of which one leads to the others.
#[model]
fn families(x: &Tensor) {
    let coin = sample!(Bernoulli(Tensor::scalar(0.3)));
    let kind = sample!(Categorical(
        logits = Tensor::from_slice(&[0.1, -0.4, 0.7]) * (&coin + 0.5)
    ));
    let table = Tensor::from_slice(&[0.2, 1.0, 3.0]);
    let rate = table.pick(&kind) + &coin * 2.0;
    observe!(Poisson(&rate), 3);
    let is_high = kind.gt(0.5);
    let scale = is_high.select_where(&Tensor::scalar(0.5), &(&coin + 1.0));
    let both = Tensor::stack(&[&rate, &scale], 0).softmax(0).index(0, 1);
    observe!(Bernoulli(probs = &both), true);
    observe!(Binomial(5, &both), 2);
    plate!(x.rows() => {
        let group = sample!(Bernoulli(Tensor::full(x.rows(), 0.4, &Device::cpu())));
        observe!(Normal(&group * 2.0 - &rate, 0.5), x);
        observe!(Exponential((&group + 1.0).exp()), x.abs());
    });
    factor!(-rate.square() * 0.1);
}

#[test]
fn operations_of_all_kinds_are_right_in_every_case() -> Result<()> {
    let x = Tensor::from_slice(&[0.3, 1.4, -0.8]);
    assert_same(&of_sums(families(&x), 20)?);
    Ok(())
}

/// Host code reads a tensor, and goes on by what it has read.
#[model]
fn looked_at() {
    let coin = sample!(Bernoulli(Tensor::scalar(0.3)));
    let other = sample!(Bernoulli(&coin * 0.5 + 0.2));
    let mean = match coin.to_bool()? {
        true => &other * 3.0,
        false => &other * -1.0 + 0.5,
    };
    observe!(Normal(mean, 1.0), 1.5);
}

#[test]
fn what_host_code_reads_is_told_by_runs() -> Result<()> {
    let density =
        |mean: f64| (-0.5 * (1.5 - mean) * (1.5 - mean)).exp() / std::f64::consts::TAU.sqrt();
    let wanted = 0.3 * (0.7 * density(3.0) + 0.3 * density(0.0))
        + 0.7 * (0.2 * density(-0.5) + 0.8 * density(0.5));
    for sum in of_sums(looked_at(), 20)? {
        assert_near(sum, wanted.ln(), 1e-6);
    }
    Ok(())
}

/// A choice with a probability of 0 in some cases of the one before.
#[model]
fn excluded_in_a_case() {
    let coin = sample!(Bernoulli(Tensor::scalar(0.3)));
    let probs = Tensor::stack(&[&(&coin * 0.5), &(1.0 - &coin * 0.5)], 0);
    let next = sample!(OneHotCategorical(probs = probs));
    observe!(Normal(next.index(0, 0), 1.0), 0.2);
}

#[test]
fn values_that_are_excluded_in_some_cases_are_left_out() -> Result<()> {
    assert_same(&of_sums(excluded_in_a_case(), 20)?);
    Ok(())
}

/// Of a choice that leads to a wrong parameter, and one that never does.
#[model]
fn wrong_in_a_case(share: f32) {
    let coin = sample!(Bernoulli(Tensor::scalar(share)));
    observe!(Normal(Tensor::scalar(0.0), 1.0 - &coin), 0.2);
}

#[test]
fn parameters_that_are_wrong_in_some_case_are_an_error_where_it_can_be() -> Result<()> {
    let error = log_evidence(wrong_in_a_case(0.5)).unwrap_err().to_string();
    assert!(error.contains("positive and finite"), "{error}");
    let summed = marginalise(wrong_in_a_case(0.0));
    for _ in 0..20 {
        Simulation::seeded(1).run(&summed)?.trace.log_prob()?;
    }
    Ok(())
}

/// A choice among many, and a continuous one, with parameters to learn.
#[model]
fn learned(x: &Tensor) {
    let logits = param!(Tensor::from_slice(&[0.1, -0.3, 0.2]));
    let width = sample!(HalfNormal(Tensor::scalar(1.0)));
    let mut total = Tensor::scalar(0.0);
    for x in x.to_vec()? {
        let kind = sample!(OneHotCategorical(logits = &logits * (&total + 1.0)));
        total = &total * 0.5 + kind.index(0, 1);
        observe!(
            Normal(kind.matmul(&logits) * 2.0, &width + &total),
            f64::from(x)
        );
        total = kind.index(0, 0);
    }
}

#[test]
fn gradients_are_those_of_runs() -> Result<()> {
    let x = Tensor::from_slice(&[0.3, 1.4, -0.8]);
    let program = learned(&x);
    let gradient = |sums: usize| -> Result<Vec<f32>> {
        let summed = marginalise(&program);
        let objective = Elbo::new(&summed);
        let mut trainer = Trainer::new(1);
        for _ in 1..sums {
            trainer.gradients(&objective, Key::new(1))?;
        }
        let found = trainer.gradients(&objective, Key::new(1))?;
        let all = found
            .parameters
            .iter()
            .map(|(_, gradient)| gradient.to_vec());
        Ok(all.collect::<Result<Vec<_>>>()?.concat())
    };
    let (by_runs, by_cases) = (gradient(1)?, gradient(2)?);
    assert!(by_runs.iter().any(|g| g.abs() > 0.1));
    for (a, b) in by_runs.iter().zip(&by_cases) {
        assert!(
            (a - b).abs() < 1e-5 * (1.0 + a.abs()),
            "{by_runs:?} {by_cases:?}"
        );
    }
    Ok(())
}

#[model]
fn kept_behind_a_choice() {
    let z = sample!(Bernoulli(Tensor::scalar(0.3)));
    let x = sample!(Normal(&z * 4.0, 1.0));
    observe!(Normal(&x, 0.5), 3.0);
}

/// What is not summed out is one number in all cases.
#[test]
fn a_choice_that_is_kept_is_the_same_in_all_cases() -> Result<()> {
    assert_same(&of_sums(kept_behind_a_choice(), 3)?);
    let density = |x: f64, mean: f64, square: f64| {
        -0.5 * ((x - mean).powi(2) / square + (std::f64::consts::TAU * square).ln())
    };
    let exact = (0.7 * density(3.0, 0.0, 1.25).exp() + 0.3 * density(3.0, 4.0, 1.25).exp()).ln();
    let model = kept_behind_a_choice();
    let fit = Svi::new(&model).posterior_draws(4_000).seed(1).run()?;
    assert_near(fit.posterior().log_evidence().bound, exact, 0.1);
    Ok(())
}

/// A model that differentiates what it computes, by a parameter and by a number.
#[model]
fn with_a_slope() {
    let w = param!(0.5);
    let z = sample!(Bernoulli(Tensor::scalar(0.3)));
    let first = grad(&[(&w.square(), None)], &[&w])?.remove(0);
    let again = grad(&[(&w.square(), None)], &[&w])?.remove(0);
    let x = Tensor::scalar(1.0).leaf();
    let scaled = &x * &x * (&z + 1.0);
    let slope = grad(&[(&scaled, None)], &[&x])?.remove(0);
    observe!(Normal(first + again + slope + &z, 1.0), 3.0);
}

#[model]
fn with_a_tangent() {
    let z = sample!(Bernoulli(Tensor::scalar(0.3)));
    let along = Tensor::scalar(1.0).with_tangent(&Tensor::scalar(2.0));
    let moved = (along * (&z + 1.0))
        .tangent()
        .unwrap_or(Tensor::scalar(0.0));
    observe!(Normal(moved + &z, 1.0), 3.0);
}

/// Derivatives in the model know nothing of cases, and have runs tell.
#[test]
fn derivatives_in_a_model_are_told_by_runs() -> Result<()> {
    assert_same(&of_sums(with_a_slope(), 3)?);
    assert_same(&of_sums(with_a_tangent(), 3)?);
    Ok(())
}

/// How many were asked, of whom so many said yes? Numbers that are too few have probability 0, whether values are
/// tensors or on the host.
#[test]
fn observations_beyond_a_number_that_was_drawn_have_probability_0() -> Result<()> {
    #[model]
    fn tensors(yes: &Tensor) {
        let asked = sample!(DiscreteUniform(Tensor::scalar(0.0), 12));
        plate!(yes.rows() => {
            observe!(Binomial(&asked, Tensor::full(yes.rows(), 0.4, &Device::cpu())), yes);
        });
        let more = &asked + 1.0;
        observe!(Binomial(more, 0.7), 6.0, name = "more");
    }
    #[model]
    fn host(yes: &[usize]) {
        let asked = sample!(DiscreteUniform(0, 12));
        for &yes in yes {
            observe!(Binomial(asked, 0.4), yes);
        }
        observe!(Binomial(asked + 1, 0.7), 6_usize, name = "more");
    }
    let exact = exact_posterior(&host(&[3, 7, 5]))?;
    let yes = Tensor::from_slice(&[3.0, 7.0, 5.0]);
    let model = marginalise(tensors(&yes));
    assert_near(log_evidence(tensors(&yes))?, exact.log_evidence, 1e-5);
    let fit = Svi::new(&model).seed(1).run()?;
    let found = fit.posterior().marginal("asked")?;
    for ((value, found), (_, wanted)) in found.iter().zip(exact.marginal("asked")?) {
        assert_near(*found, wanted, 1e-5);
        assert!(value[0] >= 7.0 || *found == 0.0, "{value:?}: {found}");
    }
    let runs = fit
        .plan()
        .entries
        .iter()
        .map(|entry| entry.evaluations)
        .max();
    assert_eq!(runs, Some(1));
    Ok(())
}

/// Rows of a mixture, a batch at a time.
#[model]
fn batch_of_a_mixture(x: &Tensor, runs: &Cell<usize>) {
    runs.set(runs.get() + 1);
    let means = param!([-1.0, 0.0, 1.0]);
    plate!(x.rows(), of = 60 => {
        let k = sample!(OneHotCategorical(Tensor::full([x.rows(), 3], 1.0 / 3.0, &Device::cpu())));
        observe!(Normal(k.matmul(&means), 0.5), x);
    })
}

/// Models of one name know of each other what tensors depend on.
#[test]
fn sums_of_other_rows_take_one_run_each() -> Result<()> {
    let runs = Cell::new(0);
    let mut trainer = Trainer::new(1);
    for batch in 0..10 {
        let size = 4 + batch % 3;
        let x: Vec<f32> = (0..size)
            .map(|i| (batch + i) as f32 * 0.37 % 3.0 - 1.5)
            .collect();
        let x = Tensor::from_slice(&x);
        let before = runs.get();
        let model = batch_of_a_mixture(&x, &runs);
        let loss = trainer.gradients(&Elbo::new(&model).marginalise(), Key::new(batch as u64))?;
        let taken = runs.get() - before;
        let alone = Trainer::new(1).gradients(&Elbo::new(&model).marginalise(), Key::new(0))?;
        assert_near(loss.loss, alone.loss, 1e-4);
        assert!(batch == 0 || taken <= 3, "{taken} runs of batch {batch}");
    }
    Ok(())
}

/// Coins of a tensor, whose number changes from one batch to the next.
#[model]
fn coins_of(x: &Tensor) {
    let p = param!(Tensor::scalar(0.0));
    let on = sample!(Bernoulli(
        logits = &p + Tensor::zeros(x.shape(), &Device::cpu())
    ));
    observe!(Normal(on, 0.5), x);
}

/// What is known is of no use there.
#[test]
fn sums_of_other_choices_begin_anew() -> Result<()> {
    let mut trainer = Trainer::new(1);
    for count in [3, 2, 5] {
        let x = Tensor::full([count], 0.7, &Device::cpu());
        let model = coins_of(&x);
        let found = trainer.gradients(&Elbo::new(&model).marginalise(), Key::new(1))?;
        let density = |mean: f64| -0.5 * ((0.7 - mean) / 0.5).powi(2) - 0.5_f64.ln() - 0.918_938_5;
        let one = (0.5 * density(0.0).exp() + 0.5 * density(1.0).exp()).ln();
        assert_near(found.loss, -(count as f64) * one, 1e-4);
    }
    Ok(())
}

/// A plate that a choice leaves out around the same observation.
#[model]
fn in_rows_or_not(x: &Tensor) {
    let in_rows = sample!(Bernoulli(0.5));
    if in_rows {
        plate!(x.rows() => {
            observe!(Normal(1.0, 1.0), x, name = "x");
        });
    } else {
        observe!(
            Normal(Tensor::zeros([1], &Device::cpu()), 1.0),
            x.slice(0, 0..1),
            name = "x"
        );
    }
}

#[test]
fn choices_may_decide_whether_a_plate_is_around_a_term() -> Result<()> {
    let x = Tensor::from_slice(&[0.3, 1.2, 0.8]);
    let density = |x: f64, mean: f64| -0.5 * (x - mean).powi(2) - 0.918_938_533;
    let rows = [0.3, 1.2, 0.8].map(|x| density(x, 1.0)).iter().sum::<f64>();
    let wanted = (0.5 * rows.exp() + 0.5 * density(0.3, 0.0).exp()).ln();
    for seed in 0..4 {
        let run = Simulation::seeded(seed).run(&marginalise(in_rows_or_not(&x)))?;
        assert_near(run.trace.log_prob()?, wanted, 1e-5);
    }
    Ok(())
}

/// A count with an end that is another in each batch.
#[model]
fn capped(x: f64, cap: usize) {
    let k = sample!(Truncated(Poisson(Tensor::scalar(4.0)), 0, cap));
    observe!(Normal(k, 1.0), x);
}

/// What is known of more values is not taken for all that there are.
#[test]
fn sums_of_fewer_values_are_of_these() -> Result<()> {
    let mut trainer = Trainer::new(1);
    for cap in [10, 5, 7, 12, 3] {
        let model = capped(2.5, cap);
        for step in 0..2 {
            let found = trainer.gradients(&Elbo::new(&model).marginalise(), Key::new(step))?;
            let (mut mass, mut all, mut seen) = ((-4.0_f64).exp(), 0.0, 0.0);
            for k in 0..=cap {
                mass *= if k > 0 { 4.0 / k as f64 } else { 1.0 };
                all += mass;
                seen += mass * (-0.5 * (2.5 - k as f64).powi(2)).exp();
            }
            assert_near(found.loss, 0.918_938_5 - (seen / all).ln(), 1e-4);
        }
    }
    Ok(())
}

/// The same observation by tensors alone, and by what host code reads.
#[model]
fn by_host_or_not(x: f64, by_host: bool) {
    let a = sample!(Bernoulli(Tensor::scalar(0.5)));
    let b = sample!(Bernoulli(Tensor::scalar(0.5)));
    let is_odd = by_host && a.to_vec().unwrap() != b.to_vec().unwrap();
    observe!(
        Normal(Tensor::scalar(if is_odd { 3.0 } else { 0.0 }), 1.0),
        x,
        name = "x"
    );
}

#[test]
fn what_host_code_reads_is_looked_for_anew() -> Result<()> {
    let mut trainer = Trainer::new(1);
    let density = |mean: f64| (-0.5 * (1.2 - mean) * (1.2 - mean)).exp();
    for (by_host, wanted) in [
        (false, density(0.0)),
        (true, 0.5 * density(0.0) + 0.5 * density(3.0)),
    ] {
        let model = by_host_or_not(1.2, by_host);
        let found = trainer.gradients(&Elbo::new(&model).marginalise(), Key::new(1))?;
        assert_near(found.loss, 0.918_938_5 - wanted.ln(), 1e-4);
    }
    Ok(())
}

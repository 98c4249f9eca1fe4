//! Log-likelihoods beside sums: each datum given all others, against sums by hand.

use relax_runtime::infer::marginalise;
use relax_runtime::model::scale;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_near, assert_says, error};

/// The share of the high component.
const HIGH: f64 = 0.25;

/// Two components at `level` and `level + apart`.
#[model]
fn mixture(x: &Tensor, apart: f64, of: usize) {
    let level = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(x.rows(), of = of => {
        let is_high = sample!(Bernoulli(Tensor::full(x.rows(), HIGH as f32, &Device::cpu())));
        observe!(Normal(&level + &is_high * apart, 1.0), x);
    })
}

fn log_normal(x: f64, mean: f64) -> f64 {
    -0.5 * (x - mean).powi(2) - 0.5 * std::f64::consts::TAU.ln()
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

fn fit<M: Program>(model: &M) -> Svi<'_> {
    Svi::new(model)
        .steps(2)
        .posterior_draws(5)
        .seed(1)
        .progress(false)
}

/// Compares each row's number, at each draw, with the mixture's density there.
fn assert_of_mixture(
    fit: &Draws,
    found: &Draws,
    x: &Tensor,
    apart: f64,
    odds: [f64; 2],
) -> Result<()> {
    assert_eq!(found.sites().collect::<Vec<_>>(), ["x"]);
    assert_eq!(found.len(), fit.len());
    let all = odds[0] + odds[1];
    for (draw, likelihood) in fit.records()?.zip(found.records()?) {
        let level = draw.number("level")?;
        let rows = likelihood.numbers("x")?;
        assert_eq!(rows.len(), x.rows());
        for (row, x) in rows.into_iter().zip(x.to_vec()?) {
            let x = f64::from(x);
            let wanted = log_sum_exp(&[
                (odds[0] / all).ln() + log_normal(x, level),
                (odds[1] / all).ln() + log_normal(x, level + apart),
            ]);
            assert_near(row, wanted, 2e-5 * wanted.abs().max(1.0));
        }
    }
    Ok(())
}

#[test]
fn rows_of_a_mixture_have_the_densities_of_all_components() -> Result<()> {
    let x = Tensor::from_slice(&[-0.3, 0.4, 3.7, 2.0, -1.0]);
    let odds = [1.0 - HIGH, HIGH];
    // Rows that stand for others count once each.
    for of in [5, 500] {
        let model = mixture(&x, 4.0, of);
        let fit = fit(&model).run()?;
        let found = fit.log_likelihood(&model)?;
        assert_of_mixture(fit.posterior(), &found, &x, 4.0, odds)?;
    }
    // New rows have no component yet.
    let model = mixture(&x, 4.0, 5);
    let fit = fit(&model).run()?;
    for new in [&[3.0, 1.0][..], &[9.0, -3.0, 0.0, 1.0, 2.0]] {
        let new = Tensor::from_slice(new);
        let found = fit.log_likelihood(&mixture(&new, 4.0, new.rows()))?;
        assert_of_mixture(fit.posterior(), &found, &new, 4.0, odds)?;
    }
    // The density is the datum's own, whatever power of it is in the sum.
    let found = fit.log_likelihood(&scale(mixture(&x, 4.0, 5), 0.5))?;
    let odds = odds.map(f64::sqrt);
    assert_of_mixture(fit.posterior(), &found, &x, 4.0, odds)
}

/// The other component's probability given the datum is below the smallest number, and yet it takes a quarter of the
/// prior.
#[test]
fn components_far_apart_are_both_counted() -> Result<()> {
    let x = Tensor::from_slice(&[0.5, 2_000.0]);
    let model = mixture(&x, 2_000.0, 2);
    let fit = fit(&model).run()?;
    let found = fit.log_likelihood(&model)?;
    let odds = [1.0 - HIGH, HIGH];
    assert_of_mixture(fit.posterior(), &found, &x, 2_000.0, odds)
}

#[test]
fn a_saved_fit_knows_what_was_summed_out() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit");
    let x = Tensor::from_slice(&[-0.3, 0.4, 3.7]);
    let model = mixture(&x, 4.0, 3);
    fit(&model).run()?.save(&path)?;
    let loaded = fit(&model).load(&path)?;
    let found = loaded.log_likelihood(&model)?;
    let odds = [1.0 - HIGH, HIGH];
    assert_of_mixture(loaded.posterior(), &found, &x, 4.0, odds)
}

/// Draws of everything have their component's density, as before.
#[test]
fn drawn_choices_are_taken_as_they_are() -> Result<()> {
    let x = Tensor::from_slice(&[-0.3, 3.7]);
    let model = mixture(&x, 4.0, 2);
    let fit = fit(&model).draw_all().run()?;
    let found = fit.log_likelihood(&model)?;
    for (draw, likelihood) in fit.posterior().records()?.zip(found.records()?) {
        let level = draw.number("level")?;
        let components = draw.numbers("is_high")?;
        for (row, high) in components.into_iter().enumerate() {
            let wanted = log_normal(f64::from(x.to_vec()?[row]), level + 4.0 * high);
            assert_near(likelihood.numbers("x")?[row], wanted, 1e-4);
        }
    }
    Ok(())
}

const MOVES: [[f64; 2]; 2] = [[0.9, 0.1], [0.3, 0.7]];
const FIRST: [f64; 2] = [0.6, 0.4];
const MEANS: [f64; 2] = [-1.0, 1.5];

/// A chain in each row of a plate, seen in every state but the one left out: by host values if it is one row.
#[model]
fn chain(seen: &[f64]) {
    let mut probs = FIRST;
    for x in seen {
        let state = sample!(Categorical(probs = probs));
        observe!(Normal(MEANS[state], 1.0), *x, name = "x");
        probs = MOVES[state];
    }
}

#[model]
fn chains(seen: &[Tensor]) {
    let rows = seen[0].rows();
    let full = |p: f64| Tensor::full(rows, p as f32, &Device::cpu());
    plate!(rows => {
        let mut p = full(FIRST[1]);
        for x in seen {
            let state = sample!(Bernoulli(&p));
            observe!(Normal(&state * (MEANS[1] - MEANS[0]) + MEANS[0], 1.0), x, name = "x");
            p = &state * (MOVES[1][1] - MOVES[0][1]) + MOVES[0][1];
        }
    })
}

/// ln p of the data but one.
fn log_evidence(seen: &[f64], without: Option<usize>) -> f64 {
    let mut alpha = FIRST.map(f64::ln);
    for (t, &x) in seen.iter().enumerate() {
        if t > 0 {
            let from = alpha;
            alpha = [0, 1].map(|to| {
                log_sum_exp(&[0, 1].map(|state: usize| from[state] + MOVES[state][to].ln()))
            });
        }
        if without != Some(t) {
            (0..2).for_each(|state| alpha[state] += log_normal(x, MEANS[state]));
        }
    }
    log_sum_exp(&alpha)
}

#[test]
fn data_of_a_chain_are_predicted_from_both_sides() -> Result<()> {
    let rows = [[-1.2, 0.3, 1.7, 1.4], [0.2, -40.0, 2.5, -0.1]];
    for seen in &rows {
        let model = chain(seen);
        let fit = fit(&model).run()?;
        let found = fit.log_likelihood(&model)?;
        assert_eq!(found.len(), 5);
        for t in 0..seen.len() {
            let wanted = log_evidence(seen, None) - log_evidence(seen, Some(t));
            assert_near(found.mean(&format!("x[{t}]"))?, wanted, 1e-9 * wanted.abs());
        }
    }
    let at = |t: usize| Tensor::from_slice(&rows.map(|row| row[t] as f32));
    let seen: Vec<Tensor> = (0..4).map(at).collect();
    let model = chains(&seen);
    let fit = fit(&model).run()?;
    let found = fit.log_likelihood(&model)?;
    for t in 0..seen.len() {
        for (row, seen) in rows.iter().enumerate() {
            let wanted = log_evidence(seen, None) - log_evidence(seen, Some(t));
            let row = found.means(&format!("x[{t}]"))?[row];
            assert_near(row, wanted, 1e-5 * wanted.abs().max(1.0));
        }
    }
    Ok(())
}

/// New rows of a loop have sites of their own, which the draws lack.
#[model]
fn loop_of(data: &[f64]) {
    for x in data {
        let is_high = sample!(Bernoulli(HIGH));
        observe!(Normal(if is_high { 4.0 } else { 0.0 }, 1.0), *x, name = "x");
    }
}

#[test]
fn rows_that_the_draws_lack_are_summed_out() -> Result<()> {
    let model = loop_of(&[0.1, 3.9]);
    let fit = fit(&model).run()?;
    let data = [0.1, 3.9, 4.0, -0.5];
    let found = fit.log_likelihood(&loop_of(&data))?;
    for (i, x) in data.into_iter().enumerate() {
        let wanted = log_sum_exp(&[
            (1.0 - HIGH).ln() + log_normal(x, 0.0),
            HIGH.ln() + log_normal(x, 4.0),
        ]);
        assert_near(found.mean(&format!("x[{i}]"))?, wanted, 1e-9);
    }
    // A longer chain, whose last state the draws lack.
    let seen = [-1.2, 0.3, 1.7, 1.4];
    let model = chain(&seen[..2]);
    let found = self::fit(&model).run()?.log_likelihood(&chain(&seen))?;
    for t in 0..seen.len() {
        let wanted = log_evidence(&seen, None) - log_evidence(&seen, Some(t));
        assert_near(found.mean(&format!("x[{t}]"))?, wanted, 1e-9);
    }
    Ok(())
}

/// A datum with two names is two data, each of which may be missing.
#[test]
fn what_is_observed_in_a_branch_has_no_likelihood_of_its_own() -> Result<()> {
    #[model]
    fn outliers(x: f64, inside: &'static str) {
        let is_out = sample!(Bernoulli(0.5));
        if is_out {
            observe!(Cauchy(0.0, 1.0), x, name = "out");
        } else {
            observe!(Normal(0.0, 1.0), x, name = format!("{inside}"));
        }
    }
    let model = outliers(0.3, "in");
    let fit = fit(&model).run()?;
    assert_says(&error(fit.log_likelihood(&model)), &["the same name"]);
    // The export goes without.
    let json = fit.inference_data(&model)?.to_json()?;
    assert!(json.contains("posterior_predictive") && !json.contains("log_likelihood"));
    let one = outliers(0.3, "out");
    let found = self::fit(&one).run()?.log_likelihood(&one)?;
    let cauchy = -(std::f64::consts::PI * (1.0 + 0.09_f64)).ln();
    let wanted = log_sum_exp(&[cauchy, log_normal(0.3, 0.0)]) - 2.0_f64.ln();
    assert_near(found.mean("out")?, wanted, 1e-6);
    Ok(())
}

/// A program that takes a sum itself.
#[test]
fn a_program_may_take_its_own_sum() -> Result<()> {
    let x = Tensor::from_slice(&[-0.3, 0.4, 3.7]);
    let model = mixture(&x, 4.0, 3);
    let own = marginalise(&model).only(|site| site == "is_high");
    let fit = fit(&own).run()?;
    let found = fit.log_likelihood(&own)?;
    let odds = [1.0 - HIGH, HIGH];
    assert_of_mixture(fit.posterior(), &found, &x, 4.0, odds)
}

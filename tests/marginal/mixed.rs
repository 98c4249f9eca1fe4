//! Discrete choices summed out, with continuous ones left.

use std::f64::consts::TAU;

use relax_runtime::infer::{Check, marginalise};
use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence};

/// A slope that is there or not.
#[model]
fn spike_and_slab(y: f64) {
    let on = sample!(Bernoulli(0.5));
    let mean = if on {
        let slope = sample!(Normal(Tensor::scalar(0.0), 2.0));
        slope
    } else {
        Tensor::scalar(0.0)
    };
    observe!(Normal(mean, 1.0), y);
}

/// ln p(y), and the slope's mean where it is there.
fn slab(y: f64) -> (f64, f64) {
    let density = |variance: f64| (-0.5 * y * y / variance).exp() / (TAU * variance).sqrt();
    ((0.5 * (density(1.0) + density(5.0))).ln(), y * 4.0 / 5.0)
}

#[test]
fn a_continuous_choice_on_one_path_has_its_own_posterior() -> Result<()> {
    for y in [0.5, 3.0] {
        let program = spike_and_slab(y);
        let fit = Svi::new(&marginalise(&program))
            .steps(2_000)
            .seed(1)
            .run()?;
        let (evidence, slope) = slab(y);
        let posterior = fit.posterior();
        assert_near(posterior.mean("slope")?, slope, 0.1);
        assert_near(posterior.log_evidence().elbo, evidence, 0.01);
    }
    Ok(())
}

/// The guide's law of the slope does not know that the slope is there, which depends on its value.
#[test]
fn means_of_what_comes_and_goes_are_those_of_draws_in_which_it_is() -> Result<()> {
    #[model]
    fn wide() {
        let slope = sample!(Normal(Tensor::scalar(0.0), 2.0));
    }
    let program = spike_and_slab(3.0);
    let guide = wide();
    let objective = Elbo::new(&program).marginalise().guide(&guide);
    let posterior = Posterior::draw(&objective, &ParamStore::default(), 1, 20_000)?;
    let samples = posterior.samples("slope")?;
    let mut mean = 0.0;
    for sample in &samples {
        mean += f64::from(sample.to_tensor()?.item()?) / samples.len() as f64;
    }
    // By quadrature over the guide.
    let (mut all, mut sum) = (0.0, 0.0);
    for i in -4_000..=4_000 {
        let z = f64::from(i) * 0.002;
        let odds = (-0.5 * (3.0 - z).powi(2) + 0.5 * 9.0).exp();
        let here = (-z * z / 8.0).exp() * odds / (1.0 + odds);
        (all, sum) = (all + here, sum + here * z);
    }
    assert_near(posterior.mean("slope")?, sum / all, 0.05);
    assert_near(mean, sum / all, 0.05);
    Ok(())
}

/// Draws without the slope have no log-likelihood beside the sum: the export goes without.
#[test]
fn what_comes_and_goes_is_exported() -> Result<()> {
    let program = spike_and_slab(0.5);
    let fit = Svi::new(&program).seed(1).progress(false).run()?;
    let json = fit.inference_data(&program)?.to_json()?;
    assert!(json.contains("posterior_predictive"));
    Ok(())
}

/// A slope that several data speak of.
#[model]
fn slab_of_data(data: &[f64]) {
    let on = sample!(Bernoulli(0.5));
    let mean = if on {
        let slope = sample!(Normal(Tensor::scalar(0.0), 2.0));
        slope
    } else {
        Tensor::scalar(0.0)
    };
    for y in data {
        observe!(Normal(&mean, 1.0), *y);
    }
}

/// The guide of a choice that seldom counts still follows its posterior.
#[test]
fn a_choice_that_is_seldom_made_has_its_own_posterior() -> Result<()> {
    let data = [-1.4, 0.2, -0.9, 0.6, 0.4, -0.3, 1.2, 0.8];
    let program = slab_of_data(&data);
    let fit = Svi::new(&program).seed(1).posterior_draws(4_000).run()?;
    let (n, sum) = (8.0_f64, data.iter().sum::<f64>());
    let variance = 1.0 / (n + 0.25);
    let odds = 0.5 * (variance / 4.0).ln() + 0.5 * sum * sum * variance;
    let on = 1.0 / (1.0 + (-odds).exp());
    let posterior = fit.posterior();
    assert_near(posterior.mean("on")?, on, 0.01);
    assert_near(posterior.inclusion_probability("slope")?, on, 0.01);
    assert_near(posterior.mean("slope")?, sum * variance, 0.02);
    assert_near(
        fit.param("slope.log_scale")?[0].into(),
        0.5 * variance.ln(),
        0.05,
    );
    let verdict = fit.verdict();
    assert!(verdict.is_good(), "{verdict}");
    Ok(())
}

/// Coins and numbers, of which some depend on others.
#[model]
fn mixed() {
    let shift = param!(0.3);
    let a = sample!(Bernoulli(logits = Tensor::scalar(0.4)));
    let x = sample!(Normal(&a * 0.7, 1.0));
    let b = sample!(Bernoulli(logits = &x + &shift));
    let c = sample!(Bernoulli(logits = &a * 2.0 - &b));
    observe!(Normal(&x * &c + &b, 0.8), 0.9, name = "y");
    observe!(Bernoulli(logits = &a - &c * &shift), 1.0, name = "seen");
}

#[test]
fn choices_that_are_left_keep_unbiased_gradients() -> Result<()> {
    let program = mixed();
    for drawn in [&["a"][..], &["b", "c"], &[]] {
        let summed = marginalise(&program).only(move |site| !drawn.contains(&site));
        let objective = Elbo::new(&summed);
        for estimator in ["relax", "rloo"] {
            let check = Check::new(&objective)
                .estimator(relax_runtime::estimator::by_name(estimator)?)
                .draws(1_500);
            check.run()?.verdict()?;
        }
    }
    Ok(())
}

#[test]
fn whatever_is_drawn_the_posterior_is_the_same() -> Result<()> {
    let program = mixed();
    let mean = |drawn: &'static [&'static str]| {
        let summed = marginalise(&program).only(move |site| !drawn.contains(&site));
        let fit = Svi::new(&summed).steps(3_000).seed(1).run()?;
        let posterior = fit.posterior();
        Ok::<_, Error>([
            posterior.mean("a")?,
            posterior.mean("b")?,
            posterior.mean("c")?,
        ])
    };
    let (all, some) = (mean(&[])?, mean(&["c"])?);
    for (all, some) in all.into_iter().zip(some) {
        assert_near(some, all, 0.05);
    }
    Ok(())
}

#[model]
fn rows(x: &Tensor) {
    plate!(x.rows(), of = 2 * x.rows() => {
        let on = sample!(Bernoulli(Tensor::full(x.rows(), 0.3, &Device::cpu())));
        observe!(Normal(&on * 2.0, 1.0), x);
    })
}

#[test]
fn rows_stand_for_all_the_data() -> Result<()> {
    let x = [0.3_f64, 2.2, -1.0];
    let density =
        |x: f64, mean: f64| (-0.5 * (x - mean).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    let once: f64 = x
        .iter()
        .map(|&x| (0.3 * density(x, 2.0) + 0.7 * density(x, 0.0)).ln())
        .sum();
    let x = Tensor::from_slice(&x.map(|x| x as f32));
    assert_near(log_evidence(rows(&x))?, 2.0 * once, 1e-5);
    Ok(())
}

#[test]
fn handlers_wrap_sums_and_sums_wrap_handlers() -> Result<()> {
    let network = crate::evidence::wet_lawn(true);
    let given = 0.2 * (0.01 * 0.99 + 0.99 * 0.8);
    let inside = marginalise(condition(&network, "rain", true));
    let run = Simulation::seeded(1).run(&inside)?;
    assert_near(run.trace.log_prob()?, f64::ln(given), 1e-6);
    let outside = condition(marginalise(&network), "rain", true);
    let run = Simulation::seeded(1).run(&outside)?;
    assert_near(run.trace.log_prob()?, f64::ln(given), 1e-6);
    let twice = marginalise(marginalise(&network));
    let run = Simulation::seeded(1).run(&twice)?;
    assert_near(
        run.trace.log_prob()?,
        exact_posterior(&network)?.log_evidence,
        1e-6,
    );
    Ok(())
}

/// Grade averages: Americans' end at 4, Indians' at 10, and those who are perfect have no other.
#[model]
fn grades(highest_is_certain: bool) {
    let american = sample!(Bernoulli(0.5));
    let best = if american { 4.0 } else { 10.0 };
    let perfect = sample!(Bernoulli(if american { 0.15 } else { 0.1 }));
    if !perfect {
        let grade = sample!(Uniform(0.0, best));
    } else if highest_is_certain {
        let highest = sample!(Delta(best));
    }
}

/// Where a choice's values follow from others that could be summed out, all are drawn.
#[test]
fn choices_between_supports_are_drawn() -> Result<()> {
    let program = grades(false);
    let fit = Svi::new(&program).seed(1).steps(2_000).run()?;
    let posterior = fit.posterior();
    assert_near(posterior.mean("perfect")?, 0.125, 0.02);
    assert_near(posterior.mean("american")?, 0.5, 0.03);
    assert_near(posterior.log_evidence().elbo, 0.0, 0.01);
    let summed = marginalise(&program).only(|site| site == "perfect");
    let fit = Svi::new(&summed).seed(1).steps(500).run()?;
    assert_near(fit.posterior().mean("perfect")?, 0.125, 0.02);
    for highest_is_certain in [false, true] {
        let program = grades(highest_is_certain);
        let error = Svi::new(&marginalise(&program)).steps(1).run().unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("`grade`") || error.contains("`highest`"),
            "{error}"
        );
        assert!(error.contains("draw_all"), "{error}");
    }
    Ok(())
}

/// Nothing but a certain value, another one for each of two choices.
#[model]
fn certain() {
    let which = sample!(Bernoulli(0.25));
    let value = sample!(Delta(if which { 4.0 } else { 10.0 }));
}

#[test]
fn certain_values_do_not_choose_between_what_leads_to_them() -> Result<()> {
    let program = certain();
    let fit = Svi::new(&program).seed(1).steps(1_000).run()?;
    assert_near(fit.posterior().mean("which")?, 0.25, 0.02);
    Ok(())
}

/// A weight that is certain, and not a number of single precision, or anywhere around 0.
#[model]
fn point_and_slab(x: f64) {
    let zero = sample!(Bernoulli(0.5));
    let w = if zero {
        sample!(Delta(0.1), name = "point")
    } else {
        sample!(Normal(0.0, 1.0), name = "slab")
    };
    observe!(Normal(w, 0.5), x);
}

/// Nothing but a certain number that is not one of single precision.
#[model]
fn tenth() {
    let w = sample!(Delta(0.1));
    observe!(Normal(w, 0.5), 0.1);
}

#[test]
fn certain_values_may_be_numbers_that_single_precision_rounds() -> Result<()> {
    let density = |x: f64, variance: f64| (-0.5 * x * x / variance).exp() / (TAU * variance).sqrt();
    let fit = Svi::new(&tenth()).steps(20).seed(1).run()?;
    let elbo = fit.posterior().log_evidence().elbo;
    assert_near(elbo, density(0.0, 0.25).ln(), 1e-5);
    for x in [0.1, 1.0] {
        let (point, slab) = (density(x - 0.1, 0.25), density(x, 1.25));
        let (share, evidence) = (point / (point + slab), (0.5 * (point + slab)).ln());
        let program = point_and_slab(x);
        let fit = Svi::new(&program).seed(1).steps(1_000).run()?;
        assert_near(fit.posterior().mean("zero")?, share, 0.02);
        assert_near(fit.posterior().log_evidence().elbo, evidence, 0.01);
        let drawn = Svi::new(&program).draw_all().seed(1).steps(2_000).run()?;
        assert_near(drawn.posterior().mean("zero")?, share, 0.05);
    }
    Ok(())
}

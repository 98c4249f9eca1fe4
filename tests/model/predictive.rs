//! New data, new programs and log-likelihoods at posterior draws, and the JSON that ArviZ reads.

use relax_runtime::prelude::*;
use serde_json::Value;

use crate::{assert_all_near, assert_near, assert_says, error, short};

const DATA: [f64; 4] = [1.2, 0.4, 2.2, 1.0];

#[model]
fn level(data: &[f64]) {
    let mean = sample!(Normal(0.0, 2.0));
    for &x in data {
        observe!(Normal(mean, 1.0), x);
    }
}

/// The posterior mean and variance of the level.
fn by_hand() -> (f64, f64) {
    let variance = 1.0 / (0.25 + DATA.len() as f64);
    (variance * DATA.iter().sum::<f64>(), variance)
}

#[test]
fn new_data_have_the_predictive_mean_and_variance() -> Result<()> {
    let (mean, variance) = by_hand();
    let model = level(&DATA);
    let fit = Svi::new(&model)
        .posterior_draws(8_000)
        .seed(1)
        .progress(false)
        .run()?;
    let predicted = fit.predictive(&model, 8_000)?;
    assert_eq!(
        predicted.sites().collect::<Vec<_>>(),
        ["x[0]", "x[1]", "x[2]", "x[3]"]
    );
    for site in ["x[0]", "x[3]"] {
        assert_near(predicted.mean(site)?, mean, 0.05);
        assert_near(predicted.sd(site)?, (1.0 + variance).sqrt(), 0.03);
    }
    // The same level in two data of a draw.
    let product = predicted.expectation(|draw| {
        let centred = |site| draw.number(site).unwrap() - mean;
        centred("x[0]") * centred("x[1]")
    })?;
    assert_near(product, variance, 0.05);
    let again = fit.predictive(&model, 8_000)?;
    assert_eq!(again.means("x[0]")?, predicted.means("x[0]")?);
    Ok(())
}

#[test]
fn another_program_takes_the_sites_of_its_names() -> Result<()> {
    #[model]
    fn future() {
        let mean = sample!(Normal(0.0, 2.0));
        let high = sample!(Bernoulli(if mean > 1.0 { 1.0 } else { 0.0 }));
        let kind = sample!(Categorical([0.25, 0.75]));
    }
    let model = level(&DATA);
    let fit = Svi::new(&model)
        .posterior_draws(2_000)
        .seed(1)
        .progress(false)
        .run()?;
    let predicted = fit.predictive(&future(), 4_000)?;
    assert_eq!(predicted.sites().collect::<Vec<_>>(), ["high", "kind"]);
    let mean = |draws: &[&relax_runtime::dist::Value]| {
        let above = draws.iter().filter(|x| x.to_f64s().unwrap()[0] > 1.0);
        above.count() as f64 / draws.len() as f64
    };
    assert_near(
        predicted.mean("high")?,
        mean(&fit.posterior().samples("mean")?),
        1e-12,
    );
    assert_near(predicted.means("kind")?[1], 0.75, 0.03);
    assert_near(predicted.marginal("kind")?[0].1, 0.25, 0.03);
    // Hidden, the site is drawn from its own prior.
    let anew = fit.predictive(&block(future(), |name| name == "mean"), 4_000)?;
    assert_near(anew.mean("mean")?, 0.0, 0.1);
    assert_near(anew.sd("mean")?, 2.0, 0.1);
    Ok(())
}

#[model]
fn lines(x: &Tensor, y: &Tensor) {
    let slope = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(x.rows(), {
        observe!(Normal(&slope * x, 0.5), y);
    });
}

/// A matrix of one number is no vector of one number a row.
#[test]
fn vectors_of_one_number_are_drawn_anew() -> Result<()> {
    #[model]
    fn columns(x: &Tensor) {
        let centre = sample!(Normal(Tensor::from_slice(&[0.0]), 1.0));
        let tril = Tensor::from_slice(&[2.0]).reshape([1, 1]);
        observe!(MultivariateNormal(centre, tril), x, name = "x");
    }
    let x = Tensor::zeros([3, 1], &Device::cpu());
    let model = columns(&x);
    let fit = short(&model).posterior_draws(200).run()?;
    let predicted = fit.predictive(&model, 4_000)?;
    // The centre has a variance of 4/7 beside the data's 4.
    for sd in predicted.sds("x")? {
        assert_near(sd, (4.0_f64 + 4.0 / 7.0).sqrt(), 0.15);
    }
    Ok(())
}

/// Of every datum a draw, also where the data share the parameters of one.
#[test]
fn predicted_data_have_the_shape_of_the_data() -> Result<()> {
    #[model]
    fn shared(counts: &Tensor, vectors: &Tensor) {
        let p = sample!(Dirichlet(Tensor::from_slice(&[2.0, 1.0, 1.0])));
        plate!(counts.rows(), {
            observe!(Categorical(p.reshape([1, 3])), counts, name = "kind");
        });
        let tril = Tensor::from_slice(&[1.0, 0.0, 0.5, 2.0]).reshape([2, 2]);
        let centre = Tensor::zeros([2], &Device::cpu());
        observe!(MultivariateNormal(centre, tril), vectors, name = "vector");
        observe!(Normal(Tensor::scalar(3.0), 1.0), counts, name = "level");
    }
    let counts = Tensor::from_slice(&[0.0, 2.0, 1.0, 1.0, 0.0]);
    let vectors = Tensor::zeros([3, 2], &Device::cpu());
    let model = shared(&counts, &vectors);
    let fit = short(&model).posterior_draws(200).run()?;
    let predicted = fit.predictive(&model, 2_000)?;
    for draw in predicted.records()? {
        assert_eq!(draw.numbers("kind")?.len(), 5);
        assert_eq!(draw.numbers("vector")?.len(), 6);
    }
    let by_rows = predicted.means("kind")?;
    assert_eq!(by_rows.len(), 15);
    let p = fit.posterior().means("p")?;
    for (found, wanted) in by_rows.iter().zip(p.iter().cycle()) {
        assert_near(*found, *wanted, 0.06);
    }
    for level in predicted.means("level")? {
        assert_near(level, 3.0, 0.1);
    }
    for (sd, wanted) in predicted
        .sds("vector")?
        .iter()
        .zip([1.0, 4.25_f64.sqrt()].iter().cycle())
    {
        assert_near(*sd, *wanted, 0.15);
    }
    // Rows that share a law are not each other's copies.
    let different = predicted.probability(|draw| {
        let levels = draw.numbers("level").unwrap();
        levels[0] != levels[1]
    })?;
    assert_near(different, 1.0, 1e-9);
    Ok(())
}

#[test]
fn predictions_for_other_rows_come_from_the_shared_sites() -> Result<()> {
    let x = Tensor::from_slice(&[-1.0, 0.0, 1.0, 2.0]);
    let y = Tensor::from_slice(&[-2.1, 0.2, 1.8, 4.1]);
    let variance = 1.0 / (1.0 + 6.0 / 0.25);
    let slope = variance * (2.1 + 1.8 + 8.2) / 0.25;
    let model = lines(&x, &y);
    let fit = Svi::new(&model)
        .posterior_draws(4_000)
        .seed(1)
        .progress(false)
        .run()?;
    let ahead = Tensor::from_slice(&[10.0, 20.0]);
    let predicted = fit.predictive(&lines(&ahead, &ahead), 4_000)?;
    for (place, x) in [10.0, 20.0].into_iter().enumerate() {
        assert_near(predicted.means("y")?[place], slope * x, 0.02 * x);
        let sd = (0.25_f64 + variance * x * x).sqrt();
        assert_near(predicted.sds("y")?[place], sd, 0.05 * sd);
    }
    Ok(())
}

#[test]
fn log_likelihoods_are_those_of_the_rows() -> Result<()> {
    let x = Tensor::from_slice(&[-1.0, 0.0, 1.0, 2.0]);
    let y = Tensor::from_slice(&[-2.1, 0.2, 1.8, 4.1]);
    let model = lines(&x, &y);
    let fit = short(&model).posterior_draws(20).run()?;
    let found = fit.log_likelihood(&model)?;
    assert_eq!(
        (found.len(), found.sites().collect::<Vec<_>>()),
        (20, vec!["y"])
    );
    for (draw, likelihood) in fit.posterior().records()?.zip(found.records()?) {
        let slope = draw.number("slope")?;
        let rows = likelihood.numbers("y")?;
        assert_eq!(rows.len(), 4);
        for ((row, x), y) in rows.iter().zip(x.to_vec()?).zip(y.to_vec()?) {
            let z = (f64::from(y) - slope * f64::from(x)) / 0.5;
            let wanted = -0.5 * z * z - (0.5 * std::f64::consts::TAU.sqrt()).ln();
            assert_near(*row, wanted, 1e-4);
        }
    }
    let host = level(&DATA);
    let fit = short(&host).run()?;
    let draw = fit.posterior().records()?.next().unwrap();
    let found = fit.log_likelihood(&host)?;
    let first = found.records()?.next().unwrap().number("x[2]")?;
    let wanted = -0.5 * (2.2 - draw.number("mean")?).powi(2) - 0.5 * std::f64::consts::TAU.ln();
    assert_near(first, wanted, 1e-6);
    Ok(())
}

#[test]
fn sites_that_do_not_fit_are_an_error() -> Result<()> {
    #[model]
    fn other() {
        let mean = sample!(Bernoulli(0.5));
    }
    #[model]
    fn wider() {
        let mean = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0));
    }
    let model = level(&DATA);
    let fit = short(&model).run()?;
    assert_says(
        &error(fit.predictive(&other(), 5)),
        &["`mean`", "predictive.rs"],
    );
    assert_says(&error(fit.predictive(&wider(), 5)), &["`mean`", "shape"]);
    assert_says(
        &error(fit.predictive(&model, 0)),
        &["predictive draws", "is 0"],
    );
    Ok(())
}

/// The axes that ArviZ expects: chain, draw, and those of the value; none of the first two for data.
#[test]
fn the_json_has_the_layout_of_arviz() -> Result<()> {
    #[model]
    fn both(x: &Tensor) {
        let on = sample!(Bernoulli(0.5));
        let extra = if on { sample!(Normal(0.0, 1.0)) } else { 0.0 };
        let weights = sample!(Normal(Tensor::zeros([2, 3], &Device::cpu()), 1.0));
        plate!(x.rows(), {
            observe!(Normal(x * 0.0 + weights.sum_all() + extra, 1.0), x);
        });
        observe!(Normal(extra, 1.0), 0.25, name = "single");
    }
    let x = Tensor::from_slice(&[0.5, 1.5]);
    let model = both(&x);
    let fit = short(&model).posterior_draws(12).run()?;
    let text = fit.inference_data(&model)?.to_json()?;
    // Python reads NaN as a number, and `null` as an object, which ArviZ cannot compute with.
    assert!(text.contains("NaN") && !text.contains("null"));
    let json: Value = serde_json::from_str(&text.replace("NaN", "null")).unwrap();
    let shape = |group: &str, site: &str| {
        let mut at = &json[group][site];
        let mut shape = Vec::new();
        while let Value::Array(items) = at {
            shape.push(items.len());
            at = &items[0];
        }
        shape
    };
    assert_eq!(shape("posterior", "weights"), [1, 12, 2, 3]);
    assert_eq!(shape("posterior", "on"), [1, 12]);
    assert_eq!(shape("sample_stats", "log_weight"), [1, 12]);
    assert_eq!(shape("posterior_predictive", "x"), [1, 12, 2]);
    assert_eq!(shape("log_likelihood", "x"), [1, 12, 2]);
    assert_eq!(shape("log_likelihood", "single"), [1, 12]);
    assert_eq!(shape("observed_data", "x"), [2]);
    assert_eq!(json["observed_data"]["single"], 0.25);
    // The runs that did not come by a site say so.
    for (draw, record) in fit.posterior().records()?.enumerate() {
        let written = json["posterior"]["extra"][0][draw].as_f64();
        let known = record.number("extra").ok();
        assert_eq!(written, known, "draw {draw}");
        let weights = record.numbers("weights")?;
        assert_eq!(
            json["posterior"]["weights"][0][draw][1][2].as_f64(),
            Some(weights[5])
        );
    }
    Ok(())
}

/// An enumeration has weights, which ArviZ has not.
#[test]
fn an_enumeration_is_resampled_for_arviz() -> Result<()> {
    let model = crate::wet_lawn(true);
    let exact = exact_posterior(&model)?;
    let data = exact.inference_data(&model, &ParamStore::default(), 1)?;
    let json: Value = serde_json::from_str(&data.to_json()?).unwrap();
    let rain = json["posterior"]["rain"][0].as_array().unwrap();
    let sum: f64 = rain.iter().map(|x| x.as_f64().unwrap()).sum();
    assert_eq!(rain.len(), 1_000);
    assert_near(sum / 1_000.0, exact.mean("rain")?, 0.05);
    assert!(json.get("sample_stats").is_none());
    Ok(())
}

/// Draws that were weighted, because the guide is too narrow, are others once they are resampled: its log-weights
/// are not theirs.
#[test]
fn resampled_draws_have_no_log_weights_in_the_json() -> Result<()> {
    // A count that is drawn keeps chains away, and the guide has one of the signs of both factors.
    #[model]
    fn product() {
        let count = sample!(Poisson(2.0));
        let a = sample!(Normal(0.0, 1.0));
        let b = sample!(Normal(0.0, 1.0));
        observe!(Normal(a * b + 0.01 * count as f64, 0.6), 0.4, name = "y");
    }
    let model = product();
    let svi = Svi::new(&model).seed(1).progress(false);
    let fit = svi.posterior_draws(2_000).run()?;
    let mut weights = fit.posterior().records()?.map(|draw| draw.weight());
    let first = weights.next().unwrap();
    assert!(weights.any(|weight| weight != first), "{}", fit.verdict());
    let json: Value = serde_json::from_str(&fit.inference_data(&model)?.to_json()?).unwrap();
    assert!(json.get("sample_stats").is_none());
    Ok(())
}

/// A factor is no datum: ArviZ is given none of its log-likelihood, and who asks for one is told.
#[test]
fn a_factor_has_no_log_likelihood() -> Result<()> {
    #[model]
    fn energy() {
        let x = sample!(Normal(0.0, 1.0));
        factor!(-x * x);
    }
    let model = energy();
    let fit = short(&model).run()?;
    assert_says(
        &error(fit.log_likelihood(&model)),
        &["`energy` observes nothing", "`observe!`", "`factor!`"],
    );
    let json: Value = serde_json::from_str(&fit.inference_data(&model)?.to_json()?).unwrap();
    assert!(json.get("log_likelihood").is_none() && json.get("posterior").is_some());
    Ok(())
}

/// Numbers of rows are those of the rows that were fitted; others are drawn anew.
#[test]
fn other_rows_are_predicted_with_effects_of_their_own() -> Result<()> {
    #[model]
    fn rows(n: usize, y: Option<&Tensor>) {
        let mean = sample!(Normal(Tensor::scalar(0.0), 5.0));
        plate!(n => {
            let effect = sample!(Normal(Tensor::zeros([n], &Device::cpu()), 0.5));
            let centre = mean + effect;
            match y {
                Some(y) => observe!(Normal(centre, 0.1), y, name = "y"),
                None => {
                    let _ = sample!(Normal(centre, 0.1), name = "y");
                }
            }
        })
    }
    let y = Tensor::from_slice(&[3.1, 2.9, 3.2, 2.8, 3.0]);
    let model = rows(5, Some(&y));
    let fit = Svi::new(&model).seed(1).posterior_draws(1_000).run()?;
    let refused = error(fit.predictive(&rows(3, None), 10)).to_string();
    assert_says(&refused, &["shape [3]", "shape [5]", "`block("]);
    let others = block(rows(3, None), |name| name == "effect");
    let predicted = fit.predictive(&others, 2_000)?;
    for (mean, sd) in predicted.means("y")?.into_iter().zip(predicted.sds("y")?) {
        assert_near(mean, 3.0, 0.08);
        // Of the mean, an effect and noise.
        assert_near(sd, (0.26_f64 / 5.0 + 0.26).sqrt(), 0.06);
    }
    Ok(())
}

#[model]
fn line(x: &Tensor) -> Tensor {
    let slope = param!(0.0);
    x * &slope
}

#[model]
fn fitted(x: &Tensor, y: &Tensor) {
    let shift = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let mu = call!(line(x));
    plate!(x.rows() => {
        observe!(Normal(&mu + &shift, 1.0), y);
    });
}

#[model]
fn ahead(x: &Tensor, renamed: bool) {
    let shift = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let line = match renamed {
        true => call!(line(x), name = "line"),
        false => call!(line(x), name = "mu"),
    };
    plate!(x.rows() => {
        let next = sample!(Normal(&line + &shift, 1.0));
    });
}

/// A parameter under another name would be at its initial value.
#[test]
fn parameters_that_were_not_trained_are_refused() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0]);
    let fit = Svi::new(&fitted(&x, &(&x * 3.0))).seed(1).run()?;
    let next = fit.predictive(&ahead(&x, false), 400)?.means("next")?;
    assert_all_near(&next, &[3.0, 6.0, 9.0], 0.6);
    let refused = error(fit.predictive(&ahead(&x, true), 400));
    assert_says(&refused, &["`line/slope`", "`mu/slope`"]);
    let refused = error(fit.log_likelihood(&ahead(&x, true)));
    assert_says(&refused, &["`line/slope`", "`mu/slope`"]);
    Ok(())
}

/// Data that share a mixture, outside a plate.
#[test]
fn data_of_a_mixture_are_drawn_anew() -> Result<()> {
    #[model]
    fn clusters(x: &Tensor) {
        let shift = sample!(Normal(0.0, 0.1));
        let means = Tensor::from_slice(&[-5.0, 5.0]) + shift as f32;
        observe!(Mixture([0.3, 0.7], Normal(&means, 1.0)), x, name = "x");
    }
    #[model]
    fn different(x: &Tensor) {
        let shift = sample!(Normal(0.0, 0.1));
        let mean = Tensor::scalar(5.0) + shift as f32;
        observe!(
            Mixture([0.3, 0.7], (Normal(-&mean, 1.0), Laplace(&mean, 0.7))),
            x,
            name = "x"
        );
    }
    let x = Tensor::from_slice(&[-5.0, 5.0, 4.0, -4.0, 5.5, 6.0]);
    for model in [&clusters(&x) as &dyn Program, &different(&x)] {
        let fit = Svi::new(model).steps(200).seed(1).progress(false).run()?;
        let predicted = fit.predictive(model, 2_000)?;
        for mean in predicted.means("x")? {
            assert_near(mean, 0.7 * 5.0 - 0.3 * 5.0, 0.5);
        }
    }
    Ok(())
}

/// JSON has no infinite numbers.
#[test]
fn a_posterior_with_an_infinite_mean_is_saved() -> Result<()> {
    #[model]
    fn heavy() {
        let v = sample!(InverseGamma(Tensor::scalar(0.5), 0.5));
    }
    let objective = heavy();
    let posterior = Posterior::draw(
        &Elbo::new(&objective).guide(&objective),
        &ParamStore::default(),
        1,
        50,
    )?;
    assert_eq!(posterior.mean("v")?, f64::INFINITY);
    let text = serde_json::to_string(&posterior).expect("text");
    let again: Posterior = serde_json::from_str(&text).expect("a posterior");
    assert!(again.mean("v")?.is_nan());
    assert_eq!(
        format!("{:?}", again.samples("v")?),
        format!("{:?}", posterior.samples("v")?)
    );
    let text = serde_json::to_string(&posterior.summary()?).expect("text");
    serde_json::from_str::<relax_runtime::infer::Summary>(&text).expect("a summary");
    Ok(())
}

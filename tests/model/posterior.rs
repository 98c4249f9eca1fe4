//! Queries of a posterior, against known answers.

use relax_runtime::dist::SiteValue;
use relax_runtime::infer::{Draws, ExactPosterior, MeanFieldGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, wet_lawn};

/// The exact joint probabilities of the lawn, by hand.
fn lawn_by_hand() -> [[f64; 2]; 2] {
    let (both, rain) = (0.2 * 0.01 * 0.99, 0.2 * 0.99 * 0.8);
    let (sprinkler, neither) = (0.8 * 0.4 * 0.9, 0.8 * 0.6 * 0.001);
    let evidence = both + rain + sprinkler + neither;
    [[neither, sprinkler], [rain, both]].map(|row| row.map(|p| p / evidence))
}

fn both(draws: &Draws) -> Result<f64> {
    draws.probability(|draw| {
        let on = |site| draw.number(site).is_ok_and(|x| x == 1.0);
        on("rain") && on("sprinkler")
    })
}

#[test]
fn an_enumeration_is_its_joint_draws() -> Result<()> {
    let posterior = exact_posterior(&wet_lawn(true))?;
    let wanted = lawn_by_hand();
    assert_near(posterior.mean("rain")?, 0.357_305, 1e-6);
    assert_eq!(posterior.len(), 4);
    for draw in posterior.records()? {
        let value = |site: &str| bool::from_value(draw.get(site).unwrap());
        let (rain, sprinkler) = (value("rain")?, value("sprinkler")?);
        let wanted = wanted[usize::from(rain)][usize::from(sprinkler)];
        assert_near(draw.weight(), wanted, 1e-12);
        let sites: Vec<&str> = draw.sites().map(|(name, _)| name).collect();
        assert_eq!(sites, ["rain", "sprinkler"]);
    }
    assert_near(both(&posterior)?, wanted[1][1], 1e-12);
    let p = wanted[1][0] + wanted[1][1];
    assert_near(posterior.sd("rain")?, (p * (1.0 - p)).sqrt(), 1e-12);
    assert_eq!(posterior.quantile("rain", 0.6)?, 0.0);
    assert_eq!(posterior.quantile("rain", 0.65)?, 1.0);
    let drawn = posterior.resample(40_000, 1)?;
    assert_near(both(&drawn)?, wanted[1][1], 2e-3);
    assert_near(drawn.mean("rain")?, p, 0.01);
    assert_near(drawn.marginal("rain")?[1].1, p, 0.01);
    Ok(())
}

#[model]
fn beta_binomial(heads: usize) {
    // A uniform prior on eleven coins.
    let coin = sample!(Categorical(vec![1.0 / 11.0; 11]));
    for i in 0..5 {
        observe!(Bernoulli(coin as f64 / 10.0), i < heads);
    }
}

#[test]
fn numbers_of_an_enumeration_are_those_by_hand() -> Result<()> {
    let weight = |k: usize| (k as f64 / 10.0).powi(4) * (1.0 - k as f64 / 10.0);
    let sum: f64 = (0..11).map(weight).sum();
    let posterior = exact_posterior(&beta_binomial(4))?;
    let mean: f64 = (0..11).map(|k| k as f64 * weight(k) / sum).sum();
    assert_near(posterior.index_means("coin")?[0], mean, 1e-9);
    let mut below = 0.0;
    let cumulated: Vec<f64> = (0..11)
        .map(|k| {
            below += weight(k) / sum;
            below
        })
        .collect();
    for q in [0.05, 0.3, 0.5, 0.95] {
        let wanted = cumulated.iter().position(|p| *p >= q).unwrap() as f64;
        assert_eq!(posterior.quantile("coin", q)?, wanted, "{q}");
    }
    let (low, high) = posterior.interval("coin", 0.9)?;
    assert_eq!(low, posterior.quantile("coin", 0.05)?);
    assert_eq!(high, posterior.quantile("coin", 0.95)?);
    for (k, sd) in posterior.sds("coin")?.into_iter().enumerate() {
        let p = weight(k) / sum;
        assert_near(sd, (p * (1.0 - p)).sqrt(), 1e-9);
    }
    Ok(())
}

/// A site with more categories in some runs than in others.
#[test]
fn the_number_of_categories_may_differ_between_runs() -> Result<()> {
    #[model]
    fn widths() {
        let many = sample!(Bernoulli(0.6));
        let probs = match many {
            true => vec![0.2, 0.3, 0.5],
            false => vec![0.5, 0.5],
        };
        let kind = sample!(Categorical(probs.clone()));
        observe!(Categorical(probs), kind % 2, name = "seen");
    }
    let joint = [0.4 * 0.25, 0.4 * 0.25, 0.6 * 0.04, 0.6 * 0.09, 0.6 * 0.1];
    let evidence: f64 = joint.iter().sum();
    let wanted = [joint[0] + joint[2], joint[1] + joint[3], joint[4]].map(|p| p / evidence);
    let model = widths();
    let exact = exact_posterior(&model)?;
    let drawn = exact.resample(8_000, 1)?;
    let both: [(&Draws, f64); 2] = [(&exact, 1e-6), (&drawn, 0.02)];
    for (draws, close) in both {
        let means = draws.means("kind")?;
        assert_eq!(means.len(), 3);
        for (found, wanted) in means.iter().zip(wanted) {
            assert_near(*found, wanted, close);
        }
        draws.summary()?;
    }
    // Data of the two widths, and all values that one of them has.
    let seen = drawn.predictive(&model, &ParamStore::default(), 8_000, 2)?;
    let many = (joint[2] + joint[3] + joint[4]) / evidence;
    let wanted = [0.5 - 0.3 * many, 0.5 - 0.2 * many, 0.5 * many];
    let marginal = seen.marginal("seen")?;
    for ((found, wanted), (_, p)) in seen.means("seen")?.iter().zip(wanted).zip(&marginal) {
        assert_near(*found, wanted, 0.02);
        assert_near(*p, wanted, 0.02);
    }
    assert_eq!(marginal.len(), 3);
    Ok(())
}

/// A site that only some runs come by.
#[model]
fn detour(seen: f64) {
    let on = sample!(Bernoulli(0.4));
    let level = if on {
        let step = sample!(Categorical([0.5, 0.5]));
        1.0 + step as f64
    } else {
        0.0
    };
    observe!(Normal(level, 1.0), seen);
}

#[test]
fn sites_on_some_paths_have_a_probability_and_a_mean_given_that() -> Result<()> {
    let density = |level: f64| (-0.5 * (1.5 - level) * (1.5 - level)).exp();
    let joint = [0.6 * density(0.0), 0.2 * density(1.0), 0.2 * density(2.0)];
    let evidence: f64 = joint.iter().sum();
    let included = (joint[1] + joint[2]) / evidence;
    let model = detour(1.5);
    let exact = exact_posterior(&model)?;
    let fit = Svi::new(&model)
        .posterior_draws(4_000)
        .seed(1)
        .progress(false)
        .run()?;
    let weighted = fit.posterior().weighted()?;
    let drawn = exact.resample(4_000, 2)?;
    // What single sites are is exact where everything was summed out, and what draws come by is not.
    let cases: [(&Draws, f64, f64); 4] = [
        (&exact, 1e-6, 1e-6),
        (fit.posterior(), 1e-6, 0.03),
        (&weighted, 1e-6, 0.03),
        (&drawn, 0.03, 1e-6),
    ];
    for (draws, close, apart) in cases {
        assert_near(draws.inclusion_probability("on")?, 1.0, 1e-9);
        assert_near(draws.inclusion_probability("step")?, included, close);
        let marginal = draws.marginal("step")?;
        let sum: f64 = marginal.iter().map(|(_, p)| p).sum();
        assert_near(sum, draws.inclusion_probability("step")?, 1e-6);
        assert_near(marginal[1].1, joint[2] / evidence, close);
        let mean = joint[2] / (joint[1] + joint[2]);
        assert_near(draws.means("step")?[1], mean, close);
        let without = draws.probability(|draw| draw.get("step").is_none())?;
        assert_near(without, 1.0 - draws.inclusion_probability("step")?, apart);
    }
    let samples = fit.posterior().samples("step")?;
    assert!(samples.len() < 4_000 && samples.len() > 1_000);
    let first = exact.records()?.find(|draw| draw.get("step").is_none());
    assert_says(
        &error(first.unwrap().numbers("step")),
        &["`step`", "does not contain"],
    );
    Ok(())
}

#[model]
fn conjugate(data: &[f64]) {
    let mean = sample!(Normal(0.0, 2.0));
    for &x in data {
        observe!(Normal(mean, 1.0), x);
    }
}

#[test]
fn a_normal_posterior_has_its_mean_deviation_and_quantiles() -> Result<()> {
    let data = [1.2, 0.4, 2.2, 1.0];
    let variance = 1.0 / (0.25 + data.len() as f64);
    let mean = variance * data.iter().sum::<f64>();
    let sd = variance.sqrt();
    let model = conjugate(&data);
    let svi = Svi::new(&model).posterior_draws(10_000).seed(1);
    let fit = svi.progress(false).run()?;
    let weighted = fit.posterior().weighted()?;
    let resampled = weighted.resample(10_000, 1)?;
    for draws in [&**fit.posterior(), &weighted, &resampled] {
        assert_near(draws.mean("mean")?, mean, 0.03);
        assert_near(draws.sd("mean")?, sd, 0.02);
        let (low, high) = draws.interval("mean", 0.9)?;
        assert_near(low, mean - 1.644_854 * sd, 0.04);
        assert_near(high, mean + 1.644_854 * sd, 0.04);
        assert_near(draws.quantile("mean", 0.5)?, mean, 0.03);
    }
    let row = &fit.posterior().summary()?.rows[0];
    assert_eq!((&*row.site, row.element), ("mean", None));
    assert_eq!(row.mean, fit.posterior().mean("mean")?);
    assert_eq!(
        row.quantiles.unwrap()[2],
        fit.posterior().quantile("mean", 0.95)?
    );
    let text = fit.posterior().summary()?.to_string();
    assert_says(&text, &["site", "sd", "95%", "mean"]);
    Ok(())
}

/// A category is told from the iteration of a loop, and from a row.
#[test]
fn summaries_name_categories() -> Result<()> {
    #[model]
    fn of_categories() {
        for _ in 0..2 {
            let kind = sample!(Categorical([0.25, 0.75]));
        }
        plate!(3 => {
            let c = sample!(Categorical([0.5, 0.5]));
            observe!(Normal(c, 1.0), Tensor::from_slice(&[0.5, 0.5, 0.5]));
        })
    }
    let fit = Svi::new(&of_categories()).steps(5).progress(false).run()?;
    let summary = fit.posterior().summary()?;
    let rows = summary.rows.iter();
    let found: Vec<_> = rows
        .map(|row| (&*row.site, row.element, row.category))
        .collect();
    assert_eq!(found[1], ("kind[0]", None, Some(1)));
    assert_eq!(found[4], ("c", Some(0), Some(0)));
    assert_eq!(found[9], ("c", Some(2), Some(1)));
    assert_near(summary.rows[1].mean, 0.75, 1e-6);
    let text = summary.to_string();
    let names: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| line.split("  ").next().unwrap_or(""))
        .collect();
    let wanted = [
        "kind[0] = 0",
        "kind[0] = 1",
        "kind[1] = 0",
        "kind[1] = 1",
        "c[0] = 0",
        "c[0] = 1",
        "c[1] = 0",
        "c[1] = 1",
        "c[2] = 0",
        "c[2] = 1",
    ];
    assert_eq!(names, wanted, "{text}");
    Ok(())
}

/// A guide that is held at a wrong law: weights bring its draws to the posterior.
#[test]
fn importance_weights_correct_a_guide() -> Result<()> {
    #[model]
    fn wide() {
        let mean = sample!(Normal(0.0, 1.5));
    }
    let data = [1.2, 0.4, 2.2, 1.0];
    let variance = 1.0 / (0.25 + data.len() as f64);
    let (model, guide) = (conjugate(&data), wide());
    let objective = Elbo::new(&model).guide(&guide);
    let posterior = Posterior::draw(&objective, &ParamStore::default(), 1, 20_000)?;
    let weighted = posterior.weighted()?;
    let mean = variance * data.iter().sum::<f64>();
    assert_near(posterior.mean("mean")?, 0.0, 0.05);
    assert_near(weighted.mean("mean")?, mean, 0.03);
    assert_near(weighted.sd("mean")?, variance.sqrt(), 0.02);
    let weights = posterior.importance_weights()?;
    assert!(weights.pareto_k().unwrap() < weights.pareto_k_limit());
    assert_eq!(weights.rows().len(), 1);
    let records: f64 = weighted.records()?.map(|draw| draw.weight()).sum();
    assert_near(records, 1.0, 1e-9);

    // The other way about, a narrow guide: its weights have a tail without a variance.
    #[model]
    fn narrow() {
        let mean = sample!(Normal(1.1, 0.2));
    }
    let guide = narrow();
    let objective = Elbo::new(&model).guide(&guide);
    let narrow = Posterior::draw(&objective, &ParamStore::default(), 1, 4_000)?;
    let weights = narrow.importance_weights()?;
    assert!(weights.pareto_k().unwrap() > weights.pareto_k_limit());
    Ok(())
}

/// Rows of a plate are independent, and weighted and drawn one by one.
#[test]
fn rows_have_weights_of_their_own() -> Result<()> {
    #[model]
    fn rows(x: &Tensor) {
        plate!(x.rows(), {
            let b = sample!(Bernoulli(logits = x * 0.0));
            observe!(Normal(&b * 2.0, 1.0), x);
        });
    }
    #[model]
    fn even(x: &Tensor) {
        plate!(x.rows(), {
            let b = sample!(Bernoulli(logits = x * 0.0));
        });
    }
    let x = Tensor::from_slice(&[0.0, 0.5, 2.5, 1.5]);
    let (model, guide) = (rows(&x), even(&x));
    let objective = Elbo::new(&model).guide(&guide);
    let posterior = Posterior::draw(&objective, &ParamStore::default(), 1, 8_000)?;
    let weighted = posterior.weighted()?;
    let resampled = weighted.resample(8_000, 3)?;
    for (row, x) in x.to_vec()?.into_iter().enumerate() {
        let odds = (2.0 * f64::from(x) - 2.0).exp();
        let wanted = odds / (1.0 + odds);
        assert_near(posterior.means("b")?[row], 0.5, 0.03);
        assert_near(weighted.means("b")?[row], wanted, 0.02);
        assert_near(resampled.means("b")?[row], wanted, 0.03);
    }
    assert_eq!(posterior.importance_weights()?.pareto_ks().len(), 4);
    assert_says(&error(weighted.records().map(drop)), &["resample"]);
    // Rows of the result belong to no draw together.
    let together = resampled
        .probability(|draw| draw.numbers("b").is_ok_and(|b| b[0] == 1.0 && b[1] == 1.0))?;
    let apart = resampled.means("b")?;
    assert_near(together, apart[0] * apart[1], 0.02);
    Ok(())
}

#[test]
fn weights_of_a_part_of_the_data_are_refused() -> Result<()> {
    #[model]
    fn part(x: &Tensor) {
        let mean = sample!(Normal(0.0, 1.0));
        plate!(x.rows(), of = 100 => {
            observe!(Normal(x * 0.0 + mean, 1.0), x);
        });
    }
    let x = Tensor::from_slice(&[0.5, 1.0]);
    let model = part(&x);
    let svi = Svi::new(&model)
        .steps(200)
        .posterior_draws(30)
        .progress(false);
    let fit = svi.run()?;
    assert_says(
        &error(fit.posterior().weighted()),
        &["`x`", "larger data set"],
    );
    assert!(fit.verdict().effective_samples.is_none());
    assert_says(
        &fit.verdict().to_string(),
        &["nothing is known about the weights"],
    );
    Ok(())
}

/// More combinations than are kept: single sites stay known, whole draws are refused.
#[test]
fn too_many_combinations_leave_single_sites() -> Result<()> {
    #[model]
    fn coins() {
        let mut heads = 0.0;
        for _ in 0..18 {
            let coin = sample!(Bernoulli(0.5));
            heads += f64::from(u8::from(coin));
        }
        observe!(Normal(heads, 1.0), 12.0);
    }
    let posterior = exact_posterior(&coins())?;
    let first = posterior.mean("coin[0]")?;
    assert!(first > 0.6 && first < 0.7, "{first}");
    assert_near(
        posterior.sd("coin[3]")?,
        (first * (1.0 - first)).sqrt(),
        1e-9,
    );
    assert!(posterior.is_empty());
    for refused in [
        error(posterior.samples("coin[0]")),
        error(posterior.resample(10, 1)),
        error(posterior.records().map(drop)),
    ] {
        assert_says(&refused, &["too many", "condition"]);
    }
    Ok(())
}

#[test]
fn questions_without_an_answer_are_errors() -> Result<()> {
    let posterior = exact_posterior(&wet_lawn(true))?;
    assert_says(&error(posterior.sd("snow")), &["`snow`", "`rain`"]);
    assert_says(
        &error(posterior.quantile("rain", 1.5)),
        &["1.5", "between 0 and 1"],
    );
    assert_says(&error(posterior.interval("rain", -0.1)), &["-0.1"]);
    assert_says(&error(posterior.resample(0, 1)), &["is 0"]);
    let coin = exact_posterior(&beta_binomial(2))?;
    assert_says(&error(coin.sd("coin")), &["categorical", "`sds`"]);
    #[model]
    fn never() {
        let on = sample!(Bernoulli(0.5));
        if on {
            let off = sample!(Bernoulli(0.5));
        }
        observe!(Bernoulli(if on { 0.0 } else { 0.5 }), true);
    }
    let posterior = exact_posterior(&never())?;
    assert_eq!(posterior.inclusion_probability("off")?, 0.0);
    assert_says(
        &error(posterior.mean("off")),
        &["`off`", "nothing is known"],
    );
    Ok(())
}

/// Whether a number is on a slope, which is summed out, and a coin that is only there if so.
#[model]
fn sloped(y: f64) {
    let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let on = sample!(Bernoulli(0.5));
    if on {
        let coin = sample!(Bernoulli(0.3));
    }
    observe!(Normal(&x + if on { 2.0 } else { 0.0 }, 1.0), y);
}

/// Beside few weighted draws, what was summed out has averages of what is exact given each, from a file as well.
#[test]
fn what_was_summed_out_is_known_beside_weighted_draws() -> Result<()> {
    let model = sloped(1.5);
    let objective = Elbo::new(&model).marginalise().guide(&MeanFieldGuide);
    let posterior = Posterior::draw(&objective, &ParamStore::default(), 3, 12)?;
    let weights = posterior.importance_weights()?.rows()[0].clone();
    let given = posterior.samples("x")?.into_iter().zip(weights);
    let on: f64 = given
        .map(|(x, weight)| {
            let by = 1.5 - x.to_f64s().unwrap()[0];
            // The log-odds that a Gaussian around 2 explains what one around 0 does.
            weight / (1.0 + (2.0 - 2.0 * by).exp())
        })
        .sum();
    let text = serde_json::to_string(&posterior).unwrap();
    let again: Posterior = serde_json::from_str(&text).unwrap();
    for posterior in [&posterior, &again] {
        let weighted = posterior.weighted()?;
        assert_near(weighted.mean("on")?, on, 1e-5);
        assert_near(weighted.inclusion_probability("coin")?, on, 1e-5);
        assert_near(weighted.mean("coin")?, 0.3, 1e-5);
        assert_near(weighted.marginal("coin")?[1].1, 0.3 * on, 1e-5);
    }
    // A file from before draws kept what they know.
    let mut old = serde_json::to_value(&posterior).unwrap();
    for site in old
        .pointer_mut("/draws/sites")
        .unwrap()
        .as_array_mut()
        .unwrap()
    {
        assert!(site.as_object_mut().unwrap().remove("in_draws").is_some());
    }
    let old: Posterior = serde_json::from_value(old).unwrap();
    assert_near(old.mean("on")?, posterior.mean("on")?, 1e-12);
    assert!((0.0..=1.0).contains(&old.weighted()?.mean("on")?));
    Ok(())
}

#[test]
fn posteriors_can_be_written_and_read() -> Result<()> {
    let model = detour(1.5);
    let exact = exact_posterior(&model)?;
    let fit = Svi::new(&model)
        .guide(&MeanFieldGuide)
        .steps(20)
        .progress(false)
        .run()?;
    let text = serde_json::to_string(&exact).unwrap();
    let again: ExactPosterior = serde_json::from_str(&text).unwrap();
    assert_eq!(again.log_evidence, exact.log_evidence);
    assert_eq!(again.marginal("step")?, exact.marginal("step")?);
    let text = serde_json::to_string(fit.posterior()).unwrap();
    let again: Posterior = serde_json::from_str(&text).unwrap();
    for site in ["on", "step"] {
        assert_eq!(again.means(site)?, fit.posterior().means(site)?);
        assert_eq!(
            again.samples(site)?.len(),
            fit.posterior().samples(site)?.len()
        );
        assert_eq!(
            again.weighted()?.means(site)?,
            fit.posterior().weighted()?.means(site)?
        );
    }
    assert_eq!(again.log_evidence(), fit.posterior().log_evidence());
    let summary = fit.posterior().summary()?;
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(summary, serde_json::from_str(&text).unwrap());

    let whole = serde_json::to_value(&exact).unwrap();
    for (place, wrong) in [
        ("/draws/count", 2.into()),
        ("/draws/weights/Whole", vec![1.0].into()),
        ("/draws/sites/0/places/0", 9.into()),
        ("/draws/sites/0/probabilities", vec![1.0].into()),
    ] {
        let mut damaged = whole.clone();
        *damaged.pointer_mut(place).unwrap() = wrong;
        let read = serde_json::from_value::<ExactPosterior>(damaged);
        assert_says(&read.unwrap_err().to_string(), &["damaged"]);
    }
    Ok(())
}

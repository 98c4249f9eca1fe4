//! What training returns: reports, posteriors, the same numbers for the same seed.

use std::collections::BTreeMap;

use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, coin, error, short};

/// Gaussian data with an unknown mean: the posterior is known in closed form.
#[model]
fn gaussian(data: &Tensor) {
    let mean = sample!(Normal(0.0, Tensor::scalar(2.0)));
    observe!(Normal(&mean, 1.0), data);
}

/// Mean and variance of the posterior, and ln p(data).
fn conjugate(data: &[f64]) -> (f64, f64, f64) {
    let n = data.len() as f64;
    let (sum, squares): (f64, f64) = (data.iter().sum(), data.iter().map(|x| x * x).sum());
    let variance = 1.0 / (n + 1.0 / 4.0);
    let log_evidence = -0.5 * n * std::f64::consts::TAU.ln() - 0.5 * squares
        + 0.5 * (variance / 4.0).ln()
        + 0.5 * variance * sum * sum;
    (variance * sum, variance, log_evidence)
}

#[test]
fn svi_finds_the_conjugate_posterior() -> Result<()> {
    let data = [1.2, 0.4, 2.0, 1.1];
    let (mean, variance, log_evidence) = conjugate(&data);
    let data: Vec<f32> = data.iter().map(|&x| x as f32).collect();
    let data = Tensor::from_slice(&data);
    let model = gaussian(&data);
    let fit = Svi::new(&model)
        .steps(1_500)
        .optimizer(Adam::new(0.02))
        .particles(4)
        .posterior_draws(4_000)
        .seed(3)
        .progress(false)
        .run()?;
    let posterior = fit.posterior();
    assert_near(posterior.mean("mean")?, mean, 0.05);
    let scale = f64::from(fit.param("mean.log_scale")?[0]).exp();
    assert_near(scale, variance.sqrt(), 0.03);

    let draws = posterior.samples("mean")?;
    assert_eq!(draws.len(), 4_000);
    let mut moments = (0.0, 0.0);
    for draw in draws {
        let x = draw.to_f64s()?[0];
        moments = (moments.0 + x / 4e3, moments.1 + x * x / 4e3);
    }
    assert_near(moments.0, mean, 0.06);
    assert_near(moments.1 - moments.0 * moments.0, variance, 0.03);

    let evidence = posterior.log_evidence();
    assert_near(evidence.bound, log_evidence, 0.01);
    assert_near(evidence.elbo, log_evidence, 0.03);
    assert!(evidence.elbo <= evidence.bound);
    assert!(evidence.effective_samples > 3_500.0);
    assert_near(fit.history.recent_loss(200), -log_evidence, 0.03);
    assert_eq!(posterior.sites().collect::<Vec<_>>(), ["mean"]);
    Ok(())
}

/// A cost moves the guide, and with it the bound, but is no part of p(x).
#[test]
fn costs_stay_out_of_the_evidence() -> Result<()> {
    #[model]
    fn taxed(heads: f64, tax: f32) {
        let fair = sample!(Bernoulli(Tensor::scalar(0.5)));
        let p = &fair * 0.5 + (1.0 - &fair) * 0.9;
        observe!(Bernoulli(p), heads, name = "toss");
        cost!(&fair * tax - 3.0, name = "tax");
    }
    #[model]
    fn taxed_rows(tax: f64) {
        plate!(2, {
            let fair = sample!(Bernoulli(logits = Tensor::zeros(2, &Device::cpu())));
            let p = &fair * 0.5 + (1.0 - &fair) * 0.9;
            observe!(Bernoulli(p), Tensor::from_slice(&[0.0, 1.0]), name = "toss");
        });
        cost!(tax);
    }
    let evidence = |model: &dyn Program| -> Result<_> {
        let posterior = Posterior::draw(&Elbo::new(model), &ParamStore::default(), 5, 2_000)?;
        Ok(posterior.log_evidence())
    };
    let found = evidence(&taxed(1.0, 0.4))?;
    assert_eq!(found, evidence(&taxed(1.0, 0.0))?);
    assert_near(found.bound, exact_posterior(&coin(1.0))?.log_evidence, 0.02);
    assert!(found.elbo < found.bound);
    assert_eq!(evidence(&taxed_rows(7.0))?, evidence(&taxed_rows(0.0))?);
    Ok(())
}

#[test]
fn svi_finds_a_small_discrete_posterior() -> Result<()> {
    for heads in [0.0, 1.0] {
        let model = coin(heads);
        let exact = exact_posterior(&model)?;
        let fit = Svi::new(&model)
            .draw_all()
            .steps(1_000)
            .optimizer(Adam::new(0.03))
            .posterior_draws(2_000)
            .progress(false)
            .run()?;
        let posterior = fit.posterior();
        assert_near(posterior.mean("fair")?, exact.mean("fair")?, 0.02);
        let evidence = posterior.log_evidence();
        assert_near(evidence.bound, exact.log_evidence, 0.01);
        assert_near(evidence.elbo, exact.log_evidence, 0.01);
        let plan = fit.plan();
        assert_eq!(
            (plan.entries[0].site.as_str(), plan.entries[0].estimator),
            ("fair", "relax")
        );
    }
    Ok(())
}

/// Discrete and continuous, host and tensor, in a loop and in a plate.
#[model]
fn mixed() {
    let w = param!([0.1, -0.3]);
    let mut size = 1.0;
    for _ in 0..2 {
        let switch = sample!(Bernoulli(0.4));
        if switch {
            size += 1.0;
        }
    }
    plate!(2, {
        let b = sample!(Bernoulli(logits = &w));
        let x = sample!(Normal(&b, size));
        observe!(Normal(&x, 1.0), x.ones_like(), name = "data");
    });
    let kind = sample!(OneHotCategorical(logits = &w));
    cost!((kind * &w).sum_all());
}

#[test]
fn the_same_seed_gives_the_same_numbers() -> Result<()> {
    type Numbers = (Vec<f64>, Vec<Vec<f32>>, Vec<f64>, f64);
    let numbers = |seed: u64| -> Result<Numbers> {
        let model = mixed();
        let fit = short(&model).steps(20).seed(seed).particles(2).run()?;
        let losses = fit.history.steps.iter().map(|report| report.loss).collect();
        let names = fit.params().names();
        let params = names.iter().map(|name| fit.param(name));
        let params = params.collect::<Result<_>>()?;
        let mut draws = Vec::new();
        for site in fit.posterior().sites() {
            for draw in fit.posterior().samples(site)? {
                draws.extend(draw.to_f64s()?);
            }
        }
        Ok((losses, params, draws, fit.posterior().log_evidence().bound))
    };
    let first = numbers(5)?;
    assert_eq!(first, numbers(5)?);
    assert_ne!(first.0, numbers(6)?.0);
    Ok(())
}

#[test]
fn steps_of_ones_own_are_those_of_run() -> Result<()> {
    let model = mixed();
    let run = short(&model).steps(5).seed(2).run()?;
    let mut own = short(&model).seed(2);
    for wanted in &run.history.steps {
        let report = own.step()?;
        assert_eq!((report.step, report.loss), (wanted.step, wanted.loss));
        assert!(report.evaluations >= 1);
        assert_eq!(report.elbo(), -report.loss);
    }
    let posterior = own.posterior(3)?;
    let sites: Vec<_> = posterior.sites().collect();
    assert_eq!(sites, run.posterior().sites().collect::<Vec<_>>());
    assert_eq!(posterior.means("kind")?, run.posterior().means("kind")?);
    Ok(())
}

#[test]
fn programs_without_choices_and_with_very_many_train() -> Result<()> {
    #[model]
    fn likelihood(data: &Tensor) {
        let mean = param!(0.0);
        observe!(Normal(&mean, 1.0), data);
    }
    let data = Tensor::from_slice(&[1.0, 2.0, 3.0]);
    let model = likelihood(&data);
    let fit = short(&model).steps(500).optimizer(Adam::new(0.05)).run()?;
    assert_near(f64::from(fit.param("mean")?[0]), 2.0, 0.01);
    assert!(fit.plan().entries.is_empty());

    #[model]
    fn many(sites: usize) {
        let mut heads = 0.0;
        for _ in 0..sites {
            let h = sample!(Bernoulli(0.5));
            heads += f64::from(u8::from(h));
        }
        observe!(Normal(heads, 1.0), 100.0);
    }
    let fit = short(&many(150)).run()?;
    assert_eq!(fit.plan().entries.len(), 150);
    Ok(())
}

#[test]
fn means_have_the_shape_of_the_draws() -> Result<()> {
    #[model]
    fn model() {
        let x = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0));
        observe!(Normal(&x, 1.0), x.ones_like(), name = "data");
    }
    #[model]
    fn guide() {
        let loc = param!(0.5);
        let _x = sample!(Normal(&loc, Tensor::ones([3], &Device::cpu())));
    }
    let (model, guide) = (model(), guide());
    let posterior = short(&model).guide(&guide).posterior(5)?;
    assert_eq!(posterior.means("x")?, [0.5; 3]);
    Ok(())
}

#[test]
fn a_guide_of_ones_own_can_share_its_sites_parameters_over_rows() -> Result<()> {
    #[model]
    fn rows(data: &Tensor) {
        plate!(data.rows(), of = 100 => {
            let z = sample!(Normal(Tensor::scalar(0.0), 1.0));
            observe!(Normal(&z, 1.0), data);
        });
    }
    #[model]
    fn encoder(data: &Tensor) {
        let slope = param!(0.0);
        let log_scale = param!(0.0);
        plate!(data.rows(), of = 100 => {
            let _z = sample!(Normal(data * &slope, log_scale.exp()));
        });
    }
    let data = Tensor::from_slice(&[-1.5, 0.3, 0.8, 2.2, -0.4]);
    let (model, guide) = (rows(&data), encoder(&data));
    let fit = Svi::new(&model)
        .guide(&guide)
        .steps(800)
        .optimizer(Adam::new(0.02))
        .progress(false)
        .run()?;
    // z | x is Normal(x / 2, 1 / √2).
    assert_near(f64::from(fit.param("slope")?[0]), 0.5, 0.05);
    assert_near(
        f64::from(fit.param("log_scale")?[0]).exp(),
        0.5f64.sqrt(),
        0.05,
    );
    Ok(())
}

/// Two host values, each with a prior of its own, the second drawn from the first.
#[model]
fn lawn(wet: bool) {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    observe!(Bernoulli(if rain || sprinkler { 0.9 } else { 0.1 }), wet);
}

#[test]
fn gradients_of_host_values_count_their_priors() -> Result<()> {
    #[model]
    fn guide() {
        let rain_logit = param!(0.3);
        let if_rain = param!(0.5);
        let if_dry = param!(-0.4);
        let rain = sample!(Bernoulli(logits = rain_logit));
        let logit = if rain.to_bool()? { if_rain } else { if_dry };
        let _sprinkler = sample!(Bernoulli(logits = logit));
    }
    const DRAWS: u64 = 20_000;
    let (model, guide) = (lawn(true), guide());
    let objective = Elbo::new(&model).guide(&guide);
    let mut trainer = Trainer::new(5);
    let (mut sums, mut squares) = (BTreeMap::new(), BTreeMap::new());
    for step in 0..DRAWS {
        let key = Key {
            step,
            ..Key::new(7)
        };
        for (parameter, gradient) in trainer.gradients(&objective, key)?.parameters {
            let g = f64::from(gradient.item()?);
            *sums.entry(parameter.key()).or_insert(0.0) += g;
            *squares.entry(parameter.key()).or_insert(0.0) += g * g;
        }
    }
    for (parameter, exact) in exact_gradient(&objective, trainer.params())?.1 {
        let mean = sums[&parameter.key()] / DRAWS as f64;
        let variance = squares[&parameter.key()] / DRAWS as f64 - mean * mean;
        let standard_error = (variance / DRAWS as f64).sqrt();
        assert_near(mean, f64::from(exact.item()?), 4.0 * standard_error);
    }
    Ok(())
}

#[test]
fn a_plate_of_categoricals_has_no_single_marginal() -> Result<()> {
    #[model]
    fn rows() {
        plate!(3 => {
            let _kind = sample!(OneHotCategorical(probs = Tensor::full([3, 2], 0.5, &Device::cpu())));
        });
    }
    let fit = short(&rows()).run()?;
    assert!(fit.posterior().marginal("kind").is_err());
    assert_eq!(fit.posterior().means("kind")?.len(), 6);
    Ok(())
}

#[test]
fn an_estimator_is_chosen_by_a_name_without_indices() -> Result<()> {
    #[model]
    fn part() {
        let h = sample!(Bernoulli(0.3));
        observe!(Bernoulli(if h { 0.9 } else { 0.2 }), true, name = "seen");
    }
    #[model]
    fn twice() {
        for _ in 0..2 {
            call!(part(), name = "step");
        }
    }
    let model = twice();
    let fit = short(&model)
        .site_estimator("step/h", Reinforce::default())
        .site_estimator("step[1]/h", Relax::free_form())
        .run()?;
    let chosen: Vec<_> = fit.plan().entries.iter().map(|e| e.estimator).collect();
    assert_eq!(chosen, ["reinforce", "relax-free-form"]);
    Ok(())
}

#[test]
fn a_site_cannot_be_discrete_on_some_paths_only() {
    #[model]
    fn either() {
        let w = param!(0.0);
        if sample!(Bernoulli(0.5), name = "gate") {
            let x = sample!(Normal(&w, 1.0));
            cost!(x.square());
        } else {
            let x = sample!(Bernoulli(logits = &w));
            cost!(x.square());
        }
    }
    let program = either();
    let run = Minimize::new(&program).steps(50).progress(false).run();
    assert_says(&error(run), &["site `x`", "Bernoulli", "Normal", "names"]);
}

/// A long run has many reports of the same sites.
#[test]
fn reports_share_the_names_of_sites() -> Result<()> {
    #[model]
    fn flips() {
        for _ in 0..3 {
            let b = sample!(Bernoulli(0.3));
            observe!(Normal(if b { 1.0 } else { 0.0 }, 1.0), 0.2);
        }
    }
    let model = flips();
    let drawn = Svi::new(&model).draw_all().estimator(Rloo::default());
    let joint = Svi::new(&model).draw_all().estimator(Enumerate::default());
    for svi in [drawn, joint] {
        let fit = svi.steps(3).progress(false).run()?;
        let [first, .., last] = &fit.history.steps[..] else {
            panic!("{:?}", fit.history);
        };
        assert_eq!(first.sites.len(), 3);
        let mut pairs = first.sites.iter().zip(&last.sites);
        assert!(pairs.all(|(a, b)| std::sync::Arc::ptr_eq(&a.name, &b.name)));
        assert!(last.site("b[2]").is_some());
    }
    Ok(())
}

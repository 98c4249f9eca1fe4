//! Draws by Hamiltonian Monte Carlo started from a fit, against quadrature and closed forms.

use relax_runtime::infer::{Draws, Finding, MeanFieldGuide};
use relax_runtime::prelude::*;

use crate::assert_near;

/// A scale and what it scales.
#[model]
fn funnel() {
    let v = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let x = sample!(Normal(Tensor::scalar(0.0), v.exp()));
    observe!(Normal(x, 1.0), 3.0);
}

/// Means and standard deviations of v and x, by quadrature over v.
fn of_funnel() -> [(f64, f64); 2] {
    let mut sums = [0.0; 5];
    for step in -80_000..80_000 {
        let v = f64::from(step) * 1e-4;
        let variance = (2.0 * v).exp();
        let weight = (-0.5 * (v * v + 9.0 / (variance + 1.0))).exp() / (variance + 1.0).sqrt();
        let (mean, rest) = (
            3.0 * variance / (variance + 1.0),
            variance / (variance + 1.0),
        );
        let terms = [1.0, v, v * v, mean, mean * mean + rest];
        sums.iter_mut()
            .zip(terms)
            .for_each(|(sum, x)| *sum += weight * x);
    }
    let moments = |first: usize| {
        let mean = sums[first] / sums[0];
        (mean, (sums[first + 1] / sums[0] - mean * mean).sqrt())
    };
    [moments(1), moments(3)]
}

/// The number of a site in each draw.
fn numbers(posterior: &Draws, site: &str) -> Result<Vec<f64>> {
    let records = posterior.records()?;
    records.map(|draw| Ok(draw.numbers(site)?[0])).collect()
}

#[track_caller]
pub(super) fn expect_moments(
    posterior: &Draws,
    site: &str,
    at: usize,
    (mean, sd): (f64, f64),
) -> Result<()> {
    let found = (posterior.means(site)?[at], posterior.sds(site)?[at]);
    let near = (found.0 - mean).abs() < 0.1 * sd && (found.1 / sd - 1.0).abs() < 0.15;
    assert!(near, "{site} {at}: {found:?}, not {:?}", (mean, sd));
    Ok(())
}

#[test]
fn a_funnel_is_drawn_to_its_ends() -> Result<()> {
    let model = funnel();
    let svi = || Svi::new(&model).posterior_draws(2_000).seed(1);
    let fit = svi().hmc(true).run()?;
    let posterior = fit.posterior();
    let [v, x] = of_funnel();
    expect_moments(posterior, "v", 0, v)?;
    expect_moments(posterior, "x", 0, x)?;
    let mixing = posterior.mixing().expect("chains");
    assert!(
        mixing.r_hat < 1.05 && mixing.effective_samples > 400.0,
        "{mixing:?}"
    );
    // Where the funnel is narrowest, trajectories leave it, at some places more often than at others.
    let is_known = |finding: &Finding| matches!(finding, Finding::Diverges { .. });
    assert!(
        fit.verdict().findings.iter().all(is_known),
        "{}",
        fit.verdict()
    );
    // The draws are the posterior's as they are.
    assert_eq!(posterior.weighted()?.mean("v")?, posterior.mean("v")?);
    assert!(posterior.importance_weights().is_err());
    // The same seed makes the same draws.
    assert_eq!(
        svi().hmc(true).run()?.posterior().mean("v")?,
        posterior.mean("v")?
    );
    let guided = svi().hmc(false).run()?;
    assert!(guided.posterior().mixing().is_none());
    Ok(())
}

/// Whose guide has too short a tail.
#[model]
fn tailed(x: &Tensor) {
    let scale = sample!(HalfCauchy(Tensor::scalar(1.0)));
    let mean = sample!(Normal(Tensor::scalar(0.0), 10.0));
    plate!(x.rows() => {
        observe!(Normal(mean, scale), x);
    })
}

#[test]
fn chains_draw_unasked_where_the_guide_is_far_from_the_posterior() -> Result<()> {
    let x = Tensor::from_slice(&[-0.6, 0.3]);
    let model = tailed(&x);
    let svi = || Svi::new(&model).posterior_draws(2_000).seed(2);
    let guided = svi().hmc(false).run()?;
    let k = guided.verdict().pareto_k;
    assert!(k.is_some_and(|k| k > 0.5), "{k:?}");
    let fit = svi().run()?;
    assert!(fit.posterior().mixing().is_some());
    // By quadrature over the logarithm of the scale, the mean integrated out.
    let (mut sums, x) = ([0.0; 3], [-0.6_f64, 0.3]);
    for step in -70_000..70_000 {
        let log_scale = f64::from(step) * 1e-4;
        let scale = log_scale.exp();
        let (a, b) = (scale * scale, 100.0);
        // x has variances a + b and covariance b.
        let determinant = a * (a + 2.0 * b);
        let square = ((a + b) * (x[0] * x[0] + x[1] * x[1]) - 2.0 * b * x[0] * x[1]) / determinant;
        let weight = scale / (1.0 + a) * (-0.5 * square).exp() / determinant.sqrt();
        let terms = [1.0, log_scale, log_scale * log_scale];
        sums.iter_mut()
            .zip(terms)
            .for_each(|(sum, x)| *sum += weight * x);
    }
    let mean = sums[1] / sums[0];
    let sd = (sums[2] / sums[0] - mean * mean).sqrt();
    let logs: Vec<f64> = numbers(fit.posterior(), "scale")?
        .iter()
        .map(|x| x.ln())
        .collect();
    let found = logs.iter().sum::<f64>() / logs.len() as f64;
    let spread = logs.iter().map(|x| (x - found).powi(2)).sum::<f64>() / logs.len() as f64;
    assert!((found - mean).abs() < 0.1 * sd, "{found}, not {mean}");
    assert!(
        (spread.sqrt() / sd - 1.0).abs() < 0.15,
        "{}, not {sd}",
        spread.sqrt()
    );
    // What was chosen stays.
    let fit = svi().guide(&MeanFieldGuide).run()?;
    assert!(fit.posterior().mixing().is_none());
    let fit = svi().steps(2_000).run()?;
    assert!(fit.posterior().mixing().is_none());
    Ok(())
}

/// Laws over all kinds of supports, one of which moves.
#[model]
fn supports() -> [Tensor; 4] {
    let a = sample!(Gamma(concentration = Tensor::scalar(3.0), rate = 2.0));
    let b = sample!(Beta(Tensor::scalar(2.0), 5.0));
    let c = sample!(Dirichlet(Tensor::from_slice(&[2.0, 3.0, 4.0])));
    let d = sample!(Uniform(Tensor::scalar(0.0), a));
    let e = sample!(Normal(
        Tensor::from_slice(&[1.0, -2.0]),
        Tensor::from_slice(&[0.1, 5.0])
    ));
    [b, c, d, e]
}

#[test]
fn priors_come_back_from_unconstrained_numbers() -> Result<()> {
    let model = supports();
    let fit = Svi::new(&model)
        .hmc(true)
        .posterior_draws(4_000)
        .seed(3)
        .run()?;
    let posterior = fit.posterior();
    expect_moments(posterior, "a", 0, (1.5, 0.75_f64.sqrt()))?;
    expect_moments(
        posterior,
        "b",
        0,
        (2.0 / 7.0, (10.0_f64 / (49.0 * 8.0)).sqrt()),
    )?;
    for (at, alpha) in [2.0, 3.0, 4.0_f64].into_iter().enumerate() {
        let sd = (alpha * (9.0 - alpha) / (81.0 * 10.0)).sqrt();
        expect_moments(posterior, "c", at, (alpha / 9.0, sd))?;
    }
    // E[d²] = E[a²]/3.
    expect_moments(posterior, "d", 0, (0.75, (1.0 - 0.5625_f64).sqrt()))?;
    expect_moments(posterior, "e", 0, (1.0, 0.1))?;
    expect_moments(posterior, "e", 1, (-2.0, 5.0))
}

/// A choice that moves an observation, and a number that does, too.
#[model]
fn moved() {
    let is_moved = sample!(Bernoulli(Tensor::scalar(0.3)));
    let mean = sample!(Normal(Tensor::scalar(0.0), 1.0));
    observe!(Normal(mean + is_moved * 2.0, 1.0), 1.5);
}

#[test]
fn choices_that_are_summed_out_are_drawn_given_the_others() -> Result<()> {
    let model = moved();
    let fit = Svi::new(&model)
        .hmc(true)
        .posterior_draws(4_000)
        .seed(4)
        .run()?;
    let density = |by: f64| (-0.25 * (1.5 - by).powi(2)).exp();
    let (moved, still) = (0.3 * density(2.0), 0.7 * density(0.0));
    let wanted = moved / (moved + still);
    let posterior = fit.posterior();
    assert!((posterior.mean("is_moved")? - wanted).abs() < 0.02);
    let (if_moved, if_still) = (-0.25, 0.75);
    let mean = wanted * if_moved + (1.0 - wanted) * if_still;
    let variance = 0.5 + wanted * (1.0 - wanted) * 1.0;
    expect_moments(posterior, "mean", 0, (mean, variance.sqrt()))?;
    // Together, too.
    let both = posterior.expectation(|draw| {
        let number = |site| draw.numbers(site).map_or(f64::NAN, |x| x[0]);
        number("is_moved") * number("mean")
    })?;
    assert!((both - wanted * if_moved).abs() < 0.04, "{both}");
    Ok(())
}

#[test]
fn a_fit_of_chains_is_saved_and_loaded() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::user)?;
    let path = folder.path().join("funnel.fit");
    let model = funnel();
    let svi = || Svi::new(&model).hmc(true).seed(5);
    let fit = svi().run()?;
    fit.save(&path)?;
    let loaded = svi().load(&path)?;
    assert_eq!(
        numbers(loaded.posterior(), "v")?,
        numbers(fit.posterior(), "v")?
    );
    assert_eq!(loaded.posterior().mixing(), fit.posterior().mixing());
    Ok(())
}

#[model]
fn on_a_path() {
    let there = sample!(Bernoulli(0.5));
    if there {
        let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
        observe!(Normal(x, 1.0), 0.3);
    }
}

#[model]
fn counted(rows: usize) {
    let mean = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(rows, of = 10 => {
        observe!(Normal(mean, Tensor::ones([rows], &Device::cpu())), Tensor::zeros([rows], &Device::cpu()));
    })
}

#[model]
fn on_a_slope() {
    let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
    if x.item()? > 0.0 {
        let y = sample!(Normal(Tensor::scalar(0.0), 1.0));
    }
}

/// A law that has no bijection.
#[model]
fn fixed() {
    let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let at = sample!(Delta(&x));
    observe!(Normal(at, 1.0), 0.3);
}

#[test]
fn what_chains_cannot_do_is_refused() {
    let error = |svi: Svi<'_>| {
        let outcome = svi.hmc(true).progress(false).seed(1).run();
        outcome.map(|_| ()).expect_err("it is refused").to_string()
    };
    let model = moved();
    // Before any of so many steps.
    let message = error(Svi::new(&model).draw_all().steps(1 << 40));
    assert!(
        message.contains("`is_moved` is a discrete choice"),
        "{message}"
    );
    let model = on_a_path();
    let message = error(Svi::new(&model).draw_all().steps(1 << 40));
    assert!(message.contains("there"), "{message}");
    let model = on_a_slope();
    // Training might have led to where all runs have the same choices.
    let message = error(Svi::new(&model).steps(3));
    assert!(message.contains("some runs reach `y`"), "{message}");
    let model = fixed();
    let message = error(Svi::new(&model).steps(1 << 40));
    assert!(message.contains("no unconstrained numbers"), "{message}");
    let model = counted(3);
    let message = error(Svi::new(&model).steps(1 << 40));
    assert!(message.contains("does not count exactly once"), "{message}");
}

/// Whether one is left is told by the other alone.
#[model]
fn two_places(x: &Tensor) {
    let place = sample!(Normal(Tensor::scalar(0.0), 5.0));
    observe!(Normal(place.square(), 0.5), x);
}

#[test]
fn chains_that_do_not_agree_are_told_of() -> Result<()> {
    let x = Tensor::scalar(16.0);
    let model = two_places(&x);
    let fit = Svi::new(&model).hmc(true).seed(1).run()?;
    let verdict = fit.verdict();
    // All start at one of the places, where they agree, or some at either.
    let told = verdict
        .findings
        .iter()
        .any(|x| matches!(x, Finding::NotMixed { .. }));
    let values = numbers(fit.posterior(), "place")?;
    let right = values.iter().filter(|x| **x > 0.0).count();
    assert_eq!(told, right != 0 && right != values.len(), "{verdict}");
    Ok(())
}

/// How many were asked, if of five times so many said yes?
#[model]
fn survey(yeses: &[usize]) {
    let theta = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let n = sample!(DiscreteUniform(Tensor::scalar(1.0), 200));
    for yes in yeses {
        observe!(Binomial(&n, &theta), *yes as f64);
    }
}

#[test]
fn a_guide_whose_bound_is_flat_is_put_right_unasked() -> Result<()> {
    let yeses = [16, 18, 22, 25, 27];
    let model = survey(&yeses);
    let svi = || Svi::new(&model).posterior_draws(1_000).seed(1);
    // θ given n is a Beta, which leaves a sum over n.
    let ln_choose =
        |n: usize, k: usize| -> f64 { (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum() };
    let total: usize = yeses.iter().sum();
    let logs: Vec<(f64, f64, f64)> = (27..=200)
        .map(|n| {
            let (a, b) = ((total + 1) as f64, (5 * n - total + 1) as f64);
            let ways: f64 = yeses.iter().map(|&k| ln_choose(n, k)).sum();
            // ln B(a, b), of whole numbers.
            let ln_beta = -(a + b - 1.0).ln() - ln_choose(5 * n, total);
            let mean = a / (a + b);
            (
                ways + ln_beta,
                mean,
                mean * (1.0 - mean) / (a + b + 1.0) + mean * mean,
            )
        })
        .collect();
    let largest = logs.iter().map(|x| x.0).fold(f64::NEG_INFINITY, f64::max);
    let mut sums = [0.0; 3];
    for (log, mean, square) in logs {
        let weight = (log - largest).exp();
        let terms = [1.0, mean, square];
        sums.iter_mut()
            .zip(terms)
            .for_each(|(sum, x)| *sum += weight * x);
    }
    let mean = sums[1] / sums[0];
    let sd = (sums[2] / sums[0] - mean * mean).sqrt();
    let guided = svi().hmc(false).run()?;
    let apart = (guided.posterior().mean("theta")? - mean).abs();
    assert!(apart > 0.2 * sd, "{apart}, of {sd}");
    let fit = svi().run()?;
    expect_moments(fit.posterior(), "theta", 0, (mean, sd))?;
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    assert_eq!(fit.predictive(&model, 100)?.len(), 100);
    Ok(())
}

/// How many there were, of whom some were seen; at least four were.
#[model]
fn thinned(seen: usize) {
    let all = sample!(Truncated(Poisson(10.0), 4, f64::INFINITY));
    observe!(Binomial(all, 0.3), seen);
}

/// The guide, a truncated Poisson too, is wider than the posterior by a fifth: what was not seen is Poisson(7).
#[test]
fn draws_that_are_too_wide_count_by_their_weights() -> Result<()> {
    let model = thinned(4);
    let known = (11.0, 7.0_f64.sqrt());
    let run = || Svi::new(&model).seed(1).posterior_draws(1_000);
    let fit = run().run()?;
    assert!(fit.posterior().mixing().is_none(), "{}", fit.verdict());
    let guide = run().hmc(false).run()?.posterior().sd("all")?;
    assert!(guide > 1.15 * known.1, "{guide}");
    expect_moments(fit.posterior(), "all", 0, known)?;
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    Ok(())
}

/// Three groups, whose prior is 100 wide.
#[model]
fn groups(x: &Tensor) {
    let shares = sample!(Dirichlet(Tensor::ones([3], &Device::cpu())));
    let mu = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 100.0));
    let sigma = sample!(HalfNormal(Tensor::full([3], 100.0, &Device::cpu())));
    plate!(x.rows() => {
        let group = sample!(OneHotCategorical(probs = shares.broadcast_to([x.rows(), 3])));
        observe!(Normal(group.matmul(&mu), group.matmul(&sigma)), x);
    })
}

/// From draws of the prior, or its middle, one group takes all data, and none speak for the others.
#[test]
fn groups_of_vague_priors_come_to_their_data() -> Result<()> {
    const CENTRES: [f32; 3] = [9.0, 18.0, 30.0];
    let spread = |i: usize| ((i * 7 % 20) as f32 - 9.5) / 9.5;
    let x: Vec<f32> = CENTRES
        .iter()
        .flat_map(|centre| (0..20).map(move |i| centre + spread(i)))
        .collect();
    let x = Tensor::from_slice(&x);
    let model = groups(&x);
    let find = |svi: Svi<'_>| -> Result<(Fit, Vec<f64>)> {
        let fit = svi.run()?;
        let mut means = fit.posterior().means("mu")?;
        means.sort_by(f64::total_cmp);
        Ok((fit, means))
    };
    let are_right = |means: &[f64]| {
        let mut pairs = means.iter().zip(CENTRES);
        pairs.all(|(mean, centre)| (mean - f64::from(centre)).abs() < 0.1)
    };
    let (_, once) = find(Svi::new(&model).seed(1).starts(1))?;
    assert!(!are_right(&once), "{once:?}");
    for seed in 1..=3 {
        let (fit, means) = find(Svi::new(&model).seed(seed))?;
        assert!(are_right(&means), "{seed}: {means:?}");
        if seed == 1 {
            let path = tempfile::tempdir().map_err(Error::user)?;
            let path = path.path().join("groups.fit");
            fit.save(&path)?;
            let loaded = Svi::new(&model).seed(seed).load(&path)?;
            assert_eq!(
                loaded.posterior().means("mu")?,
                fit.posterior().means("mu")?
            );
            let again = Svi::new(&model).seed(seed).run()?;
            assert_eq!(again.posterior().means("mu")?, fit.posterior().means("mu")?);
        }
    }
    Ok(())
}

/// A polynomial of unknown degree: a discrete choice decides how many numbers there are.
#[model]
fn polynomial(points: &[(f64, f64)]) {
    let degree = sample!(DiscreteUniform(0, 3));
    let mut coefficients = Vec::new();
    for _ in 0..=degree {
        let coefficient = sample!(Normal(0.0, 2.0));
        coefficients.push(coefficient);
    }
    for (x, y) in points {
        let mean = coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c);
        observe!(Normal(mean, 0.5), *y);
    }
}

/// A guide may settle where the numbers of one degree fit, and the others hardly count.
#[test]
fn numbers_that_are_not_always_there_are_drawn_by_chains() -> Result<()> {
    let points = (0..10).map(|i| {
        let x = -1.0 + f64::from(i) / 4.5;
        (
            x,
            0.5 + x + 0.6 * x * x + 0.175 * (f64::from(i * 7 % 5) - 2.0),
        )
    });
    let points: Vec<_> = points.collect();
    let model = polynomial(&points);
    let fit = Svi::new(&model).seed(2).run()?;
    let posterior = fit.posterior();
    assert!(posterior.mixing().is_some());
    assert_eq!(posterior.len(), 1_000);
    // By the Gaussian evidence of each degree: 0.000, 0.608, 0.271, 0.121.
    assert_near(posterior.mean("degree")?, 1.512, 0.12);
    assert_near(posterior.mean("coefficient[1]")?, 1.03, 0.1);
    Ok(())
}

/// Three weights, or none: what is known before is wide, and what the data leave narrow.
#[model]
fn spike_and_slab(data: &[f64]) {
    let on = sample!(Bernoulli(0.5));
    if on {
        for &y in data {
            let weight = sample!(Normal(0.0, 5.0));
            observe!(Normal(weight, 0.2), y, name = "near");
        }
    } else {
        for &y in data {
            observe!(Normal(0.0, 0.45), y, name = "off");
        }
    }
}

/// Where runs do without numbers, chains are to come back from there.
#[test]
fn chains_go_to_and_from_where_numbers_are_not_there() -> Result<()> {
    let data = [1.0, 0.9, 1.1];
    let log_normal = |y: f64, sd: f64| -0.5 * (y / sd).powi(2) - sd.ln();
    let wide = (25.0_f64 + 0.04).sqrt();
    let evidence = |sd: f64| data.iter().map(|&y| log_normal(y, sd)).sum::<f64>();
    let exact = 1.0 / (1.0 + (evidence(0.45) - evidence(wide)).exp());
    assert!((0.2..0.8).contains(&exact), "{exact}");
    let model = spike_and_slab(&data);
    for svi in [Svi::new(&model), Svi::new(&model).hmc(true)] {
        let fit = svi.seed(1).run()?;
        assert!(fit.posterior().mixing().is_some());
        assert_near(fit.posterior().mean("on")?, exact, 0.1);
    }
    Ok(())
}

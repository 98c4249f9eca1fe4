//! Posteriors at default settings for numbers of any size, and far from their priors.

use relax_runtime::Result;
use relax_runtime::infer::{Ending, FullRankGuide, Objective, Stage};
use relax_runtime::prelude::*;

/// Incomes: a location of tens of thousands, by data that know it to a few hundred.
#[model]
fn incomes(data: &[f64]) {
    let mean = sample!(Normal(Tensor::scalar(50_000.0), 20_000.0));
    for &x in data {
        observe!(Normal(&mean, 5_000.0), x);
    }
}

/// The same in another currency.
#[model]
fn in_millions(data: &[f64]) {
    let mean = sample!(Normal(Tensor::scalar(0.05), 0.02));
    for &x in data {
        observe!(Normal(&mean, 0.005), x / 1e6);
    }
}

/// The posterior of a mean with a Gaussian prior and known spread of the data.
fn conjugate(prior: (f64, f64), spread: f64, data: &[f64]) -> (f64, f64) {
    let precision = prior.1.powi(-2) + data.len() as f64 * spread.powi(-2);
    let sum: f64 = data.iter().sum();
    let mean = (prior.0 * prior.1.powi(-2) + sum * spread.powi(-2)) / precision;
    (mean, precision.powf(-0.5))
}

#[test]
fn units_of_measurement_do_not_matter() -> Result<()> {
    let data: Vec<f64> = (0..30)
        .map(|i| 61_000.0 + 5_000.0 * (0.7 * f64::from(i)).sin())
        .collect();
    let (mean, sd) = conjugate((50_000.0, 20_000.0), 5_000.0, &data);
    let (incomes, in_millions) = (incomes(&data), in_millions(&data));
    let fits = [
        (Svi::new(&incomes), 1.0),
        (Svi::new(&incomes).guide(&FullRankGuide), 1.0),
        (Svi::new(&in_millions), 1e6),
    ];
    for (svi, unit) in fits {
        let fit = svi.seed(1).run()?;
        assert!(
            matches!(fit.ending(), Ending::Settled(steps) if steps < 5_000),
            "{:?}",
            fit.ending()
        );
        let posterior = fit.posterior();
        let (found, spread) = (posterior.mean("mean")? * unit, posterior.sd("mean")? * unit);
        assert!(
            (found - mean).abs() < 0.15 * sd,
            "{found} instead of {mean}"
        );
        assert!((spread / sd - 1.0).abs() < 0.15, "{spread} instead of {sd}");
    }
    Ok(())
}

/// A line through points far from the origin: its intercept and slope are known together to a hundredth of
/// what either is known to alone.
#[model]
fn line(points: &[(f64, f64)]) {
    let intercept = sample!(Normal(Tensor::scalar(0.0), 10.0));
    let slope = sample!(Normal(Tensor::scalar(0.0), 10.0));
    for &(x, y) in points {
        observe!(Normal(&intercept + &slope * x as f32, 0.3), y);
    }
}

fn points() -> Vec<(f64, f64)> {
    let point = |i: u32| {
        let x = 100.0 + 0.5 * f64::from(i);
        (x, 3.0 + 0.2 * x + 0.3 * (0.37 * f64::from(i * i)).sin())
    };
    (0..40).map(point).collect()
}

#[test]
fn numbers_that_are_known_together_are_found() -> Result<()> {
    let points = points();
    // (XᵀX/σ² + 1/10²)⁻¹, and that times Xᵀy/σ².
    let weigh = |of: fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|&(x, y)| of(x, y)).sum::<f64>() / 0.09
    };
    let (one, x, xx) = (
        weigh(|_, _| 1.0) + 0.01,
        weigh(|x, _| x),
        weigh(|x, _| x * x) + 0.01,
    );
    let (y, xy) = (weigh(|_, y| y), weigh(|x, y| x * y));
    let determinant = one * xx - x * x;
    let exact = [
        (
            "intercept",
            (xx * y - x * xy) / determinant,
            (xx / determinant).sqrt(),
        ),
        (
            "slope",
            (one * xy - x * y) / determinant,
            (one / determinant).sqrt(),
        ),
    ];
    let fit = Svi::new(&line(&points)).seed(1).run()?;
    for (site, mean, sd) in exact {
        let (found, spread) = (fit.posterior().mean(site)?, fit.posterior().sd(site)?);
        assert!(
            (found - mean).abs() < 0.2 * sd,
            "{site}: {found} instead of {mean} +- {sd}"
        );
        assert!(
            (spread / sd - 1.0).abs() < 0.15,
            "{site}: {spread} instead of {sd}"
        );
    }
    Ok(())
}

/// Numbers that follow others of their own row, of all rows, and beside a coin.
#[model]
fn rows(seen: &Tensor) {
    let shared = sample!(Normal(Tensor::scalar(3.0), 2.0));
    plate!(3 => {
        let coin = sample!(Bernoulli(Tensor::from_slice(&[0.2, 0.5, 0.8])));
        let own = sample!(Normal(Tensor::from_slice(&[10.0, 20.0, 30.0]), 2.0));
        let next = sample!(Normal(&own * 2.0 + &coin, 5.0));
        observe!(Normal(&next + &own + &shared, 0.5), seen);
    })
}

/// Written in other units, a guide is the same: draws are what they were, but for rounding.
#[test]
fn laws_stay_what_they_are_when_a_guide_adapts() -> Result<()> {
    let (points, seen) = (points(), Tensor::from_slice(&[33.0, 64.0, 95.0]));
    let (line, rows) = (line(&points), rows(&seen));
    let cases: [(&dyn Program, &[&str], &str); 2] = [
        (&line, &["intercept", "slope"], "slope.centre of intercept"),
        (&rows, &["shared", "own", "next"], "next.spread of own"),
    ];
    for (model, sites, known) in cases {
        let mut svi = Svi::new(model)
            .draw_all()
            .optimizer(Adam::new(0.05))
            .seed(1);
        // Once all has settled scales follow, too, and are measured anew in turn.
        let stages = [Stage::OnTheWay, Stage::Settled, Stage::OnTheWay];
        for (round, stage) in (0..).zip(stages) {
            for _ in 0..200 {
                svi.step()?;
            }
            let before = svi.posterior(40)?;
            Elbo::new(model).adapt(Key::new(round), svi.trainer().params(), stage)?;
            assert!(svi.trainer().params().get(known).is_some(), "{known}");
            let after = svi.posterior(40)?;
            for site in sites {
                let spreads = before.sds(site)?;
                for (a, b) in before.records()?.zip(after.records()?) {
                    let pairs = a.numbers(site)?.into_iter().zip(b.numbers(site)?);
                    for ((a, b), spread) in pairs.zip(&spreads) {
                        assert!((a - b).abs() < 1e-3 * spread, "{site}: {a} became {b}");
                    }
                }
            }
        }
        let slope = known.replace("centre of", "log_scale.slope by");
        let slope = slope.replace("spread of", "log_scale.slope by");
        let slope = svi.trainer().params().get(&slope).expect("scales follow");
        assert!(slope.to_vec()?.iter().any(|x| *x != 0.0));
    }
    Ok(())
}

/// What a guide measures from is saved with the numbers that it gives their meaning.
#[test]
fn a_fit_that_has_adapted_is_loaded_as_it_was() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::user)?;
    let (path, points) = (folder.path().join("line"), points());
    let model = line(&points);
    let fit = Svi::new(&model).seed(1).run()?;
    assert!(fit.param("slope.centre of intercept")?[0] != 0.0);
    fit.save(&path)?;
    let loaded = Svi::new(&model).seed(1).load(&path)?;
    for site in ["intercept", "slope"] {
        assert_eq!(loaded.posterior().mean(site)?, fit.posterior().mean(site)?);
        assert_eq!(loaded.posterior().sd(site)?, fit.posterior().sd(site)?);
    }
    Ok(())
}

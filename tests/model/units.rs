//! Posteriors at default settings whose numbers are of any size, and far from where their priors are.

use relax_runtime::Result;
use relax_runtime::infer::Ending;
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
    let incomes = Svi::new(&incomes(&data)).seed(1).run()?;
    let in_millions = Svi::new(&in_millions(&data)).seed(1).run()?;
    for (fit, unit) in [(&incomes, 1.0), (&in_millions, 1e6)] {
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

#[test]
fn numbers_that_are_known_together_are_found() -> Result<()> {
    let point = |i: u32| {
        let x = 100.0 + 0.5 * f64::from(i);
        (x, 3.0 + 0.2 * x + 0.3 * (0.37 * f64::from(i * i)).sin())
    };
    let points: Vec<(f64, f64)> = (0..40).map(point).collect();
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

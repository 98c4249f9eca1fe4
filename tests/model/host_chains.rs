//! Chains over host numbers, through which no derivative passes.

use relax_runtime::prelude::*;

use super::chains::expect_moments;

/// A normal of unknown mean and scale, in host numbers alone.
#[model]
fn in_host_numbers(data: &[f64]) {
    let m = sample!(Normal(0.0, 10.0));
    let s = sample!(Exponential(1.0));
    for x in data {
        observe!(Normal(m, s), *x);
    }
}

/// The same with a tensor for the scale, and tensors of data.
#[model]
fn in_both(data: &Tensor) {
    let m = sample!(Normal(0.0, 10.0));
    let s = sample!(Exponential(Tensor::scalar(1.0)));
    plate!(data.rows() => {
        observe!(Normal(m, s), data);
    })
}

/// No derivative passes through host numbers; the guide alone is too narrow by a third for the scale.
#[test]
fn host_numbers_are_moved() -> Result<()> {
    let data = [1.0, 2.0, 4.0, 3.3, 2.1];
    // By the midpoint rule, over both.
    let mut sums = [0.0; 5];
    for i in 0..600 {
        for j in 0..600 {
            let (m, s) = (-8.0 + f64::from(i) / 28.0, (f64::from(j) + 0.5) / 50.0);
            let log = data.iter().map(|x| -0.5 * ((x - m) / s).powi(2) - s.ln());
            let weight = (log.sum::<f64>() - 0.5 * (m / 10.0_f64).powi(2) - s).exp();
            let terms = [1.0, m, m * m, s, s * s];
            let pairs = sums.iter_mut().zip(terms);
            pairs.for_each(|(sum, x)| *sum += weight * x);
        }
    }
    let [one, m, m2, s, s2] = sums;
    let moments = |x: f64, x2: f64| (x / one, (x2 / one - (x / one).powi(2)).sqrt());
    let model = in_host_numbers(&data);
    let guided = Svi::new(&model).hmc(false).seed(1).run()?;
    let narrow = guided.posterior().sd("s")?;
    assert!(narrow < 0.8 * moments(s, s2).1, "{narrow}");
    let fit = Svi::new(&model).seed(1).posterior_draws(1_000).run()?;
    assert!(fit.posterior().mixing().is_some(), "{}", fit.verdict());
    expect_moments(fit.posterior(), "m", 0, moments(m, m2))?;
    expect_moments(fit.posterior(), "s", 0, moments(s, s2))?;
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    let data = Tensor::from_slice(&data.map(|x| x as f32));
    let model = in_both(&data);
    let fit = Svi::new(&model)
        .hmc(true)
        .seed(1)
        .posterior_draws(1_000)
        .run()?;
    expect_moments(fit.posterior(), "m", 0, moments(m, m2))?;
    expect_moments(fit.posterior(), "s", 0, moments(s, s2))
}

/// A site that a run in six does not come by.
#[model]
fn sometimes() {
    let a = sample!(Normal(0.0, 1.0));
    if a < 1.0 {
        sample!(Normal(0.0, 1.0), name = "b");
    }
    observe!(Normal(a, 10.0), 0.0);
}

/// Where the site is absent nothing holds its number, and chains would move it anywhere. Draws of a guide that has not been
/// trained are too near to the middle to come there.
#[test]
fn chains_stay_where_all_sites_are() -> Result<()> {
    let model = sometimes();
    let svi = Svi::new(&model).hmc(true).steps(1).seed(1);
    let fit = svi.posterior_draws(1_000).run()?;
    for record in fit.posterior().records()? {
        assert!(record.numbers("a")?[0] < 1.0);
    }
    expect_moments(fit.posterior(), "b", 0, (0.0, 1.0))
}

/// A series in which each number follows the one before; of those that are not known the model draws one.
#[model]
fn series(seen: &[Option<f64>]) {
    let keeps = sample!(Normal(0.0, 0.5));
    let mut x = 1.0;
    for seen in seen {
        let law = Normal::new(keeps * x, 1.0);
        match seen {
            Some(now) => {
                observe!(law, *now, name = "seen");
                x = *now;
            }
            None => {
                let missing = sample!(law);
                x = missing;
            }
        }
    }
}

/// A series of which one number in three is missing.
fn with_gaps(length: usize) -> Vec<Option<f64>> {
    let mut x: f64 = 1.0;
    let number = |t: usize| {
        x = 0.8 * x + 1.3 * (1.7 * t as f64 * t as f64).sin();
        (t % 3 != 1).then_some(x)
    };
    (0..length).map(number).collect()
}

/// Mean and standard deviation of what a number keeps of the one before, by the midpoint rule: k numbers on the mean is
/// phi to the k-th times what it was.
fn kept(seen: &[Option<f64>]) -> (f64, f64) {
    let log = |phi: f64| {
        let (mut log, mut mean, mut variance) = (-2.0 * phi * phi, 1.0, 0.0);
        for seen in seen {
            mean *= phi;
            variance = phi * phi * variance + 1.0;
            if let Some(now) = seen {
                log -= 0.5 * (now - mean) * (now - mean) / variance + 0.5 * f64::ln(variance);
                (mean, variance) = (*now, 0.0);
            }
        }
        log
    };
    let grid: Vec<f64> = (0..4_000).map(|i| -2.0 + f64::from(i) / 1_000.0).collect();
    let logs: Vec<f64> = grid.iter().map(|&phi| log(phi)).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let all: f64 = weights.iter().sum();
    let moment = |power: i32| {
        let terms = grid.iter().zip(&weights);
        terms.map(|(phi, w)| w * phi.powi(power)).sum::<f64>() / all
    };
    let (mean, square) = (moment(1), moment(2));
    (mean, (square - mean * mean).sqrt())
}

/// Eleven host numbers are moved where a run is short.
#[test]
fn more_host_numbers_are_moved_where_runs_are_short() -> Result<()> {
    let seen = with_gaps(30);
    let model = series(&seen);
    let fit = Svi::new(&model).seed(1).run()?;
    assert!(fit.posterior().mixing().is_some(), "{}", fit.verdict());
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    expect_moments(fit.posterior(), "keeps", 0, kept(&seen))
}

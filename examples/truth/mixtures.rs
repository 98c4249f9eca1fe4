//! Mixtures of normals.

use std::f64::consts::TAU;
use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Known, Table, of, read, tensor};

#[derive(Deserialize)]
struct Data {
    y: Vec<f64>,
}

/// Two components; which is the lower one is for whoever reads the posterior to see.
#[model]
fn low_dim_gauss_mix(y: &Tensor) {
    let share = sample!(Beta(Tensor::scalar(5.0), 5.0));
    let mu = sample!(Normal(Tensor::full([2], 0.0, &Device::cpu()), 2.0));
    let sigma = sample!(HalfNormal(Tensor::full([2], 2.0, &Device::cpu())));
    plate!(y.rows() => {
        let rows = [y.rows()];
        let first = sample!(Bernoulli(share.broadcast_to(rows)));
        let mean = &first * mu.index(0, 0) + (1.0 - &first) * mu.index(0, 1);
        let scale = &first * sigma.index(0, 0) + (1.0 - &first) * sigma.index(0, 1);
        observe!(Normal(mean, scale), y);
    })
}

#[model]
fn normal_2(y: &Tensor) {
    let theta = sample!(Uniform(Tensor::scalar(0.0), 1.0));
    let mu = sample!(Normal(Tensor::full([2], 0.0, &Device::cpu()), 10.0));
    plate!(y.rows() => {
        let first = sample!(Bernoulli(theta.broadcast_to([y.rows()])));
        observe!(Normal(&first * mu.index(0, 0) + (1.0 - &first) * mu.index(0, 1), 1.0), y);
    })
}

/// Where the density of five normals is known, with its logarithm's mean and standard deviation, by NUTS.
const DENSITIES: [(f64, f64, f64); 6] = [
    (-12.0, -3.75217, 0.08305),
    (-8.0, -3.46163, 0.08303),
    (-4.0, -3.03860, 0.08965),
    (0.0, -3.21231, 0.07496),
    (3.0, -1.70874, 0.06761),
    (6.0, -3.32656, 0.07448),
];

/// Any number of components.
#[model]
fn normal_5(y: &Tensor, components: usize) {
    let theta = sample!(Dirichlet(Tensor::ones([components], &Device::cpu())));
    let mu = sample!(Normal(Tensor::zeros([components], &Device::cpu()), 10.0));
    let sigma = sample!(Uniform(Tensor::zeros([components], &Device::cpu()), 10.0));
    plate!(y.rows() => {
        let component = sample!(OneHotCategorical(probs = theta.broadcast_to([y.rows(), components])));
        observe!(Normal(component.matmul(&mu), component.matmul(&sigma)), y);
    })
}

/// Mean and standard deviation of ln Σₖ θₖ N(x; μₖ, σₖ).
fn log_density(posterior: &Posterior, x: f64) -> Outcome<(f64, f64)> {
    let (mut sum, mut squares) = (0.0, 0.0);
    for record in posterior.records()? {
        let [theta, mu, sigma] = ["theta", "mu", "sigma"].map(|site| record.numbers(site));
        let (mu, sigma) = (mu?, sigma?);
        let components = theta?.into_iter().zip(mu).zip(sigma);
        let densities = components.map(|((theta, mu), sigma)| {
            theta * (-0.5 * ((x - mu) / sigma).powi(2)).exp() / (sigma * TAU.sqrt())
        });
        let log = densities.sum::<f64>().ln();
        sum += log;
        squares += log * log;
    }
    let draws = posterior.len() as f64;
    let mean = sum / draws;
    Ok((mean, (squares / draws - mean * mean).sqrt()))
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    let name = "low_dim_gauss_mix";
    if table.wants(name) {
        let data: Data = read(folder, "low_dim_gauss_mix.json")?;
        let fit = table.fit(name, &low_dim_gauss_mix(&tensor(&data.y)))?;
        let low = usize::from(of(&fit, "mu", 0)?.0 > of(&fit, "mu", 1)?.0);
        let (share, sd) = of(&fit, "share", 0)?;
        let share = if low == 0 { share } else { 1.0 - share };
        for (what, found, mean, sd) in [
            ("mu low", of(&fit, "mu", low)?, -2.7335, 0.0420),
            ("mu high", of(&fit, "mu", 1 - low)?, 2.8698, 0.0546),
            ("sigma low", of(&fit, "sigma", low)?, 1.0281, 0.0314),
            ("sigma high", of(&fit, "sigma", 1 - low)?, 1.0238, 0.0405),
            ("share low", (share, sd), 0.6215, 0.0155),
        ] {
            table.row(name, what, found, &Known::Spread(mean, sd));
        }
    }
    let name = "normal_2";
    if table.wants(name) {
        let data: Data = read(folder, "normal_2.json")?;
        let fit = table.fit(name, &normal_2(&tensor(&data.y)))?;
        let low = usize::from(of(&fit, "mu", 0)?.0 > of(&fit, "mu", 1)?.0);
        let (theta, sd) = of(&fit, "theta", 0)?;
        let theta = if low == 0 { theta } else { 1.0 - theta };
        // Made with these; the data's own shares and means are a few hundredths from them.
        table.row(name, "theta low", (theta, sd), &Known::Mean(0.3, 0.04));
        table.row(
            name,
            "mu low",
            of(&fit, "mu", low)?,
            &Known::Mean(-10.0, 0.15),
        );
        table.row(
            name,
            "mu high",
            of(&fit, "mu", 1 - low)?,
            &Known::Mean(10.0, 0.1),
        );
    }
    let name = "normal_5";
    if table.wants(name) {
        let data: Data = read(folder, "normal_5.json")?;
        let fit = table.fit(name, &normal_5(&tensor(&data.y), 5))?;
        // Which component is which differs from mode to mode, and so does how many have data at all; the
        // density of what comes next does not.
        for (at, mean, sd) in DENSITIES {
            let found = log_density(fit.posterior(), at)?;
            let what = format!("ln density at {at}");
            table.row(name, &what, found, &Known::Spread(mean, sd));
        }
    }
    Ok(())
}

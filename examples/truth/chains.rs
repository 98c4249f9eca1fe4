//! Hidden Markov models.

use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Known, Table, of, read, tensor};

#[derive(Deserialize)]
struct Series {
    y: Vec<f64>,
}

/// Two states with means that are apart; the first state is either.
#[model]
fn hmm_example(y: &[f64]) {
    let stay = sample!(Dirichlet(Tensor::full([2], 1.0, &Device::cpu())));
    let leave = sample!(Dirichlet(Tensor::full([2], 1.0, &Device::cpu())));
    let low = sample!(Normal(Tensor::scalar(3.0), 1.0));
    let high = sample!(Normal(Tensor::scalar(10.0), 1.0));
    let rows = Tensor::stack(&[&stay, &leave], 0);
    let means = Tensor::stack(&[&low, &high], 0);
    let mut probs = Tensor::full([2], 0.5, &Device::cpu());
    for y in y {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Normal(state.matmul(&means), 1.0), *y);
        probs = state.matmul(&rows);
    }
}

#[derive(Deserialize)]
struct Drives {
    u: Vec<f64>,
    v: Vec<f64>,
    alpha: Vec<Vec<f64>>,
}

/// Basketball: is the player driving to the hoop? Speed and distance are exponential in each state.
#[model]
fn bball_drive_event_0(data: &Drives) {
    let stay = sample!(Dirichlet(tensor(&data.alpha[0])));
    let leave = sample!(Dirichlet(tensor(&data.alpha[1])));
    let phi_low = sample!(HalfNormal(Tensor::scalar(1.0)));
    let phi_high = sample!(Normal(Tensor::scalar(3.0), 1.0));
    let lambda_low = sample!(HalfNormal(Tensor::scalar(1.0)));
    let lambda_high = sample!(Normal(Tensor::scalar(3.0), 1.0));
    let rows = Tensor::stack(&[&stay, &leave], 0);
    let phi = Tensor::stack(&[&phi_low, &phi_high.abs()], 0);
    let lambda = Tensor::stack(&[&lambda_low, &lambda_high.abs()], 0);
    let mut probs = Tensor::full([2], 0.5, &Device::cpu());
    for (u, v) in data.u.iter().zip(&data.v) {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Exponential(state.matmul(&phi)), *u);
        observe!(Exponential(state.matmul(&lambda)), *v);
        probs = state.matmul(&rows);
    }
}

#[derive(Deserialize)]
struct LogDrives {
    u: Vec<f64>,
    v: Vec<f64>,
    alpha: Vec<Vec<f64>>,
    tau: f64,
    rho: f64,
}

/// The same with normal logarithms.
#[model]
fn bball_drive_event_1(data: &LogDrives) {
    let stay = sample!(Dirichlet(tensor(&data.alpha[0])));
    let leave = sample!(Dirichlet(tensor(&data.alpha[1])));
    let phi_low = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let phi_high = sample!(Normal(Tensor::scalar(3.0), 1.0));
    let lambda_low = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let lambda_high = sample!(Normal(Tensor::scalar(3.0), 1.0));
    let rows = Tensor::stack(&[&stay, &leave], 0);
    let phi = Tensor::stack(&[&phi_low, &phi_high], 0);
    let lambda = Tensor::stack(&[&lambda_low, &lambda_high], 0);
    let mut probs = Tensor::full([2], 0.5, &Device::cpu());
    for (u, v) in data.u.iter().zip(&data.v) {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Normal(state.matmul(&phi), data.tau), *u);
        observe!(Normal(state.matmul(&lambda), data.rho), *v);
        probs = state.matmul(&rows);
    }
}

/// Three states, each with a mean and a scale of its own; which is which is for whoever reads the posterior
/// to see.
#[model]
fn hmm_gaussian(y: &[f64]) {
    let states = [3];
    let first = sample!(Dirichlet(Tensor::ones(states, &Device::cpu())));
    let rows = sample!(Dirichlet(Tensor::ones([3, 3], &Device::cpu())));
    let mu = sample!(Normal(Tensor::zeros(states, &Device::cpu()), 100.0));
    let sigma = sample!(HalfNormal(Tensor::full(states, 100.0, &Device::cpu())));
    let mut probs = first;
    for y in y {
        let state = sample!(OneHotCategorical(probs = &probs));
        observe!(Normal(state.matmul(&mu), state.matmul(&sigma)), *y);
        probs = state.matmul(&rows);
    }
}

/// Mean and standard deviation of the size of a number, whose sign the data do not tell.
fn of_size(posterior: &Posterior, site: &str) -> Outcome<(f64, f64)> {
    let (mut sum, mut squares) = (0.0, 0.0);
    for record in posterior.records()? {
        let size = record.numbers(site)?[0].abs();
        sum += size;
        squares += size * size;
    }
    let draws = posterior.len() as f64;
    let mean = sum / draws;
    Ok((mean, (squares / draws - mean * mean).sqrt()))
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    let name = "hmm_example";
    if table.wants(name) {
        let series: Series = read(folder, "hmm_example.json")?;
        let fit = table.fit(name, &hmm_example(&series.y))?;
        let known = [
            ("stay", 0, 0.6666, 0.1012),
            ("leave", 0, 0.0731, 0.0284),
            ("low", 0, 3.0215, 0.2244),
            ("high", 0, 8.8273, 0.1106),
        ];
        table.spreads(name, &fit, &known)?;
    }
    let name = "bball_drive_event_0";
    if table.wants(name) {
        let data: Drives = read(folder, "bball_drive_event_0.json")?;
        let fit = table.fit(name, &bball_drive_event_0(&data))?;
        let known = [
            ("stay", 0, 0.9909, 0.0052),
            ("leave", 0, 0.0353, 0.0201),
            ("phi_low", 0, 1.792, 0.100),
            ("lambda_low", 0, 0.0284, 0.0016),
        ];
        table.spreads(name, &fit, &known)?;
        for (site, mean, sd) in [("phi_high", 6.742, 0.604), ("lambda_high", 0.0760, 0.0101)] {
            let found = of_size(fit.posterior(), site)?;
            table.row(name, site, found, &Known::Spread(mean, sd));
        }
    }
    let name = "bball_drive_event_1";
    if table.wants(name) {
        let data: LogDrives = read(folder, "bball_drive_event_1.json")?;
        let fit = table.fit(name, &bball_drive_event_1(&data))?;
        let known = [
            ("stay", 0, 0.9664, 0.0188),
            ("leave", 0, 0.0089, 0.0051),
            ("phi_low", 0, -2.3445, 0.0112),
            ("phi_high", 0, -0.7443, 0.0056),
            ("lambda_low", 0, 2.4281, 0.0114),
            ("lambda_high", 0, 3.5423, 0.0056),
        ];
        table.spreads(name, &fit, &known)?;
    }
    let name = "hmm_gaussian";
    if table.wants(name) {
        let series: Series = read(folder, "hmm_gaussian_simulated.json")?;
        let fit = table.fit(name, &hmm_gaussian(&series.y))?;
        let mut order: Vec<usize> = (0..3).collect();
        let means = fit.posterior().means("mu")?;
        order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
        let known = [
            ((8.93294, 0.01580), (0.19356, 0.01121)),
            ((18.45768, 0.27537), (3.84329, 0.22523)),
            ((29.50970, 0.19608), (1.76355, 0.13674)),
        ];
        let known_rows = [
            [(0.01961, 0.01224), (0.52159, 0.04337), (0.45880, 0.04232)],
            [(0.55719, 0.03225), (0.30728, 0.03096), (0.13553, 0.02369)],
            [(0.17844, 0.03976), (0.78040, 0.04519), (0.04116, 0.02261)],
        ];
        for (from, &state) in order.iter().enumerate() {
            let (mu, sigma) = known[from];
            for (site, (mean, sd)) in [("mu", mu), ("sigma", sigma)] {
                let what = format!("{site} ({from})");
                let found = of(&fit, site, state)?;
                table.row(name, &what, found, &Known::Spread(mean, sd));
            }
            for (to, (mean, sd)) in known_rows[from].into_iter().enumerate() {
                let what = format!("from {from} to {to}");
                let found = of(&fit, "rows", 3 * state + order[to])?;
                table.row(name, &what, found, &Known::Spread(mean, sd));
            }
        }
    }
    Ok(())
}

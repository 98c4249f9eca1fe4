//! Coal-mining disasters in Britain by year, 1851 to 1961 (Jarrett 1979; as in Carlin, Gelfand and Smith 1992):
//! in which year did they become rarer?
//!
//! Given the year the rates are Gamma, so that all is known by a sum over 111 years.

use relax_runtime::prelude::*;

use crate::known::{fit, near};
use crate::program::Outcome;

const DISASTERS: [u8; 111] = [
    4, 5, 4, 0, 1, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5,
    2, 2, 3, 4, 2, 1, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1,
    0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 1, 4,
    0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1,
];

#[model]
fn coal(years: &Tensor, disasters: &Tensor) {
    let early = sample!(Exponential(Tensor::scalar(1.0)));
    let late = sample!(Exponential(Tensor::scalar(1.0)));
    let change = sample!(DiscreteUniform(0, 110));
    plate!(years.rows() => {
        let rate = years.lt(change as f32).select_where(&early, &late);
        observe!(Poisson(rate), disasters);
    })
}

/// ln p(counts | rate) with the rate, Exponential(1), integrated out (less ln Π k!), and the rate's mean.
fn gamma(counts: &[u8]) -> (f64, f64) {
    let (years, total) = (
        counts.len() as f64,
        counts.iter().map(|&k| f64::from(k)).sum::<f64>(),
    );
    let log_factorial: f64 = (1..=total as u64).map(|k| (k as f64).ln()).sum();
    (
        log_factorial - (1.0 + total) * (1.0 + years).ln(),
        (1.0 + total) / (1.0 + years),
    )
}

/// Posterior means of the year, and of both rates.
fn means() -> [f64; 3] {
    let years = (0..DISASTERS.len()).map(|change| {
        let (before, after) = DISASTERS.split_at(change);
        let ((log_before, early), (log_after, late)) = (gamma(before), gamma(after));
        (log_before + log_after, [change as f64, early, late])
    });
    let years: Vec<_> = years.collect();
    let largest = years
        .iter()
        .map(|(log, _)| *log)
        .fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = years.iter().map(|(log, _)| (log - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    [0, 1, 2].map(|of| {
        let terms = years
            .iter()
            .zip(&weights)
            .map(|((_, means), weight)| weight * means[of]);
        terms.sum::<f64>() / total
    })
}

pub(crate) fn run() -> Outcome<()> {
    let years: Vec<f32> = (0..DISASTERS.len()).map(|year| year as f32).collect();
    let years = Tensor::from_slice(&years);
    let disasters = Tensor::from_slice(&DISASTERS.map(f32::from));
    let fit = fit(&coal(&years, &disasters))?;
    let [change, early, late] = means();
    let posterior = fit.posterior();
    near(
        "year of the change, from 1851",
        posterior.mean("change")?,
        change,
        0.3,
    )?;
    near(
        "disasters a year before",
        posterior.mean("early")?,
        early,
        0.04,
    )?;
    near(
        "disasters a year from then on",
        posterior.mean("late")?,
        late,
        0.02,
    )
}

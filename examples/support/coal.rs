//! Coal-mining disasters in Britain by year, 1851 to 1961 (Jarrett 1979; as in Carlin, Gelfand and Smith 1992): in
//! which year did they become rarer?
//!
//! Given the year the rates are Gamma, so a sum over 111 years gives the exact answer.

use relax_runtime::prelude::*;

const DISASTERS: [u8; 111] = [
    4, 5, 4, 0, 1, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5,
    2, 2, 3, 4, 2, 1, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1,
    0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 1, 4,
    0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1,
];

/// A year in which the rate of disasters changes.
#[model]
pub(crate) fn coal(years: &Tensor, disasters: &Tensor) {
    let early = sample!(Exponential(Tensor::scalar(1.0)));
    let late = sample!(Exponential(Tensor::scalar(1.0)));
    // A tensor, so that one run tells the likelihood of every year.
    let change = sample!(DiscreteUniform(Tensor::scalar(0.0), 110));
    plate!(years.rows() => {
        let rate = years.lt(&change).select_where(&early, &late);
        observe!(Poisson(rate), disasters);
    })
}

/// Data of [`coal`]: the years' numbers, and how many disasters each had.
pub(crate) fn data() -> (Tensor, Tensor) {
    let years: Vec<f32> = (0..DISASTERS.len()).map(|year| year as f32).collect();
    let disasters = DISASTERS.map(f32::from);
    (Tensor::from_slice(&years), Tensor::from_slice(&disasters))
}

/// ln p(counts | rate) with the rate, Exponential(1), integrated out (less ln Π k!), and the rate's mean and
/// mean square.
fn gamma(counts: &[u8]) -> (f64, [f64; 2]) {
    let (years, total) = (
        counts.len() as f64,
        counts.iter().map(|&k| f64::from(k)).sum::<f64>(),
    );
    let log_factorial: f64 = (1..=total as u64).map(|k| (k as f64).ln()).sum();
    let (shape, rate) = (1.0 + total, 1.0 + years);
    (
        log_factorial - shape * rate.ln(),
        [shape / rate, shape * (shape + 1.0) / (rate * rate)],
    )
}

/// Posterior means and standard deviations of the year, and of both rates.
pub(crate) fn known() -> [(f64, f64); 3] {
    let years = (0..DISASTERS.len()).map(|change| {
        let (before, after) = DISASTERS.split_at(change);
        let ((log_before, early), (log_after, late)) = (gamma(before), gamma(after));
        let change = change as f64;
        let moments = [[change, change * change], early, late];
        (log_before + log_after, moments)
    });
    let years: Vec<_> = years.collect();
    let largest = years
        .iter()
        .map(|(log, _)| *log)
        .fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = years.iter().map(|(log, _)| (log - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    [0, 1, 2].map(|of| {
        let [mean, square] = [0, 1].map(|power| {
            let terms = years.iter().zip(&weights);
            let terms = terms.map(|((_, moments), weight)| weight * moments[of][power]);
            terms.sum::<f64>() / total
        });
        (mean, (square - mean * mean).sqrt())
    })
}

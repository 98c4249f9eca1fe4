//! Found values beside known ones.

use relax_runtime::prelude::*;

use crate::program::Outcome;

/// Fits a model at default settings.
pub(crate) fn fit(model: &dyn Program) -> Outcome<Fit> {
    let fit = Svi::new(model).run()?;
    println!("  {}", fit.ending());
    Ok(fit)
}

/// Prints both.
///
/// # Errors
/// If they are further apart than `within`.
pub(crate) fn near(what: &str, found: f64, known: f64, within: f64) -> Outcome<()> {
    println!("  {what:36}{found:10.4}  known {known:.4}");
    match (found - known).abs() <= within {
        true => Ok(()),
        false => Err(format!("{what} is {found}, not within {within} of {known}").into()),
    }
}

/// ln Σ eˣ.
pub(crate) fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// ln N(x; mean, variance).
pub(crate) fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln())
}

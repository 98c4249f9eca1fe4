//! Peaks of a target's density: how to climb them, and how wide the density is there.

use crate::error::{Error, Result};
use crate::infer::target::Target;

/// Rates at the beginning and the end of a climb, in units of each number.
const RATES: (f64, f64) = (0.5, 0.05);
/// Decay rates of Adam's averages of slopes and of their squares.
const KEEPS: (f64, f64) = (0.9, 0.99);

/// A place to which a target's density has been climbed.
pub(super) struct Peak {
    pub(super) place: Vec<f64>,
    /// The standard deviations of a Gaussian with the same curvature along each number, the others held.
    pub(super) spreads: Vec<f64>,
    /// The logarithm of the integral of that Gaussian, up to a constant (Laplace's approximation).
    pub(super) log_evidence: f64,
}

/// Climbs from a place by this many steps of Adam, each of which moves a number by a share of its unit. Spreads are
/// looked for in units, and are at most `most`.
///
/// # Errors
/// Any error from the model on the way, or a slope that is not finite.
pub(super) fn above(
    target: &Target<'_>,
    mut place: Vec<f64>,
    units: &[f64],
    most: &[f64],
    steps: i32,
) -> Result<Peak> {
    let mut memory = vec![(0.0, 0.0); place.len()];
    for step in 1..=steps {
        let rate = RATES.0 * (RATES.1 / RATES.0).powf(f64::from(step) / f64::from(steps));
        let grown = |keeps: f64| 1.0 - keeps.powi(step);
        let slopes = target.at(&place)?.slope;
        if let Some(&slope) = slopes.iter().find(|slope| !slope.is_finite()) {
            return Err(not_finite("a slope of the log-density", slope));
        }
        let numbers = place.iter_mut().zip(slopes).zip(&mut memory).zip(units);
        for (((x, slope), (mean, square)), unit) in numbers {
            let slope = slope * unit;
            *mean += (1.0 - KEEPS.0) * (slope - *mean);
            *square += (1.0 - KEEPS.1) * (slope * slope - *square);
            let size = (*square / grown(KEEPS.1)).sqrt();
            if size > 0.0 {
                *x += rate * unit * *mean / grown(KEEPS.0) / size;
            }
        }
    }
    Peak::at(target, place, units, most)
}

impl Peak {
    fn at(target: &Target<'_>, place: Vec<f64>, units: &[f64], most: &[f64]) -> Result<Self> {
        /// Distance between the slopes taken, in spreads; for a first pair, which measures these roughly, in units.
        const APART: [f64; 2] = [0.03, 0.3];
        let log_density = target.log_density(&place)?;
        let mut spreads = units.to_vec();
        for number in 0..place.len() {
            let slope = |by: f64| -> Result<f64> {
                let mut beside = place.clone();
                beside[number] += by;
                Ok(target.at(&beside)?.slope[number])
            };
            for share in APART {
                let apart = share * spreads[number];
                let curvature = (slope(-apart)? - slope(apart)?) / (2.0 * apart);
                let spread = curvature.sqrt().recip();
                if spread.is_finite() {
                    spreads[number] = spread.min(most[number]);
                }
            }
        }
        let volume: f64 = spreads.iter().map(|spread| spread.ln()).sum();
        let log_evidence = log_density + volume;
        match log_evidence.is_finite() {
            true => Ok(Self {
                place,
                spreads,
                log_evidence,
            }),
            false => Err(not_finite("the log-density at a peak", log_evidence)),
        }
    }
}

fn not_finite(what: &str, value: f64) -> Error {
    Error::NotFinite {
        what: what.into(),
        value,
        step: 0,
        hint: "start elsewhere",
    }
}

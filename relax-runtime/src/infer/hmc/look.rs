//! A first look at whether a guide's draws are far from the posterior: wider draws, with importance weights.
//!
//! Weights of the guide's own draws know nothing of tails that it does not reach. Student's t around the same center
//! reaches them (defensive importance sampling; Hesterberg 1995, Owen and Zhou 2000), and the same draws weighted for
//! the guide show what they would find for it, so that the difference has little noise.

use super::metric::Metric;
use crate::infer::missed::Places;
use crate::infer::target::Target;
use crate::random::Stream;

/// Number of wider draws. Each costs two runs of the model, one of them also the guide's.
const DRAWS: usize = 150;
/// Degrees of freedom, an even number.
const FREEDOM: i32 = 4;
/// If either set of weights is worth fewer draws, the guide is no Gaussian near the posterior.
const FEWEST: f64 = 10.0;
/// From where on a mean is off, in standard deviations of the guide, and a standard deviation, as a ratio or its
/// inverse.
const MEAN_OFF: f64 = 0.2;
const SPREAD_OFF: f64 = 1.2;

/// Whether a mean or a standard deviation of the unconstrained numbers differs from that of a guide, whose draws gave
/// the metric. Places that are impossible under the model count nothing. A guide whose density is nowhere known is
/// taken to be a Gaussian.
pub(super) fn is_far(
    target: &Target<'_>,
    guide: &Places<'_>,
    metric: &Metric,
    dims: usize,
    stream: &mut Stream,
) -> bool {
    let mut places = Vec::with_capacity(DRAWS);
    let (mut of_target, mut of_guide) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    let (mut of_gaussian, mut unknown) = (Vec::with_capacity(DRAWS), 0);
    for _ in 0..DRAWS {
        let squares = (0..FREEDOM / 2).map(|_| -2.0 * (1.0 - stream.uniform_f64()).ln());
        let wider = (f64::from(FREEDOM) / squares.sum::<f64>()).sqrt();
        let standard: Vec<f64> = (0..dims).map(|_| wider * stream.normal()).collect();
        let square: f64 = standard.iter().map(|z| z * z).sum();
        let freedom = f64::from(FREEDOM);
        let log_wide = -0.5 * (freedom + dims as f64) * (square / freedom).ln_1p();
        let place = metric.place(&standard);
        let here = target.values(&place);
        let log_density = here.as_ref().map_or(f64::NEG_INFINITY, |(log, _)| *log);
        of_target.push(log_density - log_wide);
        of_gaussian.push(-0.5 * square - log_wide);
        // Both densities change in the same way with the numbers that represent values.
        let guided = here.ok().and_then(|(_, values)| guide.at(&values));
        unknown += usize::from(log_density.is_finite() && guided.is_none());
        of_guide.push(guided.map_or(f64::NEG_INFINITY, |at| {
            log_density - (at.log_p - at.log_q) - log_wide
        }));
        places.push(place);
    }
    if 10 * unknown > DRAWS {
        of_guide = of_gaussian;
    }
    let (Some(of_target), Some(of_guide)) = (shares(&of_target), shares(&of_guide)) else {
        return true;
    };
    (0..dims).any(|number| {
        let moments = |shares: &[f64]| {
            let pairs = || places.iter().map(|place| place[number]).zip(shares);
            let mean: f64 = pairs().map(|(x, share)| x * share).sum();
            let square: f64 = pairs().map(|(x, share)| (x - mean).powi(2) * share).sum();
            (mean, square.sqrt())
        };
        let ((mean, sd), (guided, spread)) = (moments(&of_target), moments(&of_guide));
        let ratio = sd / spread;
        // NaN counts as far.
        !((mean - guided).abs() < MEAN_OFF * spread
            && ratio < SPREAD_OFF
            && ratio > 1.0 / SPREAD_OFF)
    })
}

/// Shares of the whole, from logarithms; `None` if they are worth too few draws.
fn shares(logs: &[f64]) -> Option<Vec<f64>> {
    let most = logs
        .iter()
        .copied()
        .filter(|log| !log.is_nan())
        .fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs
        .iter()
        .map(|log| {
            if log.is_nan() {
                0.0
            } else {
                (log - most).exp()
            }
        })
        .collect();
    let (sum, squares) = (
        weights.iter().sum::<f64>(),
        weights.iter().map(|w| w * w).sum::<f64>(),
    );
    let is_enough = most.is_finite() && sum * sum / squares >= FEWEST;
    is_enough.then(|| weights.iter().map(|weight| weight / sum).collect())
}

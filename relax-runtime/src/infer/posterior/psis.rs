//! Pareto-smoothed importance sampling.
//!
//! Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling" (JMLR 25, 2024): the
//! largest weights are replaced by the expected order statistics of a generalized Pareto distribution
//! that is fitted to them, whose shape k̂ says how far the weights can be relied on. The fit is that of
//! Zhang and Stephens, "A new and efficient estimation method for the generalized Pareto distribution"
//! (Technometrics 51, 2009).

use crate::error::{Error, Result};

/// Fewest tail weights to which a distribution is fitted.
const FEWEST: usize = 5;

/// Importance weights whose tail has been smoothed; see [`psis`] for an example.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Psis {
    /// The weights, which sum to 1.
    pub weights: Vec<f64>,
    /// k̂, the estimated shape of the tail's generalized Pareto distribution: the weights have 1/k̂ moments. −∞ if the
    /// largest weights are all the same; `None` if fewer than 5 different ones stand above the others, too few to fit:
    /// then the weights are not smoothed.
    pub pareto_k: Option<f64>,
}

/// Normalizes importance weights exp(`log_ratios`) and smooths the largest M = ⌈min(n/5, 3√n)⌉ of the n.
///
/// ```
/// use relax_runtime::Key;
/// use relax_runtime::infer::psis;
///
/// // Draws x of an exponential law with rate 1, weighted for one with rate 1/2: k = 1/2.
/// let mut stream = Key::new(1).stream("x");
/// let x: Vec<f64> = (0..4_000).map(|_| -stream.uniform_f64().ln()).collect();
/// let log_ratios: Vec<f64> = x.iter().map(|x| 0.5 * x).collect();
/// let smoothed = psis(&log_ratios)?;
/// assert!((smoothed.pareto_k.unwrap() - 0.5).abs() < 0.1);
/// # Ok::<(), relax_runtime::Error>(())
/// ```
///
/// # Errors
/// If there are none, one is NaN or ∞, or all are −∞.
pub fn psis(log_ratios: &[f64]) -> Result<Psis> {
    let max = log_ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !max.is_finite() || log_ratios.iter().any(|x| x.is_nan()) {
        return Err(Error::Query(format!(
            "{} log-weights, the largest {max}, cannot be normalized: at least one must be finite, and \
             none NaN or infinity",
            log_ratios.len()
        )));
    }
    let mut weights: Vec<f64> = log_ratios.iter().map(|x| (x - max).exp()).collect();
    let pareto_k = smooth_tail(&mut weights);
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    Ok(Psis { weights, pareto_k })
}

/// Smooths the largest weights (scaled so that the maximum is 1) and estimates the tail's shape.
fn smooth_tail(weights: &mut [f64]) -> Option<f64> {
    let n = weights.len() as f64;
    let tail = (n / 5.0).min(3.0 * n.sqrt()).ceil() as usize;
    if tail < FEWEST {
        return None;
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_unstable_by(|a, b| weights[*a].total_cmp(&weights[*b]));
    let (body, mut tail) = order.split_at(order.len() - tail);
    if weights[tail[0]] == 1.0 {
        return Some(f64::NEG_INFINITY);
    }
    let cutoff = body.last().map_or(0.0, |place| weights[*place]);
    // Ties with the cutoff are not part of the tail: with discrete choices there are many.
    let ties = tail.iter().take_while(|place| weights[**place] <= cutoff);
    tail = &tail[ties.count()..];
    let excesses: Vec<f64> = tail.iter().map(|place| weights[*place] - cutoff).collect();
    let different = 1 + excesses.windows(2).filter(|pair| pair[0] < pair[1]).count();
    if different < FEWEST {
        return None;
    }
    let Pareto { shape, scale } = Pareto::fit(&excesses);
    if shape.is_finite() && scale.is_finite() {
        let count = excesses.len() as f64;
        for (i, place) in tail.iter().enumerate() {
            let p = (i as f64 + 0.5) / count;
            let excess = match shape.abs() < 1e-12 {
                true => -scale * (-p).ln_1p(),
                false => scale * (-shape * (-p).ln_1p()).exp_m1() / shape,
            };
            // No weight may exceed the previous largest.
            weights[*place] = (cutoff + excess).min(1.0);
        }
    }
    Some(shape)
}

/// A generalized Pareto distribution on (0, ∞).
struct Pareto {
    shape: f64,
    scale: f64,
}

impl Pareto {
    /// Fits to sorted positive numbers, with the weak prior of Vehtari et al., appendix C: a shape of ½, worth 10
    /// numbers.
    fn fit(sorted: &[f64]) -> Self {
        const PRIOR_SHAPE: f64 = 0.5;
        const PRIOR_COUNT: f64 = 10.0;
        const PRIOR_WIDTH: f64 = 3.0;
        let n = sorted.len() as f64;
        let candidates = 30 + n.sqrt() as usize;
        let quartile = sorted[((n / 4.0 + 0.5) as usize).max(1) - 1];
        let largest = sorted[sorted.len() - 1];
        let shape = |b: f64| sorted.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n;
        let profile = |b: f64| n * ((-b / shape(b)).ln() - shape(b) - 1.0);
        let grid = (1..=candidates).map(|i| {
            let place = (candidates as f64 / (i as f64 - 0.5)).sqrt();
            1.0 / largest + (1.0 - place) / (PRIOR_WIDTH * quartile)
        });
        let grid: Vec<(f64, f64)> = grid.map(|b| (b, profile(b))).collect();
        let most = grid
            .iter()
            .map(|(_, l)| *l)
            .fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (b, likelihood) in grid {
            let weight = (likelihood - most).exp();
            if weight.is_finite() {
                sum += weight;
                weighted += weight * b;
            }
        }
        let b = weighted / sum;
        let fitted = shape(b);
        Self {
            scale: -fitted / b,
            shape: (n * fitted + PRIOR_COUNT * PRIOR_SHAPE) / (n + PRIOR_COUNT),
        }
    }
}

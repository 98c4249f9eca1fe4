//! Importance weights of draws, and how far they can be relied on.

use super::psis::psis;
use crate::error::{Error, Result};

/// Pareto-smoothed importance weights of a guide's draws under the model's posterior. If everything is in one plate,
/// each row has its own weights. See [`Posterior::importance_weights`](super::Posterior::importance_weights).
#[derive(Clone, Debug)]
pub struct ImportanceWeights {
    pub(super) rows: Vec<Vec<f64>>,
    ks: Vec<Option<f64>>,
    draws: usize,
}

impl ImportanceWeights {
    /// Smooths the log-weights of draws, each with one number per row.
    pub(super) fn of(log_weights: &[Vec<f64>]) -> Result<Self> {
        let (draws, count) = (log_weights.len(), row_count(log_weights));
        if log_weights.iter().any(|row| row.len() != count) {
            let problem = "the plate does not have the same rows in every draw, so they cannot be weighted \
                           one by one";
            return Err(Error::Query(problem.into()));
        }
        let (mut rows, mut ks) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in 0..count {
            let of_row: Vec<f64> = log_weights.iter().map(|weights| weights[row]).collect();
            let smoothed = psis(&of_row)?;
            ks.push(smoothed.pareto_k.filter(|_| has_tail(&smoothed.weights)));
            rows.push(smoothed.weights);
        }
        Ok(Self { rows, ks, draws })
    }

    /// The weights of all draws, which sum to 1, for each row.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The largest Pareto k̂ of any row; `None` if the weights have no tail to speak of: no weight is more than twice
    /// the average, as for a guide close to the posterior, or there are fewer than 5 different large ones, as for a few
    /// discrete choices.
    pub fn pareto_k(&self) -> Option<f64> {
        self.ks.iter().flatten().copied().reduce(f64::max)
    }

    /// The Pareto k̂ of each row.
    pub fn pareto_ks(&self) -> &[Option<f64>] {
        &self.ks
    }

    /// The k̂ above which estimates with these weights are unreliable: min(1 − 1/log₁₀ n, 0.7) for n draws (Vehtari et
    /// al. 2024, section 3.2.4).
    pub fn pareto_k_limit(&self) -> f64 {
        (1.0 - 1.0 / (self.draws as f64).log10()).clamp(0.0, 0.7)
    }

    /// Number of independent posterior draws that the draws are worth: 1/Σ w² of the weights, averaged over rows.
    pub fn effective_samples(&self) -> f64 {
        let of_row = |weights: &Vec<f64>| 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        self.rows.iter().map(of_row).sum::<f64>() / self.rows.len() as f64
    }

    /// Number of draws that were weighted.
    pub fn draws(&self) -> usize {
        self.draws
    }
}

/// Whether some weights are so large that estimates may hinge on them. If the weights are nearly equal, the shape of
/// their tail only reflects rounding, or what little the guide has still to learn.
fn has_tail(weights: &[f64]) -> bool {
    const LARGE: f64 = 2.0;
    let average = 1.0 / weights.len() as f64;
    weights.iter().any(|weight| *weight > LARGE * average)
}

/// Number of rows that all draws have.
pub(super) fn row_count(log_weights: &[Vec<f64>]) -> usize {
    log_weights.iter().map(Vec::len).min().unwrap_or(0)
}

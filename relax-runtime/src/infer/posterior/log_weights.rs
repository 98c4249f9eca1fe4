//! The log-weights of a guide's draws: for the evidence, and for the posterior.

use std::borrow::Cow;

/// Log-weights of draws.
#[derive(Clone, Debug, Default)]
pub(in crate::infer) struct LogWeights {
    /// ln(p(x, z)/q(z)) of each draw, one number per row if all random sites are in one plate. Plates are not scaled.
    pub(super) once: Vec<Vec<f64>>,
    /// What to add for the posterior's log-weights, one number per draw, from sums whose rows stand for others and from
    /// costs.
    pub(super) surpluses: Vec<f64>,
}

impl LogWeights {
    pub(super) fn push(&mut self, once: Vec<f64>, surplus: f64) {
        self.once.push(once);
        self.surpluses.push(surplus);
    }

    /// Number of draws.
    pub(super) fn len(&self) -> usize {
        self.once.len()
    }

    /// The log-weights that turn the draws into the posterior's.
    pub(super) fn of_posterior(&self) -> Cow<'_, [Vec<f64>]> {
        of_posterior(&self.once, &self.surpluses)
    }
}

/// The log-weights that turn draws into the posterior's, from those in which rows count once and costs do not count. If
/// these tie rows together, a draw has a single weight.
pub(super) fn of_posterior<'w>(once: &'w [Vec<f64>], surpluses: &[f64]) -> Cow<'w, [Vec<f64>]> {
    if surpluses.iter().all(|surplus| *surplus == 0.0) {
        return Cow::Borrowed(once);
    }
    let pairs = once.iter().zip(surpluses);
    let all = pairs.map(|(rows, surplus)| vec![rows.iter().sum::<f64>() + surplus]);
    Cow::Owned(all.collect())
}

//! What a trained guide or an enumeration says about the latent sites.
//!
//! Read downwards: a [`Record`](record::Record) is what one evaluation leaves behind; `collect` turns records into
//! [`Draws`]; all queries are methods of `Draws`, shared by every kind of posterior.

mod arviz;
mod collect;
pub(super) mod column;
mod drawing;
mod draws;
mod importance;
mod log_likelihood;
mod log_weights;
mod missed;
mod mixing;
mod narrow;
mod predictive;
mod psis;
mod record;
mod resample;
mod saved;
mod spread;
mod summary;
pub(super) mod table;
mod unchained;
pub(super) mod weights;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

pub use arviz::InferenceData;
pub(in crate::infer) use drawing::Drawing;
pub use draws::{DrawRecord, Draws};
pub use importance::ImportanceWeights;
pub(in crate::infer) use log_weights::LogWeights;
pub use missed::Elsewhere;
pub(in crate::infer) use missed::Missed;
pub use mixing::Mixing;
pub(in crate::infer) use mixing::{FEWEST, LARGEST_R_HAT, Seen};
pub(super) use narrow::{Contradicted, Narrow};
pub use psis::{Psis, psis};
pub use summary::{Summary, SummaryRow};
pub use unchained::Unchained;

use self::collect::Collected;
use self::importance::row_count;
use self::log_weights::of_posterior;
pub(in crate::infer) use self::record::{Record, SiteRecord};
pub(in crate::infer) use self::saved::r_hat;
use self::weights::Weights;
use crate::error::{Error, Result};
use crate::infer::objective::Objective;

use crate::model::{ParamStore, SummedOut};
use crate::random::Key;
use crate::special::log_sum;

/// Draws from a guide with their importance weights under the model, or draws of chains started from a guide's draws
/// (see [`mixing`](Self::mixing)).
///
/// Dereferences to [`Draws`], so all of its queries can be called on a posterior directly. [`weighted`](Self::weighted)
/// corrects the draws for what the guide gets wrong:
///
/// ```
/// use relax_runtime::infer::MeanFieldGuide;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn both_or_none() {
///     let a = sample!(Bernoulli(0.5));
///     let b = sample!(Bernoulli(0.3));
///     observe!(Bernoulli(if a == b { 0.8 } else { 0.2 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// let model = both_or_none();
/// let fit = Svi::new(&model).guide(&MeanFieldGuide).posterior_draws(10_000).seed(1).run()?;
/// let exact = exact_posterior(&model)?.mean("a")?;
/// let weighted = fit.posterior().weighted()?;
/// assert!((weighted.mean("a")? - exact).abs() < 0.02);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Posterior {
    draws: Draws,
    /// ln(p(x, z)/q(z)) of each draw, row by row; each row counts once.
    #[serde(with = "saved::log_weights")]
    log_weights: Vec<Vec<f64>>,
    /// What to add for the posterior's log-weights, one number per draw.
    #[serde(default)]
    surpluses: Vec<f64>,
    /// The first site whose log-probability or cost does not count exactly once.
    scaled: Option<String>,
    /// For each integrated-out site, the maximum error of a row's evidence.
    #[serde(default)]
    node_errors: BTreeMap<String, f64>,
    /// How the chains went, if chains made the draws; the log-weights are then those of the guide's draws they started
    /// from.
    #[serde(default)]
    mixing: Option<Mixing>,
    /// Why no chains drew it, if draws wider than the guide's put the posterior elsewhere.
    #[serde(default)]
    unchained: Option<Unchained>,
    /// What is known about places other than the guide's.
    #[serde(default)]
    elsewhere: KnownElsewhere,
    /// What was found where the guide rarely draws.
    #[serde(default)]
    missed: Option<Missed>,
}

/// What is known about places other than those of a guide's draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::infer) enum KnownElsewhere {
    #[default]
    Nothing,
    /// Paths from there lead to where the guide is.
    LeadsHere,
    /// There is more evidence there, judging by Gaussians at the peaks.
    Better,
}

/// Draws of chains, with their diagnostics.
pub(in crate::infer) struct Chained {
    pub(in crate::infer) records: Vec<Record>,
    pub(in crate::infer) mixing: Mixing,
    /// The log-weights of a guide's draws.
    pub(in crate::infer) log_weights: LogWeights,
}

/// Bounds on ln p(x), all lower bounds in expectation, and how good the guide is as a proposal. x is what was observed:
/// rows of a plate that is a sample of a larger data set count once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEvidence {
    /// The evidence lower bound: the mean log-weight.
    pub elbo: f64,
    /// The importance-weighted bound of all draws (Burda, Grosse, Salakhutdinov 2016).
    pub bound: f64,
    /// Mean over rows of (Σ w)²/Σ w²: how many independent draws of p(z | x) the draws are worth, costs left out.
    pub effective_samples: f64,
}

/// Draws of choices that were summed out. The probabilities of single choices, the means of sites and their inclusion
/// probabilities are exact, not counted from the draws.
///
/// # Errors
/// If a value cannot be made.
pub(in crate::infer) fn draws_of_sum(summed: &dyn SummedOut, n: usize) -> Result<Draws> {
    let mut collected = Collected::default();
    for step in 0..n as u64 {
        let key = Key {
            step,
            ..Key::new(0)
        };
        collected.add(Record {
            sites: Record::recovered(summed, key)?,
            log_weights: Vec::new(),
            surplus: 0.0,
            scaled: None,
        })?;
    }
    Ok(collected.equal())
}

impl Posterior {
    /// Draws `n` times from the guide of an objective. Parameters of sites that no training step has reached are not
    /// added to the store.
    ///
    /// # Errors
    /// Whatever goes wrong in model or guide; `n` of 0.
    pub fn draw(
        objective: &dyn Objective,
        params: &ParamStore,
        seed: u64,
        n: usize,
    ) -> Result<Self> {
        // What draws reach and training did not must not affect its parameters.
        let params = params.fork();
        let mut drawing = Drawing::new(objective, &params, seed);
        drawing.draw_until(n, |_| ())?;
        Ok(drawing.posterior())
    }

    /// The draws of chains.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(in crate::infer) fn of_chains(chained: Chained) -> Result<Self> {
        let mut collected = Collected::default();
        for record in chained.records {
            collected.add(record)?;
        }
        Ok(Self {
            node_errors: collected.node_errors(),
            draws: collected.equal(),
            log_weights: chained.log_weights.once,
            surpluses: chained.log_weights.surpluses,
            scaled: None,
            mixing: Some(chained.mixing),
            unchained: None,
            elsewhere: KnownElsewhere::default(),
            missed: None,
        })
    }

    /// Adds what was found where the guide rarely draws.
    pub(in crate::infer) fn missing(mut self, missed: Option<Missed>) -> Self {
        self.missed = missed;
        self
    }

    /// What was found where the guide rarely draws.
    pub(in crate::infer) fn missed(&self) -> Option<&Missed> {
        self.missed.as_ref()
    }

    /// Adds why no chains drew it, if wider draws put the posterior elsewhere.
    pub(in crate::infer) fn without_chains(mut self, why: Option<Unchained>) -> Self {
        self.unchained = why;
        self
    }

    /// Adds what is known about other places.
    pub(in crate::infer) fn elsewhere(mut self, known: KnownElsewhere) -> Self {
        self.elsewhere = known;
        self
    }

    /// Whether the draws already count by their weights.
    pub(in crate::infer) fn is_weighted(&self) -> bool {
        !matches!(self.draws.weights, Weights::Equal)
    }

    /// What is known about other places.
    pub(in crate::infer) fn known_elsewhere(&self) -> KnownElsewhere {
        self.elsewhere
    }

    /// Why no chains drew it, if draws wider than the guide's put the posterior elsewhere.
    pub(in crate::infer) fn unchained(&self) -> Option<&Unchained> {
        self.unchained.as_ref()
    }

    /// How well the chains mixed, if the draws were made by [`hmc`](crate::infer::Svi::hmc).
    pub fn mixing(&self) -> Option<&Mixing> {
        self.mixing.as_ref()
    }

    /// ln(p(x, z)/q(z)) of each draw of the guide, unsmoothed: one number per row if everything is in one plate,
    /// otherwise a single number. Plates are not scaled: rows of a larger data set count once, even if their choices
    /// were summed out. Costs are left out. Draws of chains have no log-weights; for them, these belong to the guide's
    /// draws they started from.
    pub fn log_weights(&self) -> &[Vec<f64>] {
        &self.log_weights
    }

    /// The log-weights that turn the draws into the posterior's: sums count each row once for every row it stands for,
    /// and costs count.
    pub(in crate::infer) fn posterior_log_weights(&self) -> Cow<'_, [Vec<f64>]> {
        of_posterior(&self.log_weights, &self.surpluses)
    }

    /// Whether each draw of the guide has a single weight, which turns it into the posterior's.
    pub(in crate::infer) fn has_whole_weights(&self) -> bool {
        row_count(&self.posterior_log_weights()) == 1 && self.scaled.is_none()
    }

    /// For each site that was [integrated out](crate::infer::Marginalised::integrate), the maximum error of a row's
    /// evidence.
    pub(in crate::infer) fn node_errors(&self) -> &BTreeMap<String, f64> {
        &self.node_errors
    }

    /// Pareto-smoothed importance weights of the draws under the posterior, and how far they can be relied on. The
    /// posterior is what training brings the guide to: with `cost!` terms it is p(z | x) e^(−cost), normalized.
    ///
    /// # Errors
    /// [`Error::Query`] if chains made the draws, if a site's log-probability does not count exactly once, so that the
    /// log-weights are not those of the posterior, or if they are not finite.
    pub fn importance_weights(&self) -> Result<ImportanceWeights> {
        if self.mixing.is_some() {
            return Err(Error::Query(
                "the draws were made by chains, so they all count alike and have no importance weights; use the \
                 posterior as it is"
                    .into(),
            ));
        }
        weights_of(&self.posterior_log_weights(), self.scaled.as_deref())
    }

    /// Weights the draws, each as a whole, if the weights contradict the unweighted draws.
    ///
    /// # Errors
    /// If a value carries an error.
    pub(in crate::infer) fn corrected(mut self) -> Result<Self> {
        let Ok(weights) = self.importance_weights() else {
            return Ok(self);
        };
        let contradicted = || self.contradicted(&weights).unwrap_or(None);
        if weights.rows.len() == 1 && contradicted().is_some() {
            self.draws = self.weighted()?;
        }
        Ok(self)
    }

    /// The weights of the guide's draws, even if they are not those of the posterior.
    ///
    /// # Errors
    /// If the log-weights are not finite.
    pub(in crate::infer) fn guide_weights(&self) -> Result<ImportanceWeights> {
        ImportanceWeights::of(&self.posterior_log_weights())
    }

    /// The posterior by self-normalized importance sampling: the same draws, with
    /// [`importance_weights`](Self::importance_weights). [`Draws::resample`] turns them into draws of equal weight.
    ///
    /// # Errors
    /// As [`importance_weights`](Self::importance_weights).
    pub fn weighted(&self) -> Result<Draws> {
        if self.mixing.is_some() || self.are_exact() {
            // All count alike.
            return Ok(self.draws.clone());
        }
        let mut rows = self.importance_weights()?.rows;
        let weights = match rows.len() {
            1 => Weights::Whole(rows.remove(0)),
            _ => Weights::Rows(rows),
        };
        Ok(self.draws.reweighted(weights))
    }

    /// Whether all draws have the same weight in every row, as when every choice was summed out: then they are the
    /// posterior's.
    fn are_exact(&self) -> bool {
        let log_weights = self.posterior_log_weights();
        let first = log_weights.first().filter(|_| self.scaled.is_none());
        first.is_some_and(|first| {
            first.iter().all(|x| x.is_finite()) && log_weights.iter().all(|row| row == first)
        })
    }

    /// Bounds on the log-evidence of the observations, from the draws' importance weights. If all random sites are in
    /// one plate, rows are weighted one by one. Plates are not scaled, neither for choices that were drawn nor for
    /// those that were summed out: for a sample of a larger data set this is the evidence of that sample, as is
    /// [`ExactPosterior::log_evidence`](crate::infer::ExactPosterior::log_evidence). Terms multiplied by
    /// [`scale`](crate::model::scale) count with their factor. `cost!` terms are not part of p(x, z) and do not count
    /// here, though they do in [`importance_weights`](Self::importance_weights): with them training maximizes something
    /// other than the bound given here. An objective without densities, such
    /// as [`ExpectedCost`](super::ExpectedCost), has bounds of 0.
    pub fn log_evidence(&self) -> LogEvidence {
        let rows = row_count(&self.log_weights);
        let draws = self.log_weights.len() as f64;
        let mut evidence = LogEvidence {
            elbo: 0.0,
            bound: 0.0,
            effective_samples: 0.0,
        };
        for row in 0..rows {
            let weights = self.log_weights.iter().map(|weights| weights[row]);
            let all = log_sum(weights.clone());
            evidence.elbo += weights.clone().sum::<f64>() / draws;
            evidence.bound += all - draws.ln();
            let squares = log_sum(weights.map(|w| 2.0 * w));
            evidence.effective_samples += (2.0 * all - squares).exp() / rows as f64;
        }
        evidence
    }
}

/// The weights of draws, provided every site's log-probability counts exactly once.
///
/// # Errors
/// As [`Posterior::importance_weights`].
fn weights_of(log_weights: &[Vec<f64>], scaled: Option<&str>) -> Result<ImportanceWeights> {
    match scaled {
        None => ImportanceWeights::of(log_weights),
        Some(site) => Err(Error::Query(format!(
            "the log-probability or cost of site `{site}` does not count exactly once, as in a plate that is a sample \
             of a larger data set or under a scaled guide, so the weights of the draws are not those of the \
             posterior; draw with all data"
        ))),
    }
}

impl Deref for Posterior {
    type Target = Draws;

    fn deref(&self) -> &Draws {
        &self.draws
    }
}

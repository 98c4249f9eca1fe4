//! What a trained guide says of the latent sites.

use std::collections::BTreeMap;

use crate::dist::{Law, Number, Value, holds_indices};
use crate::error::{Error, Result};
use crate::estimator::DrawKind;
use crate::infer::objective::Objective;
use crate::infer::pass::{Latent, Mode, Pass};
use crate::model::{Kind as SiteKind, ParamStore, unknown_site};
use crate::random::Key;
use crate::tensor::Tensor;

/// Draws from a guide, with their importance weights under the model.
#[derive(Clone, Debug)]
pub struct Posterior {
    sites: BTreeMap<String, SiteDraws>,
    /// ln(p(x, z)/q(z)) of each draw, row by row.
    log_weights: Vec<Vec<f64>>,
}

#[derive(Clone, Debug, Default)]
struct SiteDraws {
    draws: Vec<Value>,
    /// Sum over draws of the mean of the law that each was drawn from.
    mean_sum: Vec<f64>,
    /// Sum over draws of the probabilities of the values, where the site is one discrete choice.
    marginal_sum: Vec<f64>,
    /// Those values.
    values: Vec<Vec<f64>>,
    /// How many categories its values are indices of, where they are that.
    categories: Option<usize>,
}

/// Bounds on ln p(x), all lower bounds in expectation, and how good the guide is as a proposal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogEvidence {
    /// The evidence lower bound: the mean log-weight.
    pub elbo: f64,
    /// The importance-weighted bound of all draws (Burda, Grosse, Salakhutdinov 2016).
    pub bound: f64,
    /// Mean over rows of (Σ w)²/Σ w²: how many independent posterior draws the draws are worth.
    pub effective_samples: f64,
}

impl Posterior {
    /// Draws `n` times from the guide of an objective.
    ///
    /// # Errors
    /// Whatever goes wrong in model or guide; `n` of 0.
    pub fn draw(
        objective: &dyn Objective,
        params: &ParamStore,
        seed: u64,
        n: usize,
    ) -> Result<Self> {
        if n == 0 {
            let problem = "is 0; give at least one".into();
            return Err(Error::Config {
                setting: "posterior draws",
                problem,
            });
        }
        let mut posterior = Self {
            sites: BTreeMap::new(),
            log_weights: Vec::with_capacity(n),
        };
        // Steps of training count up from 0; these draws count down from the last.
        for step in (0..n as u64).map(|i| u64::MAX - i) {
            let key = Key {
                seed,
                step,
                particle: 0,
            };
            let pass = objective.evaluate(key, params, &Mode::Draw)?;
            for latent in &pass.latents {
                let site = posterior.sites.entry(latent.name.to_string()).or_default();
                site.draws.push(Value::Tensor(latent.value.kept()));
                let mean = latent.law.mean().peek()?;
                site.mean_sum.resize(mean.len(), 0.0);
                site.mean_sum
                    .iter_mut()
                    .zip(mean)
                    .for_each(|(sum, x)| *sum += f64::from(x));
                site.categories = categories(latent);
                site.add_marginal(&*latent.law)?;
            }
            posterior.log_weights.push(log_weights(&pass)?);
        }
        params.check_restored()?;
        Ok(posterior)
    }

    fn site(&self, name: &str) -> Result<&SiteDraws> {
        let found = self.sites.get(name);
        found.ok_or_else(|| unknown_site(name, self.sites.keys().map(String::as_str)))
    }

    /// Names of the latent sites that the draws came by.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    /// The mean of each element of a site's value under the guide, given that the run comes by the
    /// site; of a categorical, the probability of each category.
    /// [`ExactPosterior`](super::ExactPosterior) means the same.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn means(&self, site: &str) -> Result<Vec<f64>> {
        let site = self.site(site)?;
        let share = 1.0 / site.draws.len() as f64;
        Ok(site.mean_sum.iter().map(|sum| sum * share).collect())
    }

    /// As [`means`](Self::means), but of a categorical the mean of its index.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn index_means(&self, site: &str) -> Result<Vec<f64>> {
        let means = self.means(site)?;
        let Some(categories) = self.site(site)?.categories else {
            return Ok(means);
        };
        let index = |probs: &[f64]| probs.iter().enumerate().map(|(k, p)| k as f64 * p).sum();
        Ok(means.chunks(categories).map(index).collect())
    }

    /// The mean of a site that holds one number: of a Bernoulli, its probability.
    ///
    /// # Errors
    /// If no site has the name, or it holds several numbers or is a categorical.
    pub fn mean(&self, site: &str) -> Result<f64> {
        single(site, &self.means(site)?)
    }

    /// The values of a site that is a single discrete choice, each with its probability under the
    /// guide, given that the run comes by the site.
    ///
    /// # Errors
    /// If no site has the name, or it is continuous or several choices at once.
    pub fn marginal(&self, site: &str) -> Result<Vec<(Vec<f64>, f64)>> {
        let found = self.site(site)?;
        if found.marginal_sum.is_empty() {
            let problem = "is not one discrete choice; ask for `means` or `samples`";
            return Err(Error::Query(format!("site `{site}` {problem}")));
        }
        let share = 1.0 / found.draws.len() as f64;
        let values = found.values.iter().cloned();
        let sums = found.marginal_sum.iter();
        Ok(values.zip(sums.map(|sum| sum * share)).collect())
    }

    /// The draws of a site.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn samples(&self, site: &str) -> Result<&[Value]> {
        Ok(&self.site(site)?.draws)
    }

    /// Bounds on the log-evidence of the observations, from the draws' importance weights. Where
    /// all random sites stand in one plate, rows are weighted one by one; plates are not scaled.
    /// `cost!` terms are no part of p(x, z) and do not count, so that with them training maximises
    /// something else than the bound given here. An objective without densities, such as
    /// [`ExpectedCost`](super::ExpectedCost), has bounds of 0.
    pub fn log_evidence(&self) -> LogEvidence {
        let rows = self.log_weights.iter().map(Vec::len).min().unwrap_or(0);
        let draws = self.log_weights.len() as f64;
        let mut evidence = LogEvidence {
            elbo: 0.0,
            bound: 0.0,
            effective_samples: 0.0,
        };
        for row in 0..rows {
            let weights = self.log_weights.iter().map(|weights| weights[row]);
            let log_sum = log_sum_exp(weights.clone());
            evidence.elbo += weights.clone().sum::<f64>() / draws;
            evidence.bound += log_sum - draws.ln();
            let log_square_sum = log_sum_exp(weights.map(|w| 2.0 * w));
            evidence.effective_samples += (2.0 * log_sum - log_square_sum).exp() / rows as f64;
        }
        evidence
    }
}

/// How many categories a latent's value holds indices of, if it does.
pub(in crate::infer) fn categories(latent: &Latent) -> Option<usize> {
    let law = &*latent.law;
    let of_categories = DrawKind::of(law.draws()) == DrawKind::Categories && holds_indices(law);
    let shape = law.draw_shape();
    shape.last().copied().filter(|_| of_categories)
}

impl SiteDraws {
    /// Adds the probability of every value under the law of one draw, if it is one discrete choice.
    fn add_marginal(&mut self, law: &dyn Law) -> Result<()> {
        let Some(relaxation) = law.relaxation() else {
            return Ok(());
        };
        let theta = law.parameters().remove(0).detach();
        let width = relaxation.width(&theta.shape());
        if theta.len() != width || relaxation.values(width).is_none() {
            return Ok(());
        }
        if self.values.is_empty() {
            for vertex in relaxation.vertices(width) {
                let vertex = Tensor::from_vec(vertex, theta.shape(), &theta.device())?;
                let value = law.value_at(&vertex).peek()?;
                self.values.push(value.into_iter().map(f64::from).collect());
            }
        }
        let probabilities = relaxation.probabilities(&theta).peek()?;
        self.marginal_sum.resize(probabilities.len(), 0.0);
        let sums = self.marginal_sum.iter_mut().zip(probabilities);
        sums.for_each(|(sum, p)| *sum += f64::from(p));
        Ok(())
    }
}

/// Adds the share `p` of a value to a mean; of indices of categories, to that of their indicators.
pub(in crate::infer) fn add_mean(
    value: &[f64],
    categories: Option<usize>,
    p: f64,
    mean: &mut Vec<f64>,
) {
    let width = categories.unwrap_or(1);
    mean.resize(value.len() * width, 0.0);
    for (i, &x) in value.iter().enumerate() {
        match categories {
            Some(_) => mean[i * width + x as usize] += p,
            None => mean[i] += x * p,
        }
    }
}

/// ln Σ eˣ.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// The log-weight of a pass, a number a row if all its densities are rows of the same plate. Costs
/// are no densities and stay out: with them the weights would not bound ln p(x).
fn log_weights(pass: &Pass) -> Result<Vec<f64>> {
    let densities = || pass.terms.iter().filter(|term| term.kind != SiteKind::Cost);
    let plates = densities().next().map(|term| &*term.plates);
    let one_plate = match plates {
        Some([plate]) => densities()
            .all(|term| *term.plates == [*plate])
            .then_some(plate),
        _ => None,
    };
    let Some(plate) = one_plate else {
        let sum: f64 = densities().map(|t| t.value.total()).sum::<Result<_>>()?;
        return Ok(vec![-sum]);
    };
    let mut weights = vec![0.0; plate.size];
    for term in densities() {
        if let Number::Tensor(t) = &term.value {
            weights
                .iter_mut()
                .zip(t.peek()?)
                .for_each(|(w, x)| *w -= f64::from(x));
        }
    }
    Ok(weights)
}

/// The only number of a site.
pub(in crate::infer) fn single(site: &str, numbers: &[f64]) -> Result<f64> {
    match numbers {
        [x] => Ok(*x),
        _ => Err(Error::Query(format!(
            "site `{site}` holds {} numbers; ask for `means`",
            numbers.len()
        ))),
    }
}

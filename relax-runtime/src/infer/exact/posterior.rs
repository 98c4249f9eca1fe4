//! The exact posterior of a model whose latent sites are discrete, by enumeration.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Own};
use crate::infer::pass::odometer::{LARGEST, Odometer};
use crate::infer::pass::{Latent, Mode};
use crate::infer::posterior::{add_mean, categories, single};
use crate::model::{Entry, ParamStore, Program, Trace, unknown_site};
use crate::random::Key;

/// The exact posterior of a model whose latent sites are discrete.
#[derive(Clone, Debug)]
pub struct ExactPosterior {
    /// ln p(observations).
    pub log_evidence: f64,
    sites: BTreeMap<String, SiteMarginal>,
}

#[derive(Clone, Debug)]
struct SiteMarginal {
    /// The values that it can take, each with its posterior probability.
    marginal: Vec<(Vec<f64>, f64)>,
    /// How many categories its values are indices of, where they are that.
    categories: Option<usize>,
}

impl SiteMarginal {
    /// The mean of a function of the values, given that the run comes by the site.
    fn mean(&self, of: impl Fn(&[f64], f64, &mut Vec<f64>)) -> Vec<f64> {
        let mass: f64 = self.marginal.iter().map(|(_, p)| p).sum();
        let mut mean = Vec::new();
        for (value, p) in &self.marginal {
            of(value, p / mass, &mut mean);
        }
        mean
    }
}

impl ExactPosterior {
    /// The posterior mean of each element of a site's value, given that the run comes by the site;
    /// of a categorical, the probability of each category. [`Posterior`](crate::infer::Posterior) means
    /// the same.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn means(&self, site: &str) -> Result<Vec<f64>> {
        let site = self.site(site)?;
        Ok(site.mean(|value, p, mean| add_mean(value, site.categories, p, mean)))
    }

    /// As [`means`](Self::means), but of a categorical the mean of its index.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn index_means(&self, site: &str) -> Result<Vec<f64>> {
        let site = self.site(site)?;
        Ok(site.mean(|value, p, mean| add_mean(value, None, p, mean)))
    }

    /// The posterior mean of a site that holds one number: of a Bernoulli, its probability.
    ///
    /// # Errors
    /// If no site has the name, or it holds several numbers or is a categorical.
    pub fn mean(&self, site: &str) -> Result<f64> {
        single(site, &self.means(site)?)
    }

    /// The values that a site can take, with their posterior probabilities. They sum to the
    /// probability that the run comes by the site.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn marginal(&self, site: &str) -> Result<&[(Vec<f64>, f64)]> {
        Ok(&self.site(site)?.marginal)
    }

    fn site(&self, name: &str) -> Result<&SiteMarginal> {
        let found = self.sites.get(name);
        found.ok_or_else(|| unknown_site(name, self.sites.keys().map(String::as_str)))
    }
}

/// Runs a model once for every combination of its discrete values, with its `param!` sites at their
/// initial values; [`exact_posterior_at`] takes trained ones.
///
/// # Errors
/// As [`exact_posterior_at`].
pub fn exact_posterior(model: &dyn Program) -> Result<ExactPosterior> {
    exact_posterior_at(model, &ParamStore::default())
}

/// Runs a model once for every combination of its discrete values, with its `param!` sites at the
/// values of `params`, such as those of a [`Fit`](crate::infer::Fit). Parameters that are not there yet are
/// created there, at their initial values. `cost!` terms do not count.
///
/// # Errors
/// If a latent site is continuous, there are more than 2²⁰ combinations
/// ([`exact_posterior_up_to`] takes more), or the observations are impossible under all of them.
pub fn exact_posterior_at(model: &dyn Program, params: &ParamStore) -> Result<ExactPosterior> {
    exact_posterior_up_to(model, params, LARGEST)
}

/// As [`exact_posterior_at`], with at most so many combinations. After the first runs it is
/// estimated how many there are, and far too many are refused then. Memory goes by the number of
/// values of single sites, not by that of combinations.
///
/// # Errors
/// As [`exact_posterior_at`].
pub fn exact_posterior_up_to(
    model: &dyn Program,
    params: &ParamStore,
    combinations: usize,
) -> Result<ExactPosterior> {
    let odometer = Rc::new(Odometer::new(false, combinations));
    let run = || {
        let draw = Draw::new(Own, Mode::Enumerate(Rc::clone(&odometer)));
        draw.run(model, Key::new(0), params)
    };
    let (mut evidence, mut sites) = (LogSum::default(), BTreeMap::<String, Sums>::new());
    let mut impossible = None;
    loop {
        let (latents, trace, _) = run()?;
        let log_weight = trace.log_prob()?;
        evidence.add(log_weight);
        for latent in &latents {
            let site = match sites.get_mut(&*latent.name) {
                Some(site) => site,
                None => sites.entry(latent.name.to_string()).or_default(),
            };
            site.add(latent, log_weight)?;
        }
        if log_weight.is_nan() || log_weight == f64::INFINITY {
            return Err(not_a_density(trace, log_weight));
        }
        if log_weight == f64::NEG_INFINITY && impossible.is_none() {
            impossible = first_site(trace, |x| x == f64::NEG_INFINITY);
        }
        if !odometer.advance(&mut || run().map(drop))? {
            break;
        }
    }
    let log_evidence = evidence.value();
    if log_evidence == f64::NEG_INFINITY {
        let error = Error::Impossible(format!(
            "the observations are impossible: `{}` gives them probability 0 under every combination \
             of its latent values, and at the first of these it does so here",
            model.model_name()
        ));
        return Err(impossible.map_or(error.clone(), |entry| entry.locate(error)));
    }
    let sites = sites.into_iter();
    Ok(ExactPosterior {
        log_evidence,
        sites: sites
            .map(|(name, sums)| (name, sums.site(log_evidence)))
            .collect(),
    })
}

/// The first site whose log-density is such.
fn first_site(trace: Trace, such: impl Fn(f64) -> bool) -> Option<Entry> {
    let density = |entry: &Entry| entry.log_prob().and_then(|number| number.total());
    let mut entries = trace.into_entries().into_iter();
    entries.find(|entry| density(entry).is_ok_and(&such))
}

fn not_a_density(trace: Trace, value: f64) -> Error {
    let entry = first_site(trace, |x| x.is_nan() || x == f64::INFINITY);
    let error = Error::Model(format!(
        "the log-density is {value}; look at what computes the distribution's parameters"
    ));
    entry.map_or(error.clone(), |entry| entry.locate(error))
}

/// Weights of the values of a site.
#[derive(Default)]
struct Sums {
    places: FxHashMap<Vec<u32>, usize>,
    weights: Vec<(Vec<f64>, LogSum)>,
    categories: Option<usize>,
}

impl Sums {
    fn add(&mut self, latent: &Latent, log_weight: f64) -> Result<()> {
        let value = latent.value.peek()?;
        let key = value.iter().map(|x| x.to_bits()).collect();
        let weights = &mut self.weights;
        let place = *self.places.entry(key).or_insert_with(|| {
            let value = value.into_iter().map(f64::from).collect();
            weights.push((value, LogSum::default()));
            weights.len() - 1
        });
        weights[place].1.add(log_weight);
        self.categories = categories(latent);
        Ok(())
    }

    fn site(self, log_evidence: f64) -> SiteMarginal {
        let weights = self.weights.into_iter();
        let probability = |sum: LogSum| (sum.value() - log_evidence).exp();
        SiteMarginal {
            marginal: weights
                .map(|(value, sum)| (value, probability(sum)))
                .collect(),
            categories: self.categories,
        }
    }
}

/// ln Σ eˣ of numbers that come one by one.
struct LogSum {
    largest: f64,
    /// Σ e^(x − largest).
    sum: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self {
            largest: f64::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl LogSum {
    fn add(&mut self, x: f64) {
        if x == f64::NEG_INFINITY {
            return;
        }
        if x > self.largest {
            self.sum *= (self.largest - x).exp();
            self.largest = x;
        }
        self.sum += (x - self.largest).exp();
    }

    fn value(&self) -> f64 {
        self.largest + self.sum.ln()
    }
}

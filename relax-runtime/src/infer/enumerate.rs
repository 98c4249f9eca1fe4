//! Exact answers by enumeration, for programs whose discrete support is small.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::draw::{Draw, LawSource};
use super::pass::Mode;
use crate::dist::Law;
use crate::error::{Error, Result};
use crate::model::{ParamStore, Program, unknown_site};
use crate::random::Key;
use crate::tensor::Tensor;

/// Counts through every combination of the values of a program's discrete choices; which choices
/// there are may depend on the values of earlier ones.
#[derive(Debug)]
pub struct Odometer {
    wheels: RefCell<Wheels>,
    /// Whether all rows of a plate take the same values, one combination a row.
    in_step: bool,
    /// Beyond this many runs enumeration is refused.
    largest: usize,
    refusal: RefCell<Option<Refusal>>,
}

/// Why a program cannot be enumerated.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// It has more combinations than this.
    TooMany(usize),
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(largest) => {
                write!(
                    f,
                    "the program has more than {largest} combinations of discrete values"
                )
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// The digits behind an [`Odometer`].
#[derive(Debug, Default)]
pub(super) struct Wheels {
    digits: Vec<usize>,
    sizes: Vec<usize>,
    at: usize,
    combinations: usize,
    /// Digits still to come on the wheels that there are: each is a combination at least.
    ahead: usize,
}

/// As many runs as anybody would wait for.
pub(super) const LARGEST: usize = 1 << 20;

impl Default for Odometer {
    /// Every row takes values of its own.
    fn default() -> Self {
        Self {
            wheels: RefCell::default(),
            in_step: false,
            largest: LARGEST,
            refusal: RefCell::default(),
        }
    }
}

impl Odometer {
    /// At most `largest` combinations; `in_step` has all rows of a plate take the same values.
    pub(super) fn new(in_step: bool, largest: usize) -> Self {
        Self {
            in_step,
            largest,
            ..Self::default()
        }
    }

    /// Why the program cannot be enumerated, once that has come up.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.borrow().clone()
    }

    fn refuse(&self, why: Refusal, otherwise: &str) -> Error {
        let message = format!("{why}; {otherwise}");
        *self.refusal.borrow_mut() = Some(why);
        Error::Model(message)
    }

    fn too_many(&self) -> Error {
        self.refuse(Refusal::TooMany(self.largest), "use `Svi` instead")
    }

    /// The value that the current combination has for the next choice, in so many plates.
    pub(super) fn choose(&self, law: &dyn Law, plates: usize) -> Result<Tensor> {
        let parameter = law.parameters().remove(0);
        let Some(relaxation) = law.relaxation() else {
            return Err(self.refuse(
                Refusal::Other(format!("{} is continuous", law.name())),
                "only programs whose random choices are all discrete can be enumerated",
            ));
        };
        let shape = parameter.check()?.shape();
        let categories = if relaxation.event_rank() == 1 {
            shape[shape.rank() - 1]
        } else {
            1
        };
        let vertices = relaxation.vertices(categories);
        let events = shape.numel() / vertices[0].len();
        let rows = match self.in_step {
            true => shape[..plates.min(shape.rank())].iter().product(),
            false => 1,
        };
        let size = u32::try_from(events / rows)
            .ok()
            .and_then(|events| vertices.len().checked_pow(events))
            .filter(|&size| size <= self.largest)
            .ok_or_else(|| self.too_many())?;
        let mut wheels = self.wheels.borrow_mut();
        let mut digit = wheels.next_digit(size);
        if wheels.at_least() > self.largest {
            return Err(self.too_many());
        }
        drop(wheels);
        let mut row = Vec::with_capacity(shape.numel() / rows);
        for _ in 0..events / rows {
            row.extend_from_slice(&vertices[digit % vertices.len()]);
            digit /= vertices.len();
        }
        let values = row.repeat(rows);
        Ok(law.value_at(&Tensor::from_vec(values, shape, &parameter.device())?))
    }

    /// Moves on to the next combination; false after the last.
    pub(super) fn advance(&self) -> bool {
        self.wheels.borrow_mut().advance()
    }

    /// How many combinations have gone by.
    pub(super) fn combinations(&self) -> usize {
        self.wheels.borrow().combinations
    }
}

impl Wheels {
    /// The next digit of the current combination, of a wheel of this size.
    pub(super) fn next_digit(&mut self, size: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push(0);
            self.sizes.push(size);
            self.ahead += size - 1;
        }
        self.at += 1;
        self.digits[self.at - 1]
    }

    /// How many combinations there are at least, as far as the current one has come: a program
    /// that goes on for ever at one of them is found out.
    pub(super) fn at_least(&self) -> usize {
        self.combinations + 1 + self.ahead
    }

    /// The digits of the current combination.
    pub(super) fn digits(&self) -> &[usize] {
        &self.digits[..self.at]
    }

    /// Moves on to the next combination; false after the last.
    pub(super) fn advance(&mut self) -> bool {
        self.combinations += 1;
        while self.digits.len() > self.at {
            self.drop_last();
        }
        self.at = 0;
        while let (Some(digit), Some(size)) = (self.digits.last_mut(), self.sizes.last()) {
            if *digit + 1 < *size {
                *digit += 1;
                self.ahead -= 1;
                return true;
            }
            self.drop_last();
        }
        false
    }

    fn drop_last(&mut self) {
        if let (Some(digit), Some(size)) = (self.digits.pop(), self.sizes.pop()) {
            self.ahead -= size - 1 - digit;
        }
    }

    /// How many combinations have gone by.
    pub(super) fn combinations(&self) -> usize {
        self.combinations
    }

    /// Starts anew.
    pub(super) fn reset(&mut self) {
        self.digits.clear();
        self.sizes.clear();
        (self.at, self.combinations, self.ahead) = (0, 0, 0);
    }
}

/// The exact posterior of a model whose latent sites are discrete.
#[derive(Clone, Debug)]
pub struct ExactPosterior {
    /// ln p(observations).
    pub log_evidence: f64,
    /// For every latent site the values it can take, each with its posterior probability.
    sites: BTreeMap<String, Vec<(Vec<f64>, f64)>>,
}

impl ExactPosterior {
    /// The posterior mean of each element of a site's value, given that the run comes by the site.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn means(&self, site: &str) -> Result<Vec<f64>> {
        let values = self.marginal(site)?;
        let mass: f64 = values.iter().map(|(_, p)| p).sum();
        let mut means = vec![0.0; values.first().map_or(0, |(value, _)| value.len())];
        for (value, p) in values {
            means
                .iter_mut()
                .zip(value)
                .for_each(|(mean, x)| *mean += x * p / mass);
        }
        Ok(means)
    }

    /// The posterior mean of a site that holds one number: of a Bernoulli, its probability.
    ///
    /// # Errors
    /// If no site has the name, or it holds several numbers.
    pub fn mean(&self, site: &str) -> Result<f64> {
        super::posterior::single(site, &self.means(site)?)
    }

    /// The values that a site can take, with their posterior probabilities. They sum to the
    /// probability that the run comes by the site.
    ///
    /// # Errors
    /// If no site has the name.
    pub fn marginal(&self, site: &str) -> Result<&[(Vec<f64>, f64)]> {
        let found = self.sites.get(site);
        found
            .map(Vec::as_slice)
            .ok_or_else(|| unknown_site(site, self.sites.keys().map(String::as_str)))
    }
}

/// Latent sites of a run, by name.
type Values = Vec<(String, Vec<f64>)>;

/// Runs a model once for every combination of its discrete values, with its `param!` sites at their
/// initial values; [`exact_posterior_at`] takes trained ones.
///
/// # Errors
/// As [`exact_posterior_at`].
pub fn exact_posterior(model: &dyn Program) -> Result<ExactPosterior> {
    exact_posterior_at(model, &ParamStore::default())
}

/// Runs a model once for every combination of its discrete values, with its `param!` sites at the
/// values of `params`, such as those of a [`Fit`](super::Fit). Parameters that are not there yet are
/// created there, at their initial values. `cost!` terms do not count.
///
/// # Errors
/// If a latent site is continuous, there are more than 2²⁰ combinations, or the observations are
/// impossible under all of them.
pub fn exact_posterior_at(model: &dyn Program, params: &ParamStore) -> Result<ExactPosterior> {
    let odometer = Rc::new(Odometer::default());
    let mut runs: Vec<(f64, Values)> = Vec::new();
    loop {
        let draw = Draw::new(LawSource::Own, Mode::Enumerate(Rc::clone(&odometer)));
        let (latents, trace, _) = draw.run(model, Key::new(0), params)?;
        let values = latents.into_iter().map(|latent| {
            let value = latent.value.peek()?.into_iter().map(f64::from).collect();
            Ok((latent.name.into_owned(), value))
        });
        runs.push((trace.log_prob()?, values.collect::<Result<_>>()?));
        if !odometer.advance() {
            break;
        }
    }
    let log_evidence = log_sum_exp(runs.iter().map(|(log_weight, _)| *log_weight));
    if log_evidence == f64::NEG_INFINITY {
        return Err(Error::Model(format!(
            "the observations are impossible under every combination of the latent values of `{}`",
            model.model_name()
        )));
    }
    let mut sites: BTreeMap<String, Vec<(Vec<f64>, f64)>> = BTreeMap::new();
    for (log_weight, values) in runs {
        let p = (log_weight - log_evidence).exp();
        for (name, value) in values {
            let marginal = sites.entry(name).or_default();
            match marginal.iter_mut().find(|(known, _)| *known == value) {
                Some((_, total)) => *total += p,
                None => marginal.push((value, p)),
            }
        }
    }
    Ok(ExactPosterior {
        log_evidence,
        sites,
    })
}

/// ln Σ eˣ.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.map(|x| (x - max).exp()).sum::<f64>().ln()
}

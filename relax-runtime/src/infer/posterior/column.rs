//! One site in many draws.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};

/// Stands for a value in draws whose run did not reach the site.
pub(super) const ABSENT: u32 = u32::MAX;

/// What one draw of everything else says about a site, whatever was drawn for the site itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InDraw {
    pub(super) draw: u32,
    /// The probability that a run reaches the site.
    pub(super) inclusion: f64,
    /// Given that, the probability of each value of the support, where later ones may be left out, or for a site
    /// without known probabilities its mean; empty if neither is known.
    #[serde(with = "super::saved::numbers")]
    pub(super) numbers: Vec<f64>,
}

/// One site in many draws, and what is known about it beyond them.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) name: String,
    /// Values it took.
    pub(super) values: Vec<Value>,
    /// Index into `values` for each draw; shorter than the number of draws if the last ones have no value.
    pub(super) places: Vec<u32>,
    /// Number of categories, if its values are indices of categories.
    pub(super) categories: Option<usize>,
    /// Whether its draws were recovered from a sum over its values, beside draws of what was not summed out.
    pub(super) is_summed_out: bool,
    /// Whether they were recovered from an integral.
    pub(super) is_integrated_out: bool,
    /// The probability that a run reaches it.
    pub(super) inclusion: f64,
    /// Its mean given that, if more is known than the draws' average.
    pub(super) mean: Option<Vec<f64>>,
    /// All values it can take, if they can be listed.
    pub(super) support: Option<Vec<Vec<f64>>>,
    /// The probability of each of those, if known better than by counting; they sum to `inclusion`.
    pub(super) probabilities: Option<Vec<f64>>,
    /// What single draws say about it, where that is more than their values and holds with any weights: beside sums. A
    /// draw that is left out says no more than whether it contains the site.
    pub(super) in_draws: Vec<InDraw>,
}

impl Column {
    pub(super) fn new(name: String, categories: Option<usize>) -> Self {
        Self {
            name,
            categories,
            ..Self::default()
        }
    }

    /// The site in no draws, about which nothing more is known.
    pub(super) fn without_draws(&self) -> Self {
        Self {
            is_summed_out: self.is_summed_out,
            is_integrated_out: self.is_integrated_out,
            ..Self::new(self.name.clone(), self.categories)
        }
    }

    /// Whether its draws were recovered from a sum or an integral.
    pub(super) fn is_recovered(&self) -> bool {
        self.is_summed_out || self.is_integrated_out
    }

    /// Notes how many categories its values index in a run, if any: runs may have different laws.
    pub(super) fn meets(&mut self, categories: Option<usize>) {
        let both = self.categories.zip(categories);
        self.categories = both.map(|(most, here)| most.max(here));
    }

    /// Whether a value is outside the supports of its known laws.
    ///
    /// # Errors
    /// If the value carries an error.
    pub(super) fn lacks(&self, value: &Value) -> Result<bool> {
        if self.categories.is_none() && self.support.is_none() {
            return Ok(false);
        }
        let numbers = value.peek_f64s()?;
        let beyond = |most: usize| numbers.iter().any(|&x| x >= most as f64);
        let is_there = |values: &Vec<Vec<f64>>| values.contains(&numbers);
        Ok(self.categories.is_some_and(beyond) || !self.support.as_ref().is_none_or(is_there))
    }

    /// Takes up a law's categories and values: as the first ones, or in addition to those already there.
    pub(super) fn take_up(
        &mut self,
        categories: Option<usize>,
        support: Option<Vec<Vec<f64>>>,
        is_first: bool,
    ) {
        if is_first {
            (self.categories, self.support) = (categories, support);
            return;
        }
        self.meets(categories);
        self.support = self.support.take().zip(support).map(|(mut all, values)| {
            let known: FxHashSet<_> = all.iter().map(|value| key(value)).collect();
            let is_new = |value: &Vec<f64>| !known.contains(&key(value));
            all.extend(values.into_iter().filter(is_new));
            all
        });
    }

    /// Whether its values form a discrete set.
    pub(super) fn is_discrete(&self) -> bool {
        let is_whole = |value: &Value| match value {
            Value::Bool(_) | Value::Index(_) => true,
            other => other
                .peek_f64s()
                .is_ok_and(|x| x.iter().all(|x| x.fract() == 0.0)),
        };
        self.categories.is_some() || self.support.is_some() || self.values.iter().all(is_whole)
    }

    /// Whether all its numbers are 0 or 1.
    pub(super) fn is_binary(&self) -> bool {
        self.values.iter().all(|value| match value {
            Value::Bool(_) => true,
            other => other
                .peek_f64s()
                .is_ok_and(|x| x.iter().all(|&x| x == 0.0 || x == 1.0)),
        })
    }

    /// The value in a draw.
    pub(super) fn value(&self, draw: usize) -> Option<&Value> {
        let place = *self.places.get(draw)?;
        self.values.get(place as usize)
    }

    /// Adds the value of a draw as a new entry of `values`.
    pub(super) fn push(&mut self, draw: usize, value: Value) {
        self.place(draw, self.values.len() as u32);
        self.values.push(value);
    }

    /// Records which value a draw has.
    pub(super) fn place(&mut self, draw: usize, place: u32) {
        self.places.resize(draw, ABSENT);
        self.places.push(place);
    }

    /// The draws that contain the site, each with the index of its value.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let places = self.places.iter().enumerate();
        let present = places.filter(|(_, place)| **place != ABSENT);
        present.map(|(draw, place)| (draw, *place as usize))
    }

    /// The site in the same draws with these weights. What was known beyond the values is averaged with the weights
    /// where it holds with any, and dropped elsewhere.
    pub(super) fn reweighted(&self, weights: &Weights, draws: usize) -> Self {
        let mut column = Self {
            mean: None,
            probabilities: None,
            ..self.clone()
        };
        column.inclusion = weights.inclusion(self, draws);
        let Some((mass, sums)) = self.known_sums(weights) else {
            return column;
        };
        match self.probabilities {
            Some(_) => column.probabilities = Some(sums),
            None => column.mean = Some(sums.into_iter().map(|sum| sum / mass).collect()),
        }
        column
    }

    /// The weighted sums of the draws' inclusion probabilities, and of what is known given inclusion.
    fn known_sums(&self, weights: &Weights) -> Option<(f64, Vec<f64>)> {
        let Weights::Whole(weights) = weights else {
            return None;
        };
        let all_know = self.in_draws.iter().all(|known| !known.numbers.is_empty());
        if self.in_draws.is_empty() || !all_know {
            return None;
        }
        let support = self.support.as_ref().map_or(0, Vec::len);
        let (mut mass, mut sums) = (0.0, vec![0.0; support]);
        for InDraw {
            draw,
            inclusion,
            numbers,
        } in &self.in_draws
        {
            let share = weights[*draw as usize] * inclusion;
            mass += share;
            add_all(&mut sums, numbers, share);
        }
        (mass > 0.0).then_some((mass, sums))
    }

    /// The numbers of each value.
    ///
    /// # Errors
    /// If their count differs between draws.
    pub(super) fn numbers(&self) -> Result<Vec<Vec<f64>>> {
        let numbers = self.values.iter().map(Value::peek_f64s);
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        let length = |numbers: &Vec<f64>| numbers.len();
        let (least, most) = (
            numbers.iter().map(length).min(),
            numbers.iter().map(length).max(),
        );
        match (least, most) {
            (Some(least), Some(most)) if least != most => Err(Error::Query(format!(
                "site `{}` holds {least} numbers in one draw and {most} in another; ask for \
                 `samples`",
                self.name
            ))),
            _ => Ok(numbers),
        }
    }

    /// Its values with their known probabilities, given that the run reaches it.
    ///
    /// # Errors
    /// If no possible run reaches it.
    pub(super) fn known(&self) -> Result<Option<impl Iterator<Item = (&[f64], f64)>>> {
        let (Some(support), Some(probabilities)) = (&self.support, &self.probabilities) else {
            return Ok(None);
        };
        let mass: f64 = probabilities.iter().sum();
        if mass <= 0.0 {
            return Err(never(&self.name));
        }
        let shares = probabilities.iter().map(move |p| p / mass);
        Ok(Some(support.iter().map(Vec::as_slice).zip(shares)))
    }

    /// The probability of each value of a support, from the weights of the draws that have it.
    ///
    /// # Errors
    /// If a value carries an error.
    pub(super) fn counted(
        &self,
        support: &[Vec<f64>],
        weight: impl Fn(usize) -> f64,
    ) -> Result<Vec<f64>> {
        let places = support.iter().enumerate().map(|(i, value)| (key(value), i));
        let places: FxHashMap<Vec<u64>, usize> = places.collect();
        let numbers = self.numbers()?;
        let mut probabilities = vec![0.0; support.len()];
        for (draw, place) in self.present() {
            if let Some(at) = places.get(&key(&numbers[place])) {
                probabilities[*at] += weight(draw);
            }
        }
        Ok(probabilities)
    }
}

/// The error of a query conditional on a site that no draw contains.
#[cold]
pub(super) fn never(site: &str) -> Error {
    Error::Query(format!(
        "no draw with positive weight contains site `{site}`, so nothing is known about it; take more \
         draws, or check whether any possible run reaches it"
    ))
}

/// The hash key of a value; both zeros have the same key.
pub(super) fn key(value: &[f64]) -> Vec<u64> {
    value.iter().map(|x| (x + 0.0).to_bits()).collect()
}

/// Adds a share of numbers to sums; returns whether there are as many as before.
pub(super) fn add_all(sums: &mut Vec<f64>, numbers: &[f64], share: f64) -> bool {
    if sums.is_empty() {
        sums.resize(numbers.len(), 0.0);
    }
    let pairs = sums.iter_mut().zip(numbers);
    pairs.for_each(|(sum, x)| *sum += x * share);
    sums.len() == numbers.len()
}

/// Adds the share of each element of a value to a mean; for category indices, to the mean of their indicators.
pub(super) fn add_mean(
    value: &[f64],
    categories: Option<usize>,
    share: impl Fn(usize) -> f64,
    mean: &mut Vec<f64>,
) {
    let width = categories.unwrap_or(1);
    mean.resize(value.len() * width, 0.0);
    for (i, &x) in value.iter().enumerate() {
        match categories {
            Some(_) => mean[i * width + x as usize] += share(i),
            None => mean[i] += x * share(i),
        }
    }
}

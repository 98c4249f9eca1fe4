//! Draws that are all combinations of values, with their probabilities.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::column::Column;
use super::draws::Draws;
use super::record::categories;
use super::weights::Weights;
use crate::dist::Value;
use crate::error::Result;
use crate::infer::pass::Latent;
use crate::special::LogSum;

/// Maximum number of values of all combinations that are kept: 16 MiB. Single sites are stored in addition.
const MOST_VALUES: usize = 1 << 22;

/// The combinations so far.
pub(in crate::infer) struct Table {
    sites: Vec<Site>,
    by_name: BTreeMap<String, usize>,
    /// Sums of the combinations' weights, and of their densities with each row counted once.
    evidence: LogSum,
    once: LogSum,
    /// The log-weight of each possible combination; `None` once there are too many to keep.
    log_weights: Option<Vec<f64>>,
}

/// The values of a site, with their weights.
struct Site {
    column: Column,
    /// Index of a value, by its bits.
    places: FxHashMap<Vec<u32>, u32>,
    numbers: Vec<Vec<f64>>,
    weights: Vec<LogSum>,
}

impl Table {
    pub(in crate::infer) fn new() -> Self {
        Self {
            sites: Vec::new(),
            by_name: BTreeMap::new(),
            evidence: LogSum::default(),
            once: LogSum::default(),
            log_weights: Some(Vec::new()),
        }
    }

    /// Adds a combination with its log-weight, and its log-density with each row of a plate counted once.
    ///
    /// # Errors
    /// If a value carries an error.
    pub(in crate::infer) fn add(
        &mut self,
        latents: &[Latent],
        log_weight: f64,
        once: f64,
    ) -> Result<()> {
        self.evidence.add(log_weight);
        self.once.add(once);
        let kept = self.log_weights.as_mut();
        let row = kept.filter(|_| log_weight > f64::NEG_INFINITY).map(|kept| {
            kept.push(log_weight);
            kept.len() - 1
        });
        for latent in latents {
            let at = match self.by_name.get(&*latent.name) {
                Some(at) => *at,
                None => self.new_site(latent),
            };
            self.sites[at].add(latent, log_weight, row)?;
        }
        if row.is_some_and(|row| (row + 1) * self.sites.len() > MOST_VALUES) {
            self.log_weights = None;
            let columns = self.sites.iter_mut().map(|site| &mut site.column);
            columns.for_each(|column| column.places = Vec::new());
        }
        Ok(())
    }

    fn new_site(&mut self, latent: &Latent) -> usize {
        let (at, name) = (self.sites.len(), latent.name.to_string());
        self.by_name.insert(name.clone(), at);
        self.sites.push(Site {
            column: Column::new(name, categories(&*latent.law)),
            places: FxHashMap::default(),
            numbers: Vec::new(),
            weights: Vec::new(),
        });
        at
    }

    /// ln p of the actual observations.
    pub(in crate::infer) fn log_evidence(&self) -> f64 {
        self.once.value()
    }

    /// The combinations as draws, whose weights are their probabilities.
    pub(in crate::infer) fn into_draws(self) -> Draws {
        let all = self.evidence.value();
        let probability = |log_weight: f64| (log_weight - all).exp();
        let columns = self.sites.into_iter().map(|site| {
            let probabilities = site.weights.iter().map(|sum| probability(sum.value()));
            let probabilities: Vec<f64> = probabilities.collect();
            Column {
                inclusion: probabilities.iter().sum(),
                support: Some(site.numbers),
                probabilities: Some(probabilities),
                ..site.column
            }
        });
        let weights = self.log_weights.unwrap_or_default().into_iter();
        let weights: Vec<f64> = weights.map(probability).collect();
        Draws::new(columns.collect(), weights.len(), Weights::Whole(weights))
    }
}

impl Site {
    /// Adds the site's value in a combination, and to `row` if the combination is kept.
    fn add(&mut self, latent: &Latent, log_weight: f64, row: Option<usize>) -> Result<()> {
        let value = latent.value.peek()?;
        let key: Vec<u32> = value.iter().map(|x| x.to_bits()).collect();
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                self.column.meets(categories(&*latent.law));
                let place = self.numbers.len() as u32;
                self.places.insert(key, place);
                self.numbers
                    .push(value.into_iter().map(f64::from).collect());
                self.weights.push(LogSum::default());
                let value = Value::Tensor(latent.value.kept());
                self.column.values.push(value);
                place
            }
        };
        self.weights[place as usize].add(log_weight);
        if let Some(row) = row {
            self.column.place(row, place);
        }
        Ok(())
    }
}

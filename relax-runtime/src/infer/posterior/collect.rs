//! Draws from records, one after the other.

use std::collections::BTreeMap;

use super::column::Column;
use super::draws::Draws;
use super::record::{Known, Record, SiteRecord, support};
use super::weights::Weights;
use crate::error::Result;

/// The records so far.
#[derive(Default)]
pub(super) struct Collected {
    columns: Vec<Column>,
    sums: Vec<Sums>,
    by_name: BTreeMap<String, usize>,
    count: usize,
}

/// What is known of a site beyond its values, added up over the draws that came by it.
#[derive(Default)]
struct Sums {
    mean: Vec<f64>,
    probabilities: Vec<f64>,
    values: Vec<Vec<f64>>,
    /// Whether something was known in every draw; in every draw a marginal.
    means: bool,
    marginals: bool,
}

impl Collected {
    /// Adds a record.
    ///
    /// # Errors
    /// If a tensor carries one.
    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        let draw = self.count;
        self.count += 1;
        for site in record.sites {
            let SiteRecord {
                name,
                value,
                categories,
                known,
            } = site;
            let at = match self.by_name.get(&*name) {
                Some(at) => *at,
                None => self.new_column(name.into_owned(), categories),
            };
            self.columns[at].push(draw, value);
            self.sums[at].add(known)?;
        }
        Ok(())
    }

    fn new_column(&mut self, name: String, categories: Option<usize>) -> usize {
        let at = self.columns.len();
        self.by_name.insert(name.clone(), at);
        self.columns.push(Column::new(name, categories));
        self.sums.push(Sums {
            means: true,
            marginals: true,
            ..Sums::default()
        });
        at
    }

    /// The draws, weighted alike.
    pub(super) fn equal(self) -> Draws {
        let count = self.count;
        let mut columns = self.columns;
        for (column, sums) in columns.iter_mut().zip(self.sums) {
            column.inclusion = Weights::Equal.inclusion(column, count);
            let met = column.present().count() as f64;
            let share = |sums: &[f64], of: f64| sums.iter().map(|sum| sum / of).collect();
            column.mean = sums.means.then(|| share(&sums.mean, met));
            if sums.marginals {
                column.probabilities = Some(share(&sums.probabilities, count as f64));
                column.support = Some(sums.values);
            }
        }
        Draws::new(columns, count, Weights::Equal)
    }
}

impl Sums {
    fn add(&mut self, known: Option<Known>) -> Result<()> {
        let Some(Known { mean, marginal }) = known else {
            (self.means, self.marginals) = (false, false);
            return Ok(());
        };
        self.means &= add_all(&mut self.mean, &mean);
        let Some((law, probabilities)) = marginal else {
            self.marginals = false;
            return Ok(());
        };
        if self.values.is_empty() {
            self.values = support(&*law)?;
        }
        self.marginals &= add_all(&mut self.probabilities, &probabilities);
        Ok(())
    }
}

/// Adds numbers to sums: whether they are as many as before.
fn add_all(sums: &mut Vec<f64>, numbers: &[f64]) -> bool {
    if sums.is_empty() {
        sums.resize(numbers.len(), 0.0);
    }
    let pairs = sums.iter_mut().zip(numbers);
    pairs.for_each(|(sum, x)| *sum += x);
    sums.len() == numbers.len()
}

//! Collects records into draws, one at a time.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::column::{Column, InDraw, add_all, key};
use super::draws::Draws;
use super::record::{Known, Record, SiteRecord, support};
use super::weights::Weights;
use crate::dist::Law;
use crate::error::Result;
use crate::estimator::DrawKind;

/// The records so far.
#[derive(Default)]
pub(super) struct Collected {
    columns: Vec<Column>,
    sums: Vec<Sums>,
    by_name: BTreeMap<String, usize>,
    count: usize,
    /// For each integrated-out site, the sum of the errors of rows' evidences, and how often the site was reached.
    node_errors: BTreeMap<String, (f64, f64)>,
    /// How many numbers that single draws know may still be kept.
    room: usize,
}

/// Maximum number of numbers that single draws know, beside values as many: 8 MiB.
const MOST_KNOWN: usize = 1 << 20;

/// What is known about a site beyond its values, summed over draws and weighted by each draw's inclusion probability.
#[derive(Default)]
struct Sums {
    inclusion: f64,
    mean: Vec<f64>,
    marginal: Marginal,
    /// Whether a mean was known in every draw, and a marginal in every draw.
    means: bool,
    marginals: bool,
    /// What each draw knows, if that holds with any weights, and whether this includes a mean or a marginal in all.
    in_draws: Vec<InDraw>,
    all_know: bool,
}

impl Collected {
    /// Draws that may be weighted: what each knows of sums is kept.
    pub(super) fn to_weight() -> Self {
        Self {
            room: MOST_KNOWN,
            ..Self::default()
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        let draw = self.count;
        self.count += 1;
        for site in record.sites {
            let SiteRecord {
                name,
                value,
                inclusion,
                categories,
                is_summed_out,
                known,
                node_error,
            } = site;
            if value.is_none() && inclusion == 0.0 {
                continue;
            }
            if let (Some(error), Some(_)) = (node_error, &value) {
                let sum = self.node_errors.entry(name.to_string()).or_default();
                *sum = (sum.0 + error, sum.1 + 1.0);
            }
            let at = match self.by_name.get(&*name) {
                Some(at) => *at,
                None => self.new_column(name.into_owned(), categories),
            };
            self.columns[at].meets(categories);
            self.columns[at].is_summed_out |= is_summed_out;
            self.columns[at].is_integrated_out |= node_error.is_some();
            let is_present = value.is_some();
            if let Some(value) = value {
                self.columns[at].push(draw, value);
            }
            let numbers = self.sums[at].add(known, inclusion)?;
            if self.room > 0 {
                self.keep(at, is_summed_out, is_present, inclusion, numbers);
            }
        }
        Ok(())
    }

    /// Keeps what the last draw knows about a site, if that is more than whether it is there.
    fn keep(
        &mut self,
        at: usize,
        is_summed_out: bool,
        is_present: bool,
        inclusion: f64,
        mut numbers: Vec<f64>,
    ) {
        let sums = &mut self.sums[at];
        sums.all_know &= is_summed_out && !numbers.is_empty() && numbers.len() < self.room;
        if !sums.all_know {
            numbers.clear();
        }
        self.room -= numbers.len();
        let is_more = !numbers.is_empty() || inclusion != f64::from(u8::from(is_present));
        if is_more {
            sums.in_draws.push(InDraw {
                draw: (self.count - 1) as u32,
                inclusion,
                numbers,
            });
        }
    }

    fn new_column(&mut self, name: String, categories: Option<usize>) -> usize {
        let at = self.columns.len();
        self.by_name.insert(name.clone(), at);
        self.columns.push(Column::new(name, categories));
        self.sums.push(Sums {
            means: true,
            marginals: true,
            all_know: true,
            ..Sums::default()
        });
        at
    }

    /// For each integrated-out site, the maximum error of a row's evidence, averaged over draws.
    pub(super) fn node_errors(&self) -> BTreeMap<String, f64> {
        let sums = self.node_errors.iter();
        sums.map(|(name, (sum, met))| (name.clone(), sum / met))
            .collect()
    }

    /// The draws, with equal weights.
    pub(super) fn equal(self) -> Draws {
        let count = self.count;
        let mut columns = self.columns;
        for (column, sums) in columns.iter_mut().zip(self.sums) {
            column.in_draws = sums.in_draws;
            if !sums.all_know {
                let all = column.in_draws.iter_mut();
                all.for_each(|known| known.numbers = Vec::new());
            }
            column.inclusion = sums.inclusion / count as f64;
            let share = |sums: &[f64], of: f64| sums.iter().map(|sum| sum / of).collect();
            column.mean = sums.means.then(|| share(&sums.mean, sums.inclusion));
            if sums.marginals {
                let Marginal {
                    values,
                    probabilities,
                    ..
                } = sums.marginal;
                column.probabilities = Some(share(&probabilities, count as f64));
                column.support = Some(values);
            }
        }
        Draws::new(columns, count, Weights::Equal)
    }
}

impl Sums {
    /// Adds what a draw knows; returns the probability of each value so far, or the mean, or nothing if the draws do
    /// not all know the same.
    fn add(&mut self, known: Option<Known>, inclusion: f64) -> Result<Vec<f64>> {
        self.inclusion += inclusion;
        let Some(Known { mean, marginal }) = known else {
            (self.means, self.marginals) = (false, false);
            return Ok(Vec::new());
        };
        self.means &= add_all(&mut self.mean, &mean, inclusion);
        if let (Some((law, probabilities)), true) = (marginal, self.marginals) {
            return self.marginal.add(&*law, probabilities, inclusion);
        }
        let knew_marginals = self.marginals && !self.marginal.values.is_empty();
        self.marginals = false;
        Ok(match self.means && !knew_marginals {
            true => mean,
            false => Vec::new(),
        })
    }
}

/// The probability of each value, summed over draws.
#[derive(Default)]
struct Marginal {
    /// The last law met, by its name.
    law: &'static str,
    values: Vec<Vec<f64>>,
    probabilities: Vec<f64>,
    /// Index of a value, by its [`key`].
    places: FxHashMap<Vec<u64>, usize>,
}

impl Marginal {
    /// Adds a draw's probabilities; returns that of each value so far.
    fn add(&mut self, law: &dyn Law, probabilities: Vec<f64>, inclusion: f64) -> Result<Vec<f64>> {
        // The values of coins and categories follow from their number; those of counts may differ in every run.
        let kind = DrawKind::of(law.draws());
        let follow = matches!(kind, DrawKind::Coins | DrawKind::Categories);
        if follow && law.name() == self.law && probabilities.len() == self.values.len() {
            add_all(&mut self.probabilities, &probabilities, inclusion);
            return Ok(probabilities);
        }
        self.law = law.name();
        let mut own = vec![0.0; self.values.len()];
        for (value, p) in support(law)?.into_iter().zip(probabilities) {
            let place = *self.places.entry(key(&value)).or_insert_with(|| {
                self.values.push(value);
                self.probabilities.push(0.0);
                own.push(0.0);
                self.values.len() - 1
            });
            self.probabilities[place] += p * inclusion;
            own[place] += p;
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Categorical, DiscreteUniform, Distribution, Value};

    /// A run that reaches one site.
    fn record(value: usize, categories: Option<usize>, known: Option<Known>) -> Record {
        let site = SiteRecord {
            name: "k".into(),
            value: Some(Value::Index(value)),
            inclusion: 1.0,
            categories,
            is_summed_out: false,
            known,
            node_error: None,
        };
        Record {
            sites: Vec::from([site]),
            log_weights: vec![0.0],
            surplus: 0.0,
            scaled: None,
        }
    }

    /// A site not drawn from a law of the run, as when it was summed out: its law stands in for the values, and if a
    /// draw knows no law, the values are counted.
    #[test]
    fn what_is_known_stands_for_the_values() -> Result<()> {
        let draws = |known: [Option<[f64; 2]>; 2]| -> Result<Draws> {
            let mut collected = Collected::default();
            for (k, known) in known.into_iter().enumerate() {
                let law = Categorical::probs([0.5, 0.5])?.law()?;
                let known = known.map(|p| Known {
                    mean: p.to_vec(),
                    marginal: Some((law, p.to_vec())),
                });
                collected.add(record(k, Some(2), known))?;
            }
            collected.add(Record {
                sites: Vec::new(),
                log_weights: vec![0.0],
                surplus: 0.0,
                scaled: None,
            })?;
            Ok(collected.equal())
        };
        let close = |found: &[f64], wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len());
            let pairs = found.iter().zip(wanted);
            pairs.for_each(|(x, y)| assert!((x - y).abs() < 1e-12, "{found:?}, {wanted:?}"));
        };
        let known = draws([Some([0.9, 0.1]), Some([0.6, 0.4])])?;
        close(&known.means("k")?, &[0.75, 0.25]);
        close(&[known.inclusion_probability("k")?], &[2.0 / 3.0]);
        let marginal: Vec<f64> = known.marginal("k")?.into_iter().map(|(_, p)| p).collect();
        close(&marginal, &[0.5, 1.0 / 6.0]);

        let counted = draws([Some([0.9, 0.1]), None])?;
        close(&counted.means("k")?, &[0.5, 0.5]);
        let weighted = known.reweighted(Weights::Whole(vec![0.1, 0.3, 0.6]));
        close(&weighted.means("k")?, &[0.25, 0.75]);
        let marginal = weighted.marginal("k")?;
        close(&[marginal[0].1, marginal[1].1], &[0.1, 0.3]);
        close(&[weighted.inclusion_probability("k")?], &[0.4]);
        Ok(())
    }

    /// A site that was summed out: what each draw knows of it is averaged with weights, too, unless a draw does not
    /// know.
    #[test]
    fn what_sums_know_is_weighted() -> Result<()> {
        let draws = |known: [Option<[f64; 2]>; 2]| -> Result<Draws> {
            let mut collected = Collected::to_weight();
            for (k, known) in known.into_iter().enumerate() {
                let law = Categorical::probs([0.5, 0.5])?.law()?;
                let known = known.map(|p| Known {
                    mean: p.to_vec(),
                    marginal: Some((law, p.to_vec())),
                });
                let mut record = record(k, Some(2), known);
                record.sites[0].is_summed_out = true;
                record.sites[0].inclusion = 0.5;
                collected.add(record)?;
            }
            Ok(collected.equal())
        };
        let weights = || Weights::Whole(vec![0.25, 0.75]);
        let known = draws([Some([0.9, 0.1]), Some([0.6, 0.4])])?.reweighted(weights());
        let marginal: Vec<f64> = known.marginal("k")?.into_iter().map(|(_, p)| p).collect();
        let wanted = [0.25 * 0.9 + 0.75 * 0.6, 0.25 * 0.1 + 0.75 * 0.4];
        for (at, wanted) in wanted.into_iter().enumerate() {
            assert!((known.means("k")?[at] - wanted).abs() < 1e-12);
            assert!((marginal[at] - 0.5 * wanted).abs() < 1e-12);
        }
        assert!((known.inclusion_probability("k")? - 0.5).abs() < 1e-12);
        let counted = draws([Some([0.9, 0.1]), None])?.reweighted(weights());
        assert_eq!(counted.means("k")?, [0.25, 0.75]);
        Ok(())
    }

    /// Ranges that differ in every run: each probability is added to its value.
    #[test]
    fn runs_may_have_other_values() -> Result<()> {
        let mut collected = Collected::default();
        for (low, p) in [(0, [0.5, 0.5]), (1, [0.25, 0.75]), (1, [0.5, 0.5])] {
            let law = DiscreteUniform::new(low, low + 1)?.law()?;
            let known = Known {
                mean: vec![low as f64 + p[1]],
                marginal: Some((law, p.to_vec())),
            };
            collected.add(record(low, None, Some(known)))?;
        }
        let marginal = collected.equal().marginal("k")?;
        for ((value, p), wanted) in marginal.iter().zip([0.5, 1.25, 1.25]) {
            assert!((p - wanted / 3.0).abs() < 1e-12, "{value:?}: {p}");
        }
        assert_eq!(marginal.len(), 3);
        Ok(())
    }
}

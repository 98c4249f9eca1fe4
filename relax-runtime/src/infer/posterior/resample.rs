//! Other weights for the same draws, and draws by their weights.

use super::column::Column;
use super::draws::{Draws, expect_some};
use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::random::{Key, Stream};
use crate::tensor::{Device, Tensor};

impl Draws {
    /// The same draws with other weights. What is known of single sites beyond their values was so
    /// without these.
    pub(super) fn reweighted(&self, weights: Weights) -> Self {
        let columns = self.columns.iter().map(|column| {
            let mut column = Column {
                mean: None,
                probabilities: None,
                ..column.clone()
            };
            column.inclusion = weights.inclusion(&column, self.count);
            column
        });
        Self::new(columns.collect(), self.count, weights)
    }

    /// `n` independent draws from the draws, each as likely as it is heavy; where rows have weights of
    /// their own, each row on its own. The result's all have the same weight.
    ///
    /// # Errors
    /// If `n` is 0, or there are no draws but only single sites.
    pub fn resample(&self, n: usize, seed: u64) -> Result<Self> {
        expect_some("resampled draws", n)?;
        let mut stream = Key::new(seed).stream("resample");
        let columns: Vec<Column> = match &self.weights {
            Weights::Rows(rows) => {
                let chosen = rows.iter().map(|weights| choose(weights, n, &mut stream));
                let chosen: Vec<Vec<usize>> = chosen.collect();
                let joined = self.columns.iter().map(|column| joined(column, &chosen, n));
                joined.collect::<Result<_>>()?
            }
            weights => {
                self.expect_whole_draws()?;
                let chosen = match weights {
                    Weights::Whole(weights) => choose(weights, n, &mut stream),
                    _ => (0..n).map(|_| stream.below(self.count)).collect(),
                };
                self.columns
                    .iter()
                    .map(|column| taken(column, &chosen))
                    .collect()
            }
        };
        Ok(Self::of_equal(columns, n))
    }

    /// The first `n` draws of equal weight, from the first again after the last.
    pub(super) fn cycled(&self, n: usize) -> Self {
        let chosen: Vec<usize> = (0..n).map(|i| i % self.count).collect();
        let columns = self.columns.iter().map(|column| taken(column, &chosen));
        Self::of_equal(columns.collect(), n)
    }

    /// Draws of equal weight of which only the values are known.
    pub(super) fn of_equal(mut columns: Vec<Column>, count: usize) -> Self {
        columns.retain(|column| column.present().next().is_some());
        for column in &mut columns {
            column.inclusion = Weights::Equal.inclusion(column, count);
        }
        Self::new(columns, count, Weights::Equal)
    }
}

/// `n` draws, each as likely as it is heavy.
fn choose(weights: &[f64], n: usize, stream: &mut Stream) -> Vec<usize> {
    let sums: Vec<f64> = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let total = sums.last().copied().unwrap_or(0.0);
    let one = |_| {
        let at = stream.uniform_f64() * total;
        sums.partition_point(|sum| *sum <= at).min(sums.len() - 1)
    };
    (0..n).map(one).collect()
}

/// A site in some of the draws.
fn taken(column: &Column, chosen: &[usize]) -> Column {
    let mut taken = Column::new(column.name.clone(), column.categories);
    taken.values.clone_from(&column.values);
    taken.support.clone_from(&column.support);
    for (draw, from) in chosen.iter().enumerate() {
        if let Some(place) = column.places.get(*from) {
            taken.place(draw, *place);
        }
    }
    taken
}

/// A site each of whose rows comes from another draw.
fn joined(column: &Column, chosen: &[Vec<usize>], n: usize) -> Result<Column> {
    let numbers = column.numbers()?;
    let device = match column.values.first() {
        Some(Value::Tensor(t)) => t.device(),
        _ => Device::cpu(),
    };
    let mut joined = Column::new(column.name.clone(), column.categories);
    for draw in 0..n {
        let mut values = Vec::new();
        for (row, chosen_of_row) in chosen.iter().enumerate() {
            let place = column.places.get(chosen_of_row[draw]);
            let whole = place.and_then(|place| numbers.get(*place as usize));
            let whole = whole.ok_or_else(|| not_everywhere(column))?;
            let width = whole.len() / chosen.len();
            let own = &whole[row * width..(row + 1) * width];
            values.extend(own.iter().map(|&x| x as f32));
        }
        let value = Tensor::from_vec(values, column.values[0].shape(), &device)?;
        joined.push(draw, Value::Tensor(value));
    }
    Ok(joined)
}

fn not_everywhere(column: &Column) -> Error {
    Error::Query(format!(
        "not every run came by site `{}`, so that its rows cannot be drawn one by one; ask for `means`",
        column.name
    ))
}

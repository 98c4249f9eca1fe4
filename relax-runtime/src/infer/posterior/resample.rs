//! Reweights draws, and resamples them by their weights.

use super::column::Column;
use super::draws::{Draws, expect_some};
use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::random::{Key, Stream};
use crate::tensor::{Device, Tensor};

impl Draws {
    /// The same draws with other weights. What was known about a site that was drawn, beyond its values, held without
    /// these weights and is dropped; what each draw says about one that was summed out is averaged with them.
    pub(super) fn reweighted(&self, weights: Weights) -> Self {
        let columns = self.columns.iter();
        let columns = columns.map(|column| column.reweighted(&weights, self.count));
        Self::new(columns.collect(), self.count, weights)
    }

    /// Resamples `n` draws of equal weight, each independently with probability proportional to its weight; if rows
    /// have their own weights, row by row.
    ///
    /// # Errors
    /// If `n` is 0, or only single sites are known and there are no draws.
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

    /// `n` draws of equal weight: all of them in turn as often as that goes, and then as many as are left over, as far
    /// from each other as can be, since neighbors may be of the same chain.
    pub(super) fn cycled(&self, n: usize) -> Self {
        let left = n % self.count;
        let whole = n - left;
        let one = |i: usize| match i < whole {
            true => i % self.count,
            false => (i - whole) * self.count / left,
        };
        let chosen: Vec<usize> = (0..n).map(one).collect();
        let columns = self.columns.iter().map(|column| taken(column, &chosen));
        Self::of_equal(columns.collect(), n)
    }

    /// Draws of equal weight about which only the values are known.
    pub(super) fn of_equal(mut columns: Vec<Column>, count: usize) -> Self {
        columns.retain(|column| column.present().next().is_some());
        for column in &mut columns {
            column.inclusion = Weights::Equal.inclusion(column, count);
        }
        Self::new(columns, count, Weights::Equal)
    }
}

/// Chooses `n` draws, each with probability proportional to its weight.
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

/// A site in the chosen draws.
fn taken(column: &Column, chosen: &[usize]) -> Column {
    let mut taken = column.without_draws();
    taken.values.clone_from(&column.values);
    taken.support.clone_from(&column.support);
    for (draw, from) in chosen.iter().enumerate() {
        if let Some(place) = column.places.get(*from) {
            taken.place(draw, *place);
        }
    }
    taken
}

/// A site whose rows each come from their own chosen draw.
fn joined(column: &Column, chosen: &[Vec<usize>], n: usize) -> Result<Column> {
    let numbers = column.numbers()?;
    let device = match column.values.first() {
        Some(Value::Tensor(t)) => t.device(),
        _ => Device::cpu(),
    };
    let mut joined = column.without_draws();
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
        "site `{}` is not in every draw, so its rows cannot be resampled one by one; ask for `means`",
        column.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_draws_are_spread_over_all() -> Result<()> {
        let mut column = Column::new("x".into(), None);
        (0..8).for_each(|draw| column.push(draw, Value::Real(draw as f64)));
        let draws = Draws::of_equal(vec![column], 8);
        let taken = |n: usize| -> Result<Vec<f64>> {
            let cycled = draws.cycled(n);
            let numbers = cycled.records()?.map(|draw| draw.number("x"));
            numbers.collect()
        };
        assert_eq!(taken(4)?, [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(taken(3)?, [0.0, 2.0, 5.0]);
        let all: Vec<f64> = (0..8).map(f64::from).collect();
        assert_eq!(taken(8)?, all);
        assert_eq!(taken(12)?, [&all[..], &[0.0, 2.0, 4.0, 6.0]].concat());
        Ok(())
    }
}

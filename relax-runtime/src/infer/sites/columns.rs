//! Variances of rows of numbers.

/// Sums of numbers and of their squares, column by column, relative to the first row.
#[derive(Debug, Default)]
pub(in crate::infer) struct Columns {
    pub(in crate::infer) count: f64,
    first: Vec<f32>,
    sum: Vec<f64>,
    square: Vec<f64>,
    /// A row that waits for its pair.
    single: Option<Vec<f32>>,
    /// For pairs of rows, the sum and the sum of squares of half their squared distance, as a mean over columns; and
    /// the number of pairs.
    pairs: [f64; 3],
}

impl Columns {
    /// Adds a row; one whose width differs from that of the first is left out.
    pub(in crate::infer) fn add(&mut self, row: &[f32]) {
        if self.count == 0.0 {
            self.first = row.to_vec();
            self.sum = vec![0.0; row.len()];
            self.square = vec![0.0; row.len()];
        }
        if row.len() != self.first.len() {
            return;
        }
        self.count += 1.0;
        for (at, (x, first)) in row.iter().zip(&self.first).enumerate() {
            let off = f64::from(x - first);
            self.sum[at] += off;
            self.square[at] += off * off;
        }
        self.single = match self.single.take() {
            None => Some(row.to_vec()),
            Some(other) => {
                let apart = row
                    .iter()
                    .zip(&other)
                    .map(|(x, y)| f64::from(x - y).powi(2));
                let half = 0.5 * apart.sum::<f64>() / row.len().max(1) as f64;
                self.pairs[0] += half;
                self.pairs[1] += half * half;
                self.pairs[2] += 1.0;
                None
            }
        };
    }

    /// The mean variance of a column, if there are at least two rows.
    pub(in crate::infer) fn variance(&self) -> Option<f64> {
        if self.count < 2.0 || self.first.is_empty() {
            return None;
        }
        let of = |(sum, square): (&f64, &f64)| (square - sum * sum / self.count).max(0.0);
        let total: f64 = self.sum.iter().zip(&self.square).map(of).sum();
        Some(total / (self.count - 1.0) / self.first.len() as f64)
    }

    /// The standard error of that: half the squared distance of two rows is an estimate by itself, and pairs are
    /// independent. The variance from all rows is somewhat more precise.
    pub(in crate::infer) fn variance_error(&self) -> Option<f64> {
        let [sum, square, count] = self.pairs;
        let spread = (square - sum * sum / count).max(0.0) / (count - 1.0);
        (count >= 2.0).then(|| (spread / count).sqrt())
    }
}

//! Variances of rows of numbers.

/// Sums of numbers and of their squares, column by column, about the first row.
#[derive(Debug, Default)]
pub(in crate::infer) struct Columns {
    pub(in crate::infer) count: f64,
    first: Vec<f32>,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl Columns {
    /// Adds a row; one of another width than the first is left out.
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
    }

    /// The mean variance of a column, if there are two rows at least.
    pub(in crate::infer) fn variance(&self) -> Option<f64> {
        if self.count < 2.0 || self.first.is_empty() {
            return None;
        }
        let of = |(sum, square): (&f64, &f64)| (square - sum * sum / self.count).max(0.0);
        let total: f64 = self.sum.iter().zip(&self.square).map(of).sum();
        Some(total / (self.count - 1.0) / self.first.len() as f64)
    }
}

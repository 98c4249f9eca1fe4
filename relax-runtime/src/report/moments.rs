//! Running moments of a gradient.

/// Exponential moving averages of a gradient and its square, coordinate by coordinate, as in the
/// RODEO and Double CV experiments: their difference estimates the gradient's variance while the
/// parameters move slowly.
#[derive(Clone, Debug, Default)]
pub(crate) struct GradientMoments {
    mean: Vec<f64>,
    square: Vec<f64>,
    weight: f64,
}

impl GradientMoments {
    const DECAY: f64 = 0.99;

    /// Takes in one gradient.
    pub(crate) fn update(&mut self, gradient: &[f32]) {
        if self.mean.len() != gradient.len() {
            *self = Self {
                mean: vec![0.0; gradient.len()],
                square: vec![0.0; gradient.len()],
                weight: 0.0,
            };
        }
        let rate = 1.0 - Self::DECAY;
        self.weight += rate * (1.0 - self.weight);
        for ((mean, square), &g) in self.mean.iter_mut().zip(&mut self.square).zip(gradient) {
            let g = f64::from(g);
            *mean += rate * (g - *mean);
            *square += rate * (g * g - *square);
        }
    }

    /// The averages, to be saved.
    pub(crate) fn state(&self) -> impl Iterator<Item = f64> {
        std::iter::once(self.weight)
            .chain(self.mean.iter().copied())
            .chain(self.square.iter().copied())
    }

    /// The averages that [`state`](Self::state) gave.
    pub(crate) fn restored(state: &[f64]) -> Self {
        let (weight, rest) = state.split_first().unwrap_or((&0.0, &[]));
        let (mean, square) = rest.split_at(rest.len() / 2);
        Self {
            weight: *weight,
            mean: mean.to_vec(),
            square: square.to_vec(),
        }
    }

    /// The mean variance of a coordinate; 0 before the first gradient.
    pub(crate) fn variance(&self) -> f64 {
        let of = |(mean, square): (&f64, &f64)| {
            (square / self.weight - (mean / self.weight).powi(2)).max(0.0)
        };
        let total: f64 = self.mean.iter().zip(&self.square).map(of).sum();
        total / self.mean.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::GradientMoments;

    #[test]
    fn variance_of_an_alternating_gradient() {
        let mut moments = GradientMoments::default();
        for i in 0..5_000 {
            moments.update(&[if i % 2 == 0 { 3.0 } else { 1.0 }, 5.0]);
        }
        assert!(
            (moments.variance() - 0.5).abs() < 1e-3,
            "{}",
            moments.variance()
        );
    }
}

//! Baselines for costs.

/// An exponential moving average with bias correction: a baseline made of past costs only, so that
/// subtracting it leaves every estimator unbiased.
#[derive(Clone, Copy, Debug)]
pub struct MovingAverage {
    decay: f64,
    sum: f64,
    weight: f64,
}

impl Default for MovingAverage {
    fn default() -> Self {
        Self::new(0.99)
    }
}

impl MovingAverage {
    /// An average that forgets at rate `1 − decay` per step.
    pub fn new(decay: f64) -> Self {
        Self {
            decay,
            sum: 0.0,
            weight: 0.0,
        }
    }

    /// The average so far; 0 before the first number.
    pub fn value(&self) -> f64 {
        if self.is_known() {
            self.sum / self.weight
        } else {
            0.0
        }
    }

    /// Whether it has taken in any number.
    pub fn is_known(&self) -> bool {
        self.weight > 0.0
    }

    /// Sum and weight, to be saved.
    pub(crate) fn state(&self) -> [f64; 2] {
        [self.sum, self.weight]
    }

    /// Restores a saved sum and weight.
    pub(crate) fn restore(&mut self, [sum, weight]: [f64; 2]) {
        (self.sum, self.weight) = (sum, weight);
    }

    /// Takes in one number.
    pub fn update(&mut self, x: f64) {
        self.sum = self.decay * self.sum + (1.0 - self.decay) * x;
        self.weight = self.decay * self.weight + (1.0 - self.decay);
    }
}

#[cfg(test)]
mod tests {
    use super::MovingAverage;

    #[test]
    fn the_average_is_unbiased_from_the_first_number() {
        let mut average = MovingAverage::new(0.9);
        assert_eq!(average.value(), 0.0);
        average.update(4.0);
        assert!((average.value() - 4.0).abs() < 1e-12);
        average.update(2.0);
        assert!((average.value() - (0.9 * 4.0 + 2.0) / 1.9).abs() < 1e-12);
    }
}

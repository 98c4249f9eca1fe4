//! Logarithms of sums of numbers whose logarithms are known.

/// ln Σ eˣ, with the digits of the largest number; −∞ for no numbers.
pub(crate) fn log_sum(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = LogSum::default();
    numbers.into_iter().for_each(|x| sum.add(x));
    sum.value()
}

/// The same sum, built up one number at a time.
#[derive(Clone, Copy)]
pub(crate) struct LogSum {
    largest: f64,
    /// Σ e^(x − largest) of the others.
    others: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self {
            largest: f64::NEG_INFINITY,
            others: 0.0,
        }
    }
}

impl LogSum {
    pub(crate) fn add(&mut self, x: f64) {
        if x > self.largest {
            self.others = (self.others + 1.0) * (self.largest - x).exp();
            self.largest = x;
        } else if x != f64::NEG_INFINITY {
            self.others += (x - self.largest).exp();
        }
    }

    pub(crate) fn value(&self) -> f64 {
        self.largest + self.others.ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_small_and_impossible_numbers_add_up() {
        assert_eq!(log_sum([]), f64::NEG_INFINITY);
        assert_eq!(log_sum([f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert_eq!(log_sum([f64::NEG_INFINITY, -800.0]), -800.0);
        let three = log_sum([-1000.0, -1000.0, f64::NEG_INFINITY, -1000.0]);
        assert!((three - (3.0_f64.ln() - 1000.0)).abs() < 1e-12, "{three}");
        let rising = log_sum([1.0, 2.0, 3.0]);
        assert!(
            (rising - log_sum([3.0, 1.0, 2.0])).abs() < 1e-15,
            "{rising}"
        );
        assert!(log_sum([0.0, f64::NAN]).is_nan());
    }

    #[test]
    fn a_sum_close_to_one_keeps_its_digits() {
        let rest = 1e-20_f64;
        assert_eq!(log_sum([0.0, rest.ln()]), (rest.ln()).exp());
        assert_eq!(log_sum([rest.ln(), 0.0]), (rest.ln()).exp());
    }
}

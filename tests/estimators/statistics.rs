//! Means with their standard errors, and the test that every estimator has to pass.

use relax_runtime::{Result, Tensor};

/// A mean further than this many standard errors from the exact value is a bias: among a thousand
/// comparisons of unbiased estimators, one in a hundred runs would see it.
const LARGEST_Z: f64 = 4.5;

/// A standard error beyond this fraction of the gradient's largest coordinate shows nothing.
const LARGEST_ERROR: f64 = 0.03;

/// Rounding of f32 arithmetic, as a fraction of the gradient's largest coordinate: no standard
/// error is taken to be smaller.
const ROUNDING: f64 = 2e-6;

/// Mean and variance of independent draws of a vector.
#[derive(Clone, Debug)]
pub struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub fn new(width: usize) -> Self {
        Self {
            count: 0.0,
            mean: vec![0.0; width],
            squares: vec![0.0; width],
        }
    }

    /// Takes each row of a tensor as a draw.
    pub fn of_rows(rows: &Tensor) -> Result<Self> {
        let values = rows.to_vec()?;
        let width = values.len() / rows.rows();
        let mut moments = Self::new(width);
        let mut draw = vec![0.0; width];
        for row in values.chunks(width) {
            draw.iter_mut().zip(row).for_each(|(x, &y)| *x = y.into());
            moments.push(&draw);
        }
        Ok(moments)
    }

    pub fn push(&mut self, draw: &[f64]) {
        assert_eq!(draw.len(), self.mean.len());
        self.count += 1.0;
        for ((mean, squares), x) in self.mean.iter_mut().zip(&mut self.squares).zip(draw) {
            let off = x - *mean;
            *mean += off / self.count;
            *squares += off * (x - *mean);
        }
    }

    /// The sum of the coordinates' variances.
    pub fn total_variance(&self) -> f64 {
        self.squares.iter().sum::<f64>() / (self.count - 1.0)
    }

    /// Compares the mean with the exact gradient.
    ///
    /// # Errors
    /// What is wrong, if the mean is too far off, or known too badly for the test to mean much.
    pub fn compare(&self, exact: &[f64]) -> std::result::Result<Agreement, String> {
        assert_eq!(exact.len(), self.mean.len());
        let size = exact.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
        let mut agreement = Agreement::default();
        for ((mean, squares), exact) in self.mean.iter().zip(&self.squares).zip(exact) {
            let error = (squares / (self.count - 1.0) / self.count).sqrt();
            let z = (mean - exact).abs() / error.max(ROUNDING * size);
            agreement.z = agreement.z.max(z);
            agreement.error = agreement.error.max(error / size);
        }
        let Agreement { z, error } = agreement;
        if z.is_nan() || z > LARGEST_Z {
            let mean = &self.mean;
            return Err(format!(
                "mean {mean:?}, exact {exact:?}: {z:.1} standard errors"
            ));
        }
        if error.is_nan() || error > LARGEST_ERROR {
            return Err(format!(
                "standard error {error:.4} of the gradient: too few draws"
            ));
        }
        Ok(agreement)
    }
}

/// How well a mean agrees with the exact gradient, at its worst coordinate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement {
    /// Distance in standard errors.
    pub z: f64,
    /// Standard error, as a fraction of the gradient's largest coordinate.
    pub error: f64,
}

/// Collects the failures of many comparisons, so that one run shows all of them.
#[derive(Default)]
pub struct Verdicts {
    failures: Vec<String>,
    count: usize,
    worst: Agreement,
}

impl Verdicts {
    pub fn add(&mut self, what: &str, verdict: std::result::Result<Agreement, String>) {
        self.count += 1;
        match verdict {
            Ok(agreement) => {
                self.worst.z = self.worst.z.max(agreement.z);
                self.worst.error = self.worst.error.max(agreement.error);
            }
            Err(problem) => self.failures.push(format!("{what}: {problem}")),
        }
    }

    /// Fails if anything failed.
    pub fn finish(self) {
        let Self {
            failures,
            count,
            worst: Agreement { z, error },
        } = self;
        println!("{count} comparisons, at worst {z:.2} standard errors of {error:.4}");
        assert!(count > 0);
        assert!(failures.is_empty(), "biased:\n{}", failures.join("\n"));
    }
}

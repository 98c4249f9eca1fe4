//! Gumbel: the largest of many numbers.

use super::family::*;

/// Euler's constant: the mean of a standard Gumbel number.
const EULER: f64 = 0.577_215_664_901_532_9;

location_scale! {
    /// Independent Gumbel numbers of distribution function e^(−e^(−(x − loc)/scale)); over `f64`s a
    /// draw is an `f64`, over tensors a tensor of their broadcast shape.
    ///
    /// Its automatic guide is a Gaussian.
    ///
    /// ```
    /// # use relax_runtime::prelude::*;
    /// # use relax_runtime::dist::Distribution;
    /// # fn main() -> Result<()> {
    /// let density = Gumbel::new(0.0, 1.0)?.log_prob(&0.0)?.total()?;
    /// assert!((density + 1.0).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    Gumbel,
    symmetric: false,
    log_density: |t| {
        let t = -t;
        t.clone() - t.exp()
    },
    standard: |stream| -(-stream.uniform_f64().ln()).ln(),
    mean: EULER,
    guide: (EULER, PI / 6.0_f64.sqrt())
}

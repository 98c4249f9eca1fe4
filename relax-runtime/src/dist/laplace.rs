//! Laplace: numbers whose distance from a location is exponential.

use std::f64::consts::SQRT_2;

use super::family::*;

location_scale! {
    /// Independent Laplace numbers of density e^(−|x − loc|/scale)/(2 scale), whose mean distance from
    /// `loc` is `scale`; over `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape.
    ///
    /// Its automatic guide is a Gaussian.
    ///
    /// ```
    /// # use relax_runtime::prelude::*;
    /// # use relax_runtime::dist::Distribution;
    /// # fn main() -> Result<()> {
    /// let density = Laplace::new(1.0, 0.5)?.log_prob(&2.0)?.total()?;
    /// assert!((density + 2.0).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    Laplace,
    symmetric: true,
    log_density: |t| -t.abs() - LN_2,
    standard: |stream| {
        let u = stream.uniform_f64();
        if u < 0.5 { (2.0 * u).ln() } else { -(2.0 * (1.0 - u)).ln() }
    },
    mean: 0.0,
    guide: (0.0, SQRT_2)
}

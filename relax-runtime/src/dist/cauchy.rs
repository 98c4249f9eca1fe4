//! Cauchy: numbers with tails so heavy that they have no mean.

use super::family::*;
use super::student_t::ln_1p_square;

/// The tangent of a uniform angle: a standard Cauchy number.
pub(super) fn standard(stream: &mut Stream) -> f64 {
    -1.0 / (PI * f64::from(stream.noise_number())).tan()
}

location_scale! {
    /// Independent Cauchy numbers of density 1/(π scale (1 + t²)) with t = (x − loc)/scale; over `f64`s
    /// a draw is an `f64`, over tensors a tensor of their broadcast shape. They have no mean.
    ///
    /// Its automatic guide is a Gaussian: given data a posterior has lighter tails, and under a guide with
    /// these tails most bounds are infinite.
    ///
    /// ```
    /// # use relax_runtime::prelude::*;
    /// # use relax_runtime::dist::Distribution;
    /// # fn main() -> Result<()> {
    /// let density = Cauchy::new(0.0, 1.0)?.log_prob(&1.0)?.total()?;
    /// assert!((density + (2.0 * std::f64::consts::PI).ln()).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    Cauchy,
    symmetric: true,
    log_density: |t| -ln_1p_square(&t) - PI.ln(),
    standard: |stream| standard(stream),
    mean: f64::NAN,
    guide: (0.0, 1.0)
}

//! Logistic: the log-odds of a uniform probability, shifted and scaled.

use super::family::*;

location_scale! {
    /// Independent logistic numbers of distribution function σ((x − loc)/scale); over `f64`s a draw is
    /// an `f64`, over tensors a tensor of their broadcast shape.
    ///
    /// Its automatic guide is a Gaussian.
    ///
    /// ```
    /// # use relax_runtime::prelude::*;
    /// # use relax_runtime::dist::Distribution;
    /// # fn main() -> Result<()> {
    /// let density = Logistic::new(0.0, 1.0)?.log_prob(&0.0)?.total()?;
    /// assert!((density - 0.25_f64.ln()).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    Logistic,
    symmetric: true,
    log_density: |t| {
        let t = -t;
        t.clone() - t.softplus() * 2.0
    },
    standard: |stream| {
        let u = stream.uniform_f64();
        u.ln() - (-u).ln_1p()
    },
    mean: 0.0,
    guide: (0.0, PI / 3.0_f64.sqrt())
}

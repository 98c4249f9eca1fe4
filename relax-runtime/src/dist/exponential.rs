//! Exponential: waiting times until something that may happen at any time.

use super::family::*;
use super::guides::gamma_guide;

/// Independent waiting times of density rate e^(−rate x); over an `f64` a draw is an `f64`, over a tensor
/// a tensor of its shape.
/// Its automatic guide is a Gamma, which the posterior is for some models.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = Exponential::new(2.0)?.log_prob(&3.0)?.total()?;
/// assert!((density - (2.0_f64.ln() - 6.0)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Exponential<P> {
    rate: P,
}

impl<R: Real> Exponential<R> {
    /// Waiting times with mean 1/`rate`.
    ///
    /// # Errors
    /// If `rate` is not positive and finite.
    pub fn new(rate: impl Operand<Repr = R>) -> Result<Self> {
        let rate = rate.into_repr();
        Self { rate }.checked()
    }

    /// Its parameter.
    pub(super) fn into_parts(self) -> R {
        self.rate
    }
}

impl<R: Real> Continuous for Exponential<R> {
    type Real = R;
    type Tensors = Exponential<Tensor>;
    const NAME: &'static str = "Exponential";
    const SUPPORT: Support = Support::NonNegative;
    const PARAMETERS: &'static [(&'static str, Support)] = &[("rate", Support::Positive)];
    const STANDARDS: &'static [Standard] = &[|stream| -stream.uniform_f64().ln()];
    const SYMMETRIC: bool = false;

    parameters!(rate);

    fn log_density(&self, x: &R) -> R {
        self.rate.ln() - x.clone() * self.rate.clone()
    }

    fn draw(&self, standards: &[R]) -> R {
        standards[0].clone() / self.rate.clone()
    }

    fn mean(&self) -> R {
        self.rate.recip()
    }

    fn mean_field(of: &Exponential<Tensor>) -> MeanField<'static> {
        gamma_guide(&of.rate.ones_like(), &of.rate.recip(), of.rate.shape())
    }
}

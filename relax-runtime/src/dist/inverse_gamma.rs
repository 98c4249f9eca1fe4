//! Inverse-Gamma: reciprocals of Gamma numbers.

use super::family::*;
use super::gamma::{ln_density_of_ratio, uniform};
use super::guides::inverse_gamma_guide;

/// Independent numbers 1/g, where g are Gamma numbers with shape `concentration` and rate `scale`, of density
/// scale^α x^(−α − 1) e^(−scale/x)/Γ(α); over `f64`s a draw is an `f64`, over tensors a tensor of their
/// broadcast shape. Their mean is infinite for shapes up to 1.
///
/// Draws are made as those of [`Gamma`](super::Gamma). Its automatic guide is an inverse-Gamma by shape and
/// by the mean of 1/x.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = InverseGamma::new(2.0, 3.0)?.log_prob(&1.0)?.total()?;
/// assert!((density - (9.0_f64.ln() - 3.0)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InverseGamma<P> {
    concentration: P,
    scale: P,
}

impl<R: Real> InverseGamma<R> {
    /// Numbers with mean `scale`/(`concentration` − 1).
    ///
    /// # Errors
    /// If a parameter is not positive and finite, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand>(concentration: A, scale: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = R>,
    {
        let (concentration, scale) = concentration.into_repr().join(scale.into_repr());
        Self {
            concentration,
            scale,
        }
        .checked()
    }
}

impl<R: Real> Continuous for InverseGamma<R> {
    type Real = R;
    type Tensors = InverseGamma<Tensor>;
    const NAME: &'static str = "InverseGamma";
    const SUPPORT: Support = Support::Positive;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("concentration", Support::Positive),
        ("scale", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform];
    const SYMMETRIC: bool = true;

    parameters!(concentration, scale);

    fn log_density(&self, x: &R) -> R {
        let r = self.scale.clone() / (x.clone() * self.concentration.clone());
        ln_density_of_ratio(&self.concentration, &r) - x.ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let ln_ratio = -self.concentration.ln_gamma_ratio(&standards[0]);
        let centre = self.scale.clone() / self.concentration.clone();
        (centre * ln_ratio.kept_within(-FARTHEST, FARTHEST).exp()).kept_within(LEAST, MOST)
    }

    fn mean(&self) -> R {
        let mean = self.scale.clone() / (self.concentration.clone() - 1.0);
        self.concentration.where_above(1.0, &mean, f64::INFINITY)
    }

    fn mean_field(of: &InverseGamma<Tensor>) -> MeanField<'static> {
        let mean = &of.concentration / &of.scale;
        inverse_gamma_guide(&of.concentration, &mean, mean.shape())
    }
}

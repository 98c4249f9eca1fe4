//! Gamma: positive numbers by shape and rate.

use super::family::*;
use super::guides::gamma_guide;

/// Uniform noise modulo 1, which quantiles are computed from.
pub(super) fn uniform(stream: &mut Stream) -> f64 {
    f64::from(stream.noise_number())
}

/// ln x + ln p(x) of a Gamma with this shape, where r is x divided by its mean: in terms that are small
/// where the logarithms of powers and of the gamma function are large.
pub(super) fn ln_density_of_ratio<R: Real>(concentration: &R, r: &R) -> R {
    concentration.ln() * 0.5
        - concentration.stirling_error()
        - concentration.clone() * r.unit_deviance()
        - HALF_LN_TAU
}

/// Independent Gamma numbers of density rate^α x^(α − 1) e^(−rate x)/Γ(α) with α = `concentration`; over
/// `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape.
///
/// Draws are quantiles of uniform noise, and differentiable in both parameters (Figurnov, Mohamed,
/// Mnih, "Implicit Reparameterization Gradients", NeurIPS 2018). Draws too small for f32, as small shapes
/// have, become the smallest f32, and those above 10³⁰ become 10³⁰. Its automatic guide is a Gamma by shape and mean.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = Gamma::new(2.0, 3.0)?.log_prob(&1.0)?.total()?;
/// assert!((density - (9.0_f64.ln() - 3.0)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Gamma<P> {
    concentration: P,
    rate: P,
}

impl<R: Real> Gamma<R> {
    /// Numbers with mean `concentration`/`rate`.
    ///
    /// # Errors
    /// If a parameter is not positive and finite, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand>(concentration: A, rate: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = R>,
    {
        let (concentration, rate) = concentration.into_repr().join(rate.into_repr());
        Self {
            concentration,
            rate,
        }
        .checked()
    }
}

impl<R: Real> Gamma<R> {
    /// The mean.
    fn centre(&self) -> R {
        self.concentration.clone() / self.rate.clone()
    }
}

impl<R: Real> Continuous for Gamma<R> {
    type Real = R;
    type Tensors = Gamma<Tensor>;
    const NAME: &'static str = "Gamma";
    const SUPPORT: Support = Support::Positive;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("concentration", Support::Positive),
        ("rate", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform];
    const SYMMETRIC: bool = true;

    parameters!(concentration, rate);

    fn log_density(&self, x: &R) -> R {
        let r = x.clone() / self.centre();
        ln_density_of_ratio(&self.concentration, &r) - x.ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let ln_ratio = self.concentration.ln_gamma_ratio(&standards[0]);
        (self.centre() * ln_ratio.kept_within(-FARTHEST, FARTHEST).exp()).kept_within(LEAST, MOST)
    }

    fn mean(&self) -> R {
        self.centre()
    }

    fn mean_field(of: &Gamma<Tensor>) -> MeanField<'static> {
        let mean = &of.concentration / &of.rate;
        gamma_guide(&of.concentration, &mean, mean.shape())
    }
}

//! Beta: numbers between 0 and 1, such as unknown probabilities.

use super::Distribution;
use super::family::*;
use super::gamma::uniform;
use super::guides::beta_guide;
use crate::dist::noise::each::LARGEST as BELOW_ONE;

/// The log-density at x, in terms that are small where the logarithms of powers and of the beta
/// function are large.
pub(super) fn log_density<R: Real>([a, b]: [&R; 2], x: &R) -> R {
    let (a, b, rest) = (a.clone(), b.clone(), -x.clone() + 1.0);
    let total = a.clone() + b.clone();
    let deviance = |share: &R, x: &R| {
        let mean = share.clone() / total.clone();
        share.clone() * (x.clone() / mean).unit_deviance()
    };
    let spread = (a.ln() + b.ln() - total.ln()) * 0.5;
    let errors = total.stirling_error() - a.stirling_error() - b.stirling_error();
    spread + errors - deviance(&a, x) - deviance(&b, &rest) - x.ln() - rest.ln() - HALF_LN_TAU
}

/// The draw made from the noise behind two Gamma numbers.
pub(super) fn draw<R: Real>([a, b]: [&R; 2], noise: &[R]) -> R {
    let odds = a.ln() + a.ln_gamma_ratio(&noise[0]) - b.ln() - b.ln_gamma_ratio(&noise[1]);
    odds.sigmoid().kept_within(LEAST_SHARE, BELOW_ONE.into())
}

/// Independent numbers between 0 and 1 of density x^(a − 1) (1 − x)^(b − 1)/B(a, b) with a =
/// `concentration1` and b = `concentration0`; over `f64`s a draw is an `f64`, over tensors a tensor of
/// their broadcast shape.
///
/// A draw is g/(g + h) for two [`Gamma`](super::Gamma) numbers, computed from their logarithms, so that
/// no shape is too small. Draws closer to 1 than the largest f32 below it, 1 − 6·10⁻⁸, become that number, over `f64`s
/// too, since guides see draws in single precision. Its automatic guide is a Beta.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = Beta::new(2.0, 1.0)?.log_prob(&0.25)?.total()?;
/// assert!((density - 0.5_f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Beta<P> {
    concentration1: P,
    concentration0: P,
}

impl<R: Real> Beta<R> {
    /// Numbers with mean `concentration1`/(`concentration1` + `concentration0`).
    ///
    /// # Errors
    /// If a parameter is not positive and finite, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand>(concentration1: A, concentration0: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = R>,
    {
        let (concentration1, concentration0) =
            concentration1.into_repr().join(concentration0.into_repr());
        Self {
            concentration1,
            concentration0,
        }
        .checked()
    }
}

impl<R: Real> Continuous for Beta<R> {
    type Real = R;
    type Tensors = Beta<Tensor>;
    const NAME: &'static str = "Beta";
    const SUPPORT: Support = Support::Unit;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("concentration1", Support::Positive),
        ("concentration0", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform, uniform];
    const SYMMETRIC: bool = true;

    parameters!(concentration1, concentration0);

    fn log_density(&self, x: &R) -> R {
        log_density([&self.concentration1, &self.concentration0], x)
    }

    fn draw(&self, standards: &[R]) -> R {
        draw([&self.concentration1, &self.concentration0], standards)
    }

    fn mean(&self) -> R {
        let total = self.concentration1.clone() + self.concentration0.clone();
        self.concentration1.clone() / total
    }

    fn mean_field(of: &Beta<Tensor>) -> MeanField<'static> {
        let (a, b) = (&of.concentration1, &of.concentration0);
        beta_guide([a, b], |a, b| Beta::new(a, b)?.law())
    }
}

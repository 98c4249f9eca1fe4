//! Student's t: a Gaussian of uncertain scale.

use super::draw_shape;
use super::family::*;
use super::gamma::uniform;

/// ln t², finite at 0 and without overflow.
fn ln_square<R: Real>(t: &R) -> R {
    t.abs().kept_within(1e-30, f64::MAX).ln() * 2.0
}

/// ln(1 + t²), without overflow.
pub(super) fn ln_1p_square<R: Real>(t: &R) -> R {
    ln_square(t).softplus()
}

/// Independent numbers loc + scale · t, where t follows Student's distribution with `df` degrees of freedom; over
/// `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape. The mean exists for more
/// than one degree of freedom.
///
/// A draw is a Gaussian number divided by the square root of a [`Gamma`](super::Gamma) number with mean 1, and
/// differentiable in all parameters; draws beyond ±10³⁰ are moved there. Its automatic guide is a Gaussian: given
/// data a posterior has lighter tails.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = StudentT::new(1.0, 0.0, 1.0)?.log_prob(&1.0)?.total()?;
/// assert!((density - -(2.0 * std::f64::consts::PI).ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StudentT<P> {
    df: P,
    loc: P,
    scale: P,
}

impl<R: Real> StudentT<R> {
    /// Numbers with these degrees of freedom, location and scale.
    ///
    /// # Errors
    /// If `loc` is not finite, another parameter is not positive and finite, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand, C: Operand>(df: A, loc: B, scale: C) -> Result<Self>
    where
        A::Repr: JoinThree<B::Repr, C::Repr, Joined = R>,
    {
        let [df, loc, scale] = df
            .into_repr()
            .join_three(loc.into_repr(), scale.into_repr());
        Self { df, loc, scale }.checked()
    }
}

impl<R: Real> Continuous for StudentT<R> {
    type Real = R;
    type Tensors = StudentT<Tensor>;
    const NAME: &'static str = "StudentT";
    const SUPPORT: Support = Support::Real;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("df", Support::Positive),
        ("loc", Support::Real),
        ("scale", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[Stream::normal, uniform];
    const SYMMETRIC: bool = true;

    parameters!(df, loc, scale);

    fn log_density(&self, x: &R) -> R {
        let t = (x.clone() - self.loc.clone()) / self.scale.clone();
        let half = self.df.clone() * 0.5;
        // ln Γ(a + ½) − ln Γ(a) − ½ ln a, by Stirling's formula for each.
        let above = half.clone() + 0.5;
        let errors = above.stirling_error() - half.stirling_error();
        let rest = half.clone() * self.df.recip().ln_1p() - 0.5;
        let tail = (ln_square(&t) - self.df.ln()).softplus();
        errors + rest - above * tail - self.scale.ln() - HALF_LN_TAU
    }

    fn draw(&self, standards: &[R]) -> R {
        let ln_ratio = (self.df.clone() * 0.5).ln_gamma_ratio(&standards[1]);
        let width = (ln_ratio.kept_within(-160.0, 160.0) * -0.5).exp();
        let t = standards[0].clone() * width;
        (self.loc.clone() + self.scale.clone() * t).kept_within(-MOST, MOST)
    }

    fn mean(&self) -> R {
        self.df.where_above(
            1.0,
            &(self.loc.clone() + self.scale.clone() * 0.0),
            f64::NAN,
        )
    }

    fn mean_field(of: &StudentT<Tensor>) -> MeanField<'static> {
        let parameters = [of.df.clone(), of.loc.clone(), of.scale.clone()];
        normal_guide(&of.loc, &of.scale, draw_shape(&parameters))
    }
}

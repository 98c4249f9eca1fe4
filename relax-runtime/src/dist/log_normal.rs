//! Log-normal: numbers whose logarithm is Gaussian.

use super::draw_shape;
use super::family::*;

/// Independent positive numbers whose logarithm is Gaussian with mean `loc` and standard deviation
/// `scale`; over `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape.
/// Draws are kept between 1.2·10⁻³⁸ and 10³⁰, so that f32 holds them and their derivatives.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = LogNormal::new(0.0, 1.0)?.log_prob(&1.0)?.total()?;
/// assert!((density - -0.5 * std::f64::consts::TAU.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LogNormal<P> {
    loc: P,
    scale: P,
}

impl<R: Real> LogNormal<R> {
    /// Numbers whose logarithm has this mean and standard deviation.
    ///
    /// # Errors
    /// If `loc` is not finite, `scale` is not positive and finite, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand>(loc: A, scale: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = R>,
    {
        let (loc, scale) = loc.into_repr().join(scale.into_repr());
        Self { loc, scale }.checked()
    }

    /// Mean and standard deviation of the logarithm.
    pub(super) fn into_parts(self) -> (R, R) {
        (self.loc, self.scale)
    }
}

impl<R: Real> Continuous for LogNormal<R> {
    type Real = R;
    type Tensors = LogNormal<Tensor>;
    const NAME: &'static str = "LogNormal";
    const SUPPORT: Support = Support::Positive;
    const PARAMETERS: &'static [(&'static str, Support)] =
        &[("loc", Support::Real), ("scale", Support::Positive)];
    const STANDARDS: &'static [Standard] = &[Stream::normal];
    const SYMMETRIC: bool = true;
    const GAUSSIAN: bool = true;

    parameters!(loc, scale);

    fn log_density(&self, x: &R) -> R {
        let ln_x = x.ln();
        let t = (ln_x.clone() - self.loc.clone()) / self.scale.clone();
        -t.square() * 0.5 - self.scale.ln() - ln_x - HALF_LN_TAU
    }

    fn draw(&self, standards: &[R]) -> R {
        let ln_x = self.loc.clone() + self.scale.clone() * standards[0].clone();
        ln_x.kept_within(LEAST.ln(), MOST.ln()).exp()
    }

    fn mean(&self) -> R {
        (self.loc.clone() + self.scale.square() * 0.5).exp()
    }

    fn mean_field(of: &LogNormal<Tensor>) -> MeanField<'static> {
        let shape = draw_shape(&[of.loc.clone(), of.scale.clone()]);
        log_normal_guide(&of.loc, &of.scale, shape)
    }
}

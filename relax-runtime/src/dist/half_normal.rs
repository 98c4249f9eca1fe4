//! Half-normal: distances of Gaussian numbers from 0.

use super::family::*;

/// Independent non-negative numbers |n|, where n are Gaussian with mean 0 and standard deviation `scale`;
/// over an `f64` a draw is an `f64`, over a tensor a tensor of its shape.
///
/// Its automatic guide is log-normal.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = HalfNormal::new(1.0)?.log_prob(&0.0)?.total()?;
/// assert!((density - (2.0 / std::f64::consts::PI).sqrt().ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HalfNormal<P> {
    scale: P,
}

impl<R: Real> HalfNormal<R> {
    /// Distances from 0 of numbers with this standard deviation.
    ///
    /// # Errors
    /// If `scale` is not positive and finite.
    pub fn new(scale: impl Operand<Repr = R>) -> Result<Self> {
        let scale = scale.into_repr();
        Self { scale }.checked()
    }

    /// Its parameter.
    pub(super) fn into_parts(self) -> R {
        self.scale
    }
}

impl<R: Real> Continuous for HalfNormal<R> {
    type Real = R;
    type Tensors = HalfNormal<Tensor>;
    const NAME: &'static str = "HalfNormal";
    const SUPPORT: Support = Support::NonNegative;
    const PARAMETERS: &'static [(&'static str, Support)] = &[("scale", Support::Positive)];
    const STANDARDS: &'static [Standard] = &[|stream| stream.normal().abs()];
    const SYMMETRIC: bool = false;

    parameters!(scale);

    fn log_density(&self, x: &R) -> R {
        let t = x.clone() / self.scale.clone();
        -t.square() * 0.5 - self.scale.ln() + (LN_2 - HALF_LN_TAU)
    }

    fn draw(&self, standards: &[R]) -> R {
        self.scale.clone() * standards[0].clone()
    }

    fn mean(&self) -> R {
        self.scale.clone() * (2.0 / PI).sqrt()
    }

    fn mean_field(of: &HalfNormal<Tensor>) -> MeanField<'static> {
        // Mean and standard deviation of ln |n|.
        log_normal_guide(
            &(of.scale.ln() - 0.635_181_4),
            &of.scale.full_like(1.110_721),
            of.scale.shape(),
        )
    }
}

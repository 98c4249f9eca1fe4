//! Half-Cauchy: distances of Cauchy numbers from 0.

use std::f32::consts::FRAC_PI_2;

use super::cauchy;
use super::family::*;
use super::student_t::ln_1p_square;

/// Independent non-negative numbers |c|, where c are Cauchy numbers around 0 with this `scale`; over an `f64` a
/// draw is an `f64`, over a tensor a tensor of its shape. Their mean is infinite.
///
/// Its automatic guide is log-normal.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = HalfCauchy::new(1.0)?.log_prob(&1.0)?.total()?;
/// assert!((density - -std::f64::consts::PI.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HalfCauchy<P> {
    scale: P,
}

impl<R: Real> HalfCauchy<R> {
    /// Distances of which half are below `scale`.
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

impl<R: Real> Continuous for HalfCauchy<R> {
    type Real = R;
    type Tensors = HalfCauchy<Tensor>;
    const NAME: &'static str = "HalfCauchy";
    const SUPPORT: Support = Support::NonNegative;
    const PARAMETERS: &'static [(&'static str, Support)] = &[("scale", Support::Positive)];
    const STANDARDS: &'static [Standard] = &[|stream| cauchy::standard(stream).abs()];
    const SYMMETRIC: bool = false;

    parameters!(scale);

    fn log_density(&self, x: &R) -> R {
        let t = x.clone() / self.scale.clone();
        -ln_1p_square(&t) - self.scale.ln() + (LN_2 - PI.ln())
    }

    fn draw(&self, standards: &[R]) -> R {
        self.scale.clone() * standards[0].clone()
    }

    fn mean(&self) -> R {
        self.scale.clone() * f64::INFINITY
    }

    fn mean_field(of: &HalfCauchy<Tensor>) -> MeanField<'static> {
        // Mean and standard deviation of ln |c|.
        log_normal_guide(
            &of.scale.ln(),
            &of.scale.full_like(FRAC_PI_2),
            of.scale.shape(),
        )
    }
}

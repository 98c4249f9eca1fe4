//! Truncated log-normal numbers: their logarithm is a truncated Gaussian.

use super::{Ends, NAME, Truncatable, Truncated, values_about};
use crate::dist::curves::NormalCurve;
use crate::dist::family::*;
use crate::dist::guides::by_location;
use crate::dist::{Distribution, LogNormal, draw_shape};

/// The numbers of a [`LogNormal`] between two ends, as made by [`Truncated::new`].
#[derive(Clone, Debug)]
pub struct TruncatedLogNormal<P>(Truncated<NormalCurve, P>);

impl<B: Real, R: Real, L: Operand, H: Operand> Truncatable<L, H> for LogNormal<B>
where
    B: JoinThree<L::Repr, H::Repr, Joined = R> + Join<R, Joined = R>,
{
    type Truncated = TruncatedLogNormal<R>;

    fn truncated(self, low: L, high: H) -> Result<Self::Truncated> {
        let (loc, scale) = self.into_parts();
        let ends = Ends::new(loc, low, high)?;
        let ends = ends.map(|end| end.kept_within(LEAST, f64::INFINITY).ln());
        Ok(TruncatedLogNormal(ends.around(scale)?))
    }
}

impl<R: Real> Continuous for TruncatedLogNormal<R> {
    type Real = R;
    type Tensors = TruncatedLogNormal<Tensor>;
    const NAME: &'static str = NAME;
    const SUPPORT: Support = Support::Interval;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("log_low", Support::Real),
        ("log_high", Support::Real),
        ("loc", Support::Real),
        ("scale", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = <Truncated<NormalCurve, R> as Continuous>::STANDARDS;
    const SYMMETRIC: bool = true;
    const ENDS: usize = 2;

    fn parameters(&self) -> PerParameter<R> {
        Continuous::parameters(&self.0)
    }

    fn of(parameters: &[R]) -> Self {
        Self(Truncated::of(parameters))
    }

    fn checked(self) -> Result<Self> {
        Ok(Self(self.0.checked()?))
    }

    fn bijection(&self) -> Option<Bijection> {
        Some(match Continuous::bijection(&self.0)? {
            Bijection::Above(low) => Bijection::Above(low.exp()),
            Bijection::Below(high) => {
                let high = high.exp();
                Bijection::Interval(high.zeros_like(), high)
            }
            Bijection::Interval(low, high) => Bijection::Interval(low.exp(), high.exp()),
            _ => Bijection::Positive,
        })
    }

    fn gaps(&self, x: &R) -> Option<[R; 2]> {
        // A number that has no logarithm lies within no ends.
        self.0.gaps(&x.ln())
    }

    fn log_density(&self, x: &R) -> R {
        let ln_x = x.ln();
        Continuous::log_density(&self.0, &ln_x) - ln_x
    }

    fn draw(&self, standards: &[R]) -> R {
        let ln_x = Continuous::draw(&self.0, standards);
        ln_x.kept_within(LEAST.ln(), MOST.ln()).exp()
    }

    /// e^(μ + σ²/2) times the probability that remains between the ends moved down by σ².
    fn mean(&self) -> R {
        self.0.mean_of_exp()
    }

    fn mean_field(of: &TruncatedLogNormal<Tensor>) -> MeanField<'static> {
        let parameters = Continuous::parameters(&of.0);
        let shape = draw_shape(&parameters);
        let (low, high) = (parameters[0].clone(), parameters[1].clone());
        let values = values_about(of.bijection());
        by_location(&parameters[2], &parameters[3], shape, move |loc, scale| {
            let law = Truncated::<NormalCurve, Tensor>::near(&low, &high, loc, scale);
            TruncatedLogNormal(law.checked()?).law()
        })
        .for_draws_about(move |free, scale| {
            let parts = values(free, scale);
            let ln_value = parts[0].ln();
            let ln_scale = &parts[1] - &ln_value;
            [ln_value, ln_scale].into_iter().collect()
        })
    }
}

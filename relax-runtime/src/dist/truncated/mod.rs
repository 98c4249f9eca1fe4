//! Truncated laws: real numbers of other laws, and counts, between two ends.

mod base;
mod count_sums;
mod counts;
mod functions;
mod log_normal;
mod shaped;
mod shaped_functions;

use std::marker::PhantomData;

use base::Ends;
pub use base::Truncatable;
pub use counts::{CountEnd, TruncatedCounts, TruncatedFamily};
use functions::{Gap, LnMass, Mean, Quantile};
pub use log_normal::TruncatedLogNormal;
pub use shaped::{BetaCurve, GammaCurve, ShapedCurve, StudentCurve, TruncatedShaped};

use super::Distribution;
use super::checks::ends_error;
use super::curves::{Curve, NormalCurve};
use super::family::*;
use super::gamma::uniform;
use super::guides::{by_location, location_and_scale};

const NAME: &str = "Truncated";
/// Stands for an end that is not there, so that derivatives are numbers.
const FAR: f64 = 1e18;
/// Less probability between the ends counts as none: the range of double precision ends nearby.
const LEAST_LN_MASS: f64 = -600.0;
/// The advice for ends with nothing between them.
const NO_MASS: &str = "no probability is left between the ends; move them to where the law has some, or give an \
                       infinite one, which leaves its side as it is";

/// Checks that a law has probability between ends, given its logarithm.
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) if not.
fn check_between<R: Real>(low: &R, high: &R, ln_mass: impl FnOnce() -> R) -> Result<()> {
    let are_apart = (high.clone() - low.clone()).all(|gap| gap > 0.0)?;
    match are_apart && ln_mass().all(|ln_mass| ln_mass > LEAST_LN_MASS)? {
        true => Ok(()),
        false => Err(ends_error(NAME, low, high, NO_MASS)),
    }
}

/// The numbers of another law between `low` and `high`, with its density divided by the probability
/// between them; over `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape. The law may
/// be a `Normal`, `Laplace`, `Logistic`, `Cauchy`, `Gumbel`, `HalfNormal`, `HalfCauchy`, `Exponential`,
/// `LogNormal`, `Gamma`, `Beta`, `StudentT`, or one of counts, such as a `Poisson` without 0:
/// `Truncated::new(Poisson::rate(2.0), 1, f64::INFINITY)`, which gets RELAX. An infinite end leaves its side
/// as it is.
///
/// A draw is the quantile of a uniform number between those of the ends, computed in double precision from the
/// nearer tail, and differentiable in all parameters. Where an end is learned, host code must not read a
/// draw, because score functions do not see how the support moves. Its automatic guide is a truncated normal, for
/// log-normal numbers a truncated log-normal, and for counts a law of the same family and ends.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let half = Truncated::new(Normal::new(0.0, 1.0), 0.0, f64::INFINITY)?;
/// let whole = HalfNormal::new(1.0)?;
/// let density = |x: f64| half.log_prob(&x)?.total();
/// assert!((density(0.7)? - whole.log_prob(&0.7)?.total()?).abs() < 1e-12);
/// assert!(density(-0.1).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Truncated<C, P> {
    low: P,
    high: P,
    loc: P,
    scale: P,
    curve: PhantomData<C>,
}

impl<R: Real> Truncated<NormalCurve, R> {
    /// E\[eˣ\].
    pub(super) fn mean_of_exp(&self) -> R {
        let [a, b] = self.ends();
        let moved = [&a, &b].map(|end| end.clone() - self.scale.clone());
        let remains = R::smooth([&moved[0], &moved[1]], &LnMass::<NormalCurve>::default())
            - R::smooth([&a, &b], &LnMass::<NormalCurve>::default());
        (self.loc.clone() + self.scale.square() * 0.5 + remains).exp()
    }
}

impl Truncated<NormalCurve, Tensor> {
    /// A law for guides, whose location stays close enough to the ends that some probability is left.
    pub(super) fn near(low: &Tensor, high: &Tensor, loc: &Tensor, scale: &Tensor) -> Self {
        /// How far beyond the ends a guide's mean may lie, in its standard deviations.
        const BEYOND: f64 = 8.0;
        let reach = scale * BEYOND;
        let loc = loc.maximum(&(low - &reach)).minimum(&(high + &reach));
        Self::with(low.clone(), high.clone(), loc, scale.clone())
    }
}

impl<C: Curve, R: Real> Truncated<C, R> {
    fn with(low: R, high: R, loc: R, scale: R) -> Self {
        let curve = PhantomData;
        Self {
            low,
            high,
            loc,
            scale,
            curve,
        }
    }

    /// The ends in units of the standard law.
    fn ends(&self) -> [R; 2] {
        [&self.low, &self.high].map(|end| self.standard(end))
    }

    fn standard(&self, x: &R) -> R {
        (x.clone() - self.loc.clone()) / self.scale.clone()
    }
}

impl<C: Curve, R: Real> Continuous for Truncated<C, R> {
    type Real = R;
    type Tensors = Truncated<C, Tensor>;
    const NAME: &'static str = NAME;
    const SUPPORT: Support = Support::Interval;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("low", Support::Real),
        ("high", Support::Real),
        ("loc", Support::Real),
        ("scale", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform];
    const SYMMETRIC: bool = true;
    const ENDS: usize = 2;

    fn parameters(&self) -> PerParameter<R> {
        let all = [&self.low, &self.high, &self.loc, &self.scale];
        all.into_iter().cloned().collect()
    }

    fn of(parameters: &[R]) -> Self {
        match parameters {
            [low, high, loc, scale] => {
                Self::with(low.clone(), high.clone(), loc.clone(), scale.clone())
            }
            _ => panic!("{} has other parameters", <Self as Continuous>::NAME),
        }
    }

    fn checked(self) -> Result<Self> {
        let law = self.in_range()?;
        let [a, b] = law.ends();
        check_between(&law.low, &law.high, || {
            R::smooth([&a, &b], &LnMass::<C>::default())
        })?;
        Ok(law)
    }

    fn bijection(&self) -> Option<Bijection> {
        let (low, high) = (self.low.tensor(), self.high.tensor());
        Some(match (is_none(&self.low)?, is_none(&self.high)?) {
            (true, true) => Bijection::Real,
            (false, true) => Bijection::Above(low),
            (true, false) => Bijection::Below(high),
            (false, false) => Bijection::Interval(low, high),
        })
    }

    /// The ends are included.
    fn gaps(&self, x: &R) -> Option<[R; 2]> {
        Some(gaps_within([&self.low, &self.high], &self.loc, x))
    }

    fn log_density(&self, x: &R) -> R {
        let [a, b] = self.ends();
        let t = self.standard(x);
        let t = match C::HEAVY {
            // In units of a tiny scale a draw may be too large for single precision; its density is not 0.
            true => t.kept_within(f32::MIN.into(), f32::MAX.into()),
            false => t,
        };
        C::log_density(&t) - R::smooth([&a, &b], &LnMass::<C>::default()) - self.scale.ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let [a, b] = self.ends();
        let at = [&a, &b, &standards[0]];
        /// The largest distance of an end, in standard units: the sum with one farther away keeps fewer digits than
        /// the sum with `loc`.
        const NEAR: f64 = 8.0;
        /// The largest distance from `loc` inside, where f32 still has digits for what lies within a standard unit.
        const INSIDE: f64 = 1e4;
        let reach = self.loc.abs() + self.scale.clone() * NEAR;
        let inside = self.scale.clone() * INSIDE;
        let holds = |below: R| below.all(|x| x <= 0.0).unwrap_or(false);
        let is_cut = |end: &R, inwards: R| {
            holds(end.abs() - reach.clone()) && holds(inwards - inside.clone())
        };
        let is_nearer_0 = || {
            let pair = self.high.abs() - self.low.abs();
            pair.all(|gap| gap >= 0.0).unwrap_or(false)
        };
        let scale = self.scale.clone();
        let below = self.loc.clone() - self.low.clone();
        let above = self.high.clone() - self.loc.clone();
        match (is_cut(&self.low, below), is_cut(&self.high, above)) {
            (true, has_high) if !has_high || is_nearer_0() => {
                self.low.clone() + scale * R::smooth(at, &Gap::<C, false>::default())
            }
            (_, true) => self.high.clone() - scale * R::smooth(at, &Gap::<C, true>::default()),
            (_, false) => self.loc.clone() + scale * R::smooth(at, &Quantile::<C>::default()),
        }
    }

    fn mean(&self) -> R {
        let [a, b] = self.ends();
        let t = R::smooth([&a, &b], &Mean::<C>::default());
        self.loc.clone() + self.scale.clone() * t
    }

    fn mean_field(of: &Truncated<C, Tensor>) -> MeanField<'static> {
        let (low, high) = (of.low.clone(), of.high.clone());
        let shape = super::draw_shape(&Continuous::parameters(of));
        by_location(&of.loc, &of.scale, shape, move |loc, scale| {
            let law = Truncated::<NormalCurve, Tensor>::near(&low, &high, loc, scale);
            law.checked()?.law()
        })
        .for_draws_about(values_about(of.bijection()))
    }
}

/// Whether an end is not there; `None` where it is in some rows alone.
fn is_none<R: Real>(end: &R) -> Option<bool> {
    let is_far = |x: f64| x.abs() >= FAR * 0.5;
    match (end.all(is_far).ok()?, end.all(|x| !is_far(x)).ok()?) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// The location and scale of values, which a guide has as parameters, whose unconstrained numbers have these means and
/// standard deviations.
fn values_about(bijection: Option<Bijection>) -> impl Fn(&Tensor, &Tensor) -> PerParameter<Tensor> {
    move |free, scale| match &bijection {
        None => location_and_scale(free, scale),
        Some(bijection) => {
            let value = bijection.value(free);
            location_and_scale(&value, &(scale * bijection.log_volume(free).exp()))
        }
    }
}

/// How far numbers lie within two ends, including what a draw at an end is rounded to.
fn gaps_within<R: Real>([low, high]: [&R; 2], loc: &R, x: &R) -> [R; 2] {
    const ROUNDING: f64 = 4.0 * f32::EPSILON as f64;
    let slack = |end: &R| (end.abs() + loc.abs()) * ROUNDING;
    let above = x.clone() - low.clone() + slack(low);
    let below = high.clone() - x.clone() + slack(high);
    [above, below]
}

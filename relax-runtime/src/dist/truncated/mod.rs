//! Truncated laws: those of location and scale, between two ends.

use std::marker::PhantomData;

use super::curves::{Curve, NormalCurve};
use super::double::Smooth;
use super::family::*;
use super::gamma::uniform;
use super::guides::by_location;
use super::real::logarithms;
use super::{Distribution, IntoDistribution, Normal};
use crate::error::Error;

/// What stands for an end that is not there, so that derivatives are numbers.
const FAR: f64 = 1e18;
/// Less probability between the ends is none: double precision ends near.
const LEAST_LN_MASS: f64 = -600.0;

/// The numbers of another law that lie between `low` and `high`, its density divided by the probability
/// between them; over `f64`s a draw is an `f64`, over tensors a tensor of their broadcast shape. The law may
/// be a [`Normal`], [`Laplace`](super::Laplace), [`Logistic`](super::Logistic), [`Cauchy`](super::Cauchy)
/// or [`Gumbel`](super::Gumbel); an infinite end leaves that side as it is.
///
/// A draw is the quantile of a uniform number between those of the ends, computed in double precision by the
/// nearer tail, and differentiable in all parameters. Where an end is learned, host code must not read a
/// draw, as score functions do not see how the support moves. Its automatic guide is a truncated normal.
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

/// A law that [`Truncated`] may cut off.
pub trait Truncatable: Distribution {
    /// `f64` or [`Tensor`].
    type Real: Real;
    /// Its standard member.
    type Curve: Curve;
    /// Its location and scale.
    fn loc_and_scale(self) -> (Self::Real, Self::Real);
}

impl<R: Real> Truncatable for Normal<R>
where
    Normal<R>: Distribution,
{
    type Real = R;
    type Curve = NormalCurve;
    fn loc_and_scale(self) -> (R, R) {
        self.into_parts()
    }
}

impl<C: Curve, R: Real> Truncated<C, R> {
    /// The numbers of `base` between `low` and `high`.
    ///
    /// # Errors
    /// If `base` could not be made, an end is NaN, `low` is not below `high`, `base` has no number between them
    /// that double precision knows of, or shapes do not broadcast.
    pub fn new<D, L: Operand, H: Operand>(base: D, low: L, high: H) -> Result<Self>
    where
        D: IntoDistribution<Distribution: Truncatable<Curve = C>>,
        BaseReal<D>: JoinThree<L::Repr, H::Repr, Joined = R> + Join<R, Joined = R>,
    {
        let (loc, scale) = base.into_distribution()?.loc_and_scale();
        let [loc, low, high] = loc.join_three(low.into_repr(), high.into_repr());
        let (scale, loc) = scale.join(loc);
        let [low, high] = [("low", low), ("high", high)].map(|(name, end)| {
            const NUMBER: &str =
                "an end must be a number; an infinite one leaves its side as it is";
            let name_of_law = <Self as Continuous>::NAME;
            end.check_numbers(name_of_law, name, |x| !x.is_nan(), NUMBER)?;
            Ok(end.kept_within(-FAR, FAR))
        });
        Self::with(low?, high?, loc, scale).checked()
    }

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

/// What the parameters of a law to be truncated are.
type BaseReal<D> = <<D as IntoDistribution>::Distribution as Truncatable>::Real;

impl<C: Curve, R: Real> Continuous for Truncated<C, R> {
    type Real = R;
    type Tensors = Truncated<C, Tensor>;
    const NAME: &'static str = "Truncated";
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
        let apart = (law.high.clone() - law.low.clone()).all(|gap| gap > 0.0)?;
        let [a, b] = law.ends();
        let mass = R::smooth([&a, &b], &LnMass::<C>::default());
        let problem = if !apart {
            "is not above `low` everywhere"
        } else if !mass.all(|ln_mass| ln_mass > LEAST_LN_MASS)? {
            "and `low` lie so far on one side of `loc` that no probability is left between them"
        } else {
            return Ok(law);
        };
        Err(Error::Parameter {
            distribution: <Self as Continuous>::NAME,
            parameter: "high",
            problem: problem.into(),
        })
    }

    fn bijection(&self) -> Option<Bijection> {
        let open = |end: &R| match end.all(|x| x.abs() >= FAR * 0.5) {
            Ok(true) => Some(true),
            _ => match end.all(|x| x.abs() < FAR * 0.5) {
                Ok(true) => Some(false),
                _ => None,
            },
        };
        let (low, high) = (self.low.tensor(), self.high.tensor());
        Some(match (open(&self.low)?, open(&self.high)?) {
            (true, true) => Bijection::Real,
            (false, true) => Bijection::Above(low),
            (true, false) => Bijection::Below(high),
            (false, false) => Bijection::Interval(low, high),
        })
    }

    /// The ends belong to it, and what a draw at an end is rounded to.
    fn contains(&self, x: &R) -> Result<bool> {
        const ROUNDING: f64 = 4.0 * f32::EPSILON as f64;
        let inside = |gap: R, end: &R| {
            let slack = (end.abs() + self.loc.abs()) * if R::HOST { 0.0 } else { ROUNDING };
            (gap + slack).all(|gap| gap >= 0.0)
        };
        Ok(x.all(f64::is_finite)?
            && inside(x.clone() - self.low.clone(), &self.low)?
            && inside(self.high.clone() - x.clone(), &self.high)?)
    }

    fn log_density(&self, x: &R) -> R {
        let [a, b] = self.ends();
        let density = R::smooth([&self.standard(x)], &LnDensity::<C>::default());
        density - R::smooth([&a, &b], &LnMass::<C>::default()) - self.scale.ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let [a, b] = self.ends();
        let t = R::smooth([&a, &b, &standards[0]], &Quantile::<C>::default());
        self.loc.clone() + self.scale.clone() * t
    }

    fn mean(&self) -> R {
        let [a, b] = self.ends();
        let t = R::smooth([&a, &b], &Mean::<C>::default());
        self.loc.clone() + self.scale.clone() * t
    }

    fn mean_field(of: &Truncated<C, Tensor>) -> MeanField<'static> {
        /// How far beyond the ends a guide's mean may lie, in its standard deviations.
        const BEYOND: f64 = 8.0;
        let (low, high) = (of.low.clone(), of.high.clone());
        let shape = super::draw_shape(&Continuous::parameters(of));
        by_location(&of.loc, &of.scale, shape, move |loc, scale| {
            let reach = scale * BEYOND;
            let loc = loc.maximum(&(&low - &reach)).minimum(&(&high + &reach));
            let law = Truncated::<NormalCurve, Tensor>::with(
                low.clone(),
                high.clone(),
                loc,
                scale.clone(),
            );
            law.checked()?.law()
        })
    }
}

/// ln(eˣ − eʸ), x ≥ y.
fn ln_difference(x: f64, y: f64) -> f64 {
    x + (-(y - x).exp_m1()).ln()
}

/// ln(v eˣ + u eʸ), by the logarithms of u and v.
fn ln_between(x: f64, y: f64, (ln_u, ln_v): (f64, f64)) -> f64 {
    let (x, y) = (x + ln_v, y + ln_u);
    let most = x.max(y);
    most + ((x - most).exp() + (y - most).exp()).ln()
}

/// ln P(between a and b), by the tail that both lie in.
#[derive(Clone, Copy, Debug, Default)]
struct LnMass<C>(PhantomData<C>);

impl<C: Curve> LnMass<C> {
    fn at(a: f64, b: f64) -> f64 {
        match C::ln_below(a) < C::ln_above(b) {
            true => ln_difference(C::ln_below(b), C::ln_below(a)),
            false => ln_difference(C::ln_above(a), C::ln_above(b)),
        }
    }

    /// The density at both ends, by the probability between them.
    fn densities(a: f64, b: f64) -> [f64; 2] {
        let mass = Self::at(a, b);
        [a, b].map(|t| (C::ln_density(t) - mass).exp())
    }
}

impl<C: Curve> Smooth<2> for LnMass<C> {
    fn value(&self, [a, b]: [f64; 2]) -> f64 {
        Self::at(a, b)
    }
    fn slopes(&self, [a, b]: [f64; 2]) -> [f64; 2] {
        let [fa, fb] = Self::densities(a, b);
        [-fa, fb]
    }
    fn bends(&self, [a, b]: [f64; 2]) -> [[f64; 2]; 2] {
        let [fa, fb] = Self::densities(a, b);
        let aa = -fa * (C::score(a) + fa);
        let bb = fb * (C::score(b) - fb);
        [[aa, fa * fb], [fa * fb, bb]]
    }
}

/// The log-density of the whole law.
#[derive(Clone, Copy, Debug, Default)]
struct LnDensity<C>(PhantomData<C>);

impl<C: Curve> Smooth<1> for LnDensity<C> {
    fn value(&self, [t]: [f64; 1]) -> f64 {
        C::ln_density(t)
    }
    fn slopes(&self, [t]: [f64; 1]) -> [f64; 1] {
        [C::score(t)]
    }
    fn bends(&self, [t]: [f64; 1]) -> [[f64; 1]; 1] {
        [[C::bend(t)]]
    }
}

/// The number below which a share u of what lies between a and b lies; u is noise modulo 1.
#[derive(Clone, Copy, Debug, Default)]
struct Quantile<C>(PhantomData<C>);

impl<C: Curve> Quantile<C> {
    fn at(a: f64, b: f64, logarithms: (f64, f64)) -> f64 {
        let below = ln_between(C::ln_below(a), C::ln_below(b), logarithms);
        let above = ln_between(C::ln_above(a), C::ln_above(b), logarithms);
        // Ends that have crossed in training are no panic.
        C::quantile(below, above).max(a).min(b)
    }

    /// The number, and the densities at both ends and the probability between them by that at the number.
    fn with_densities([a, b, noise]: [f64; 3]) -> (f64, [f64; 3]) {
        let t = Self::at(a, b, logarithms(noise));
        let all = [C::ln_density(a), C::ln_density(b), LnMass::<C>::at(a, b)];
        (
            t,
            all.map(|ln_density| (ln_density - C::ln_density(t)).exp()),
        )
    }
}

impl<C: Curve> Smooth<3> for Quantile<C> {
    fn value(&self, [a, b, noise]: [f64; 3]) -> f64 {
        Self::at(a, b, logarithms(noise))
    }
    fn slopes(&self, x: [f64; 3]) -> [f64; 3] {
        let (_, [fa, fb, mass]) = Self::with_densities(x);
        let (ln_u, ln_v) = logarithms(x[2]);
        [ln_v.exp() * fa, ln_u.exp() * fb, mass]
    }
    fn bends(&self, x: [f64; 3]) -> [[f64; 3]; 3] {
        let ([a, b, _], [by_a, by_b, by_u]) = (x, self.slopes(x));
        let (t, [fa, fb, _]) = Self::with_densities(x);
        let score = C::score(t);
        let ab = -score * by_a * by_b;
        let (au, bu) = (-fa - score * by_a * by_u, fb - score * by_b * by_u);
        [
            [by_a * (C::score(a) - score * by_a), ab, au],
            [ab, by_b * (C::score(b) - score * by_b), bu],
            [au, bu, -score * by_u * by_u],
        ]
    }
}

/// The mean of what lies between a and b.
#[derive(Clone, Copy, Debug, Default)]
struct Mean<C>(PhantomData<C>);

impl<C: Curve> Mean<C> {
    /// The mean quantile, by the double exponential rule of Takahasi and Mori (1974).
    fn at(a: f64, b: f64) -> f64 {
        const STEP: f64 = 0.1;
        let is_cut = |end: f64| end.abs() < FAR * 1e-3;
        if C::HEAVY && !(is_cut(a) && is_cut(b)) {
            return f64::NAN;
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for k in -35..=35 {
            let x = STEP * f64::from(k);
            let inner = std::f64::consts::PI * x.sinh();
            // ln σ(±inner).
            let share = |inner: f64| inner.min(0.0) - (-inner.abs()).exp().ln_1p();
            let shares = (share(inner), share(-inner));
            let weight = x.cosh() / (0.5 * inner).cosh().powi(2);
            sum += weight * Quantile::<C>::at(a, b, shares);
            weights += weight;
        }
        sum / weights
    }
}

impl<C: Curve> Smooth<2> for Mean<C> {
    fn value(&self, [a, b]: [f64; 2]) -> f64 {
        Self::at(a, b)
    }
    fn slopes(&self, [a, b]: [f64; 2]) -> [f64; 2] {
        let ([fa, fb], mean) = (LnMass::<C>::densities(a, b), Self::at(a, b));
        [fa * (mean - a), fb * (b - mean)]
    }
    fn bends(&self, x: [f64; 2]) -> [[f64; 2]; 2] {
        let ([a, b], [by_a, by_b]) = (x, self.slopes(x));
        let ([fa, fb], mean) = (LnMass::<C>::densities(a, b), Self::at(a, b));
        let aa = fa * ((C::score(a) + fa) * (mean - a) + by_a - 1.0);
        let ab = fa * (by_b - fb * (mean - a));
        let bb = fb * ((C::score(b) - fb) * (b - mean) + 1.0 - by_b);
        [[aa, ab], [ab, bb]]
    }
}

//! Truncated laws that have shapes besides location and scale.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::shaped_functions::{LnMass, Mean, Quantile, density, mass};
use super::{
    Ends, FAR, NAME, Truncatable, Truncated, check_between, gaps_within, is_none, values_about,
};
use crate::dist::curves::NormalCurve;
use crate::dist::family::*;
use crate::dist::gamma::uniform;
use crate::dist::guides::by_location;
use crate::dist::noise::each::LARGEST as BELOW_ONE;
use crate::dist::{Beta, Distribution, Gamma, StudentT, draw_shape};

/// Standard members of a family with one or two shapes.
pub trait ShapedCurve: Copy + Debug + Default + 'static {
    /// The ends of its support.
    const ENDS: [f64; 2];
    /// Range that draws are kept in before they are shifted and scaled, without the support's own ends.
    const WITHIN: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];
    /// The same range afterwards.
    const SCALED_WITHIN: [f64; 2] = Self::WITHIN;
    /// Whether the second shape is used.
    const HAS_SECOND: bool = false;
    /// Log-density at t.
    fn ln_density<R: Real>(shapes: [&R; 2], t: &R) -> R;
    /// P(below t) and P(above t), the smaller one with all its digits, between the ends.
    fn tails(shapes: [f64; 2], t: f64) -> (f64, f64);
    /// The mean between two ends with probability `mass` between them; NaN where there is none.
    fn mean(shapes: [f64; 2], ends: [f64; 2], mass: f64) -> f64;
    /// The standard deviation, or an approximation.
    fn spread(shapes: [&Tensor; 2]) -> Tensor;
    /// The same of numbers.
    fn width(shapes: [f64; 2]) -> f64;
    /// How far a shape has to move to make another law of it: steps of differences are a small share of that.
    fn reach(shapes: [f64; 2], which: usize) -> f64;
}

/// The numbers loc + scale · t of a family with shapes between two ends, as [`Truncated::new`] makes them from
/// a [`Gamma`], [`Beta`] or [`StudentT`]. Distribution functions and quantiles are in double precision, and so
/// are derivatives with respect to shapes, from differences: right to about nine digits, and second ones to five, for
/// shapes from 10⁻² to 10⁶.
#[derive(Clone, Debug)]
pub struct TruncatedShaped<C, P> {
    low: P,
    high: P,
    loc: P,
    scale: P,
    shapes: [P; 2],
    curve: PhantomData<C>,
}

macro_rules! truncatable {
    ($($name:ident, $curve:ident, |$($part:ident),+| $loc:expr, $scale:expr, [$first:expr, $second:expr];)*) => {$(
        impl<B: Real, R: Real, L: Operand, H: Operand> Truncatable<L, H> for $name<B>
        where
            $name<B>: Distribution,
            B: JoinThree<L::Repr, H::Repr, Joined = R> + Join<R, Joined = R>,
        {
            type Truncated = TruncatedShaped<$curve, R>;

            fn truncated(self, low: L, high: H) -> Result<Self::Truncated> {
                let parts = Continuous::parameters(&self);
                let [$($part),+] = &parts[..] else {
                    panic!("{} has other parameters", <Self as Continuous>::NAME);
                };
                let ends = Ends::new($loc, low, high)?;
                ends.with_shapes($scale, [$first, $second])
            }
        }
    )*};
}

truncatable! {
    Gamma, GammaCurve, |a, rate| rate.clone() * 0.0, rate.recip(), [a.clone(), a.clone()];
    Beta, BetaCurve, |a, b| a.clone() * 0.0, a.clone() * 0.0 + 1.0, [a.clone(), b.clone()];
    StudentT, StudentCurve, |df, loc, scale| loc.clone(), scale.clone(), [df.clone(), df.clone()];
}

impl<B: Real, R: Real> Ends<B, R>
where
    B: Join<R, Joined = R>,
{
    fn with_shapes<C: ShapedCurve>(
        self,
        scale: B,
        shapes: [B; 2],
    ) -> Result<TruncatedShaped<C, R>> {
        let (low, high, loc) = self.into_parts();
        let (scale, loc) = scale.join(loc);
        let shapes = shapes.map(|shape| shape.join(loc.clone()).0);
        let law = TruncatedShaped {
            low: low.kept_within(-FAR, FAR),
            high: high.kept_within(-FAR, FAR),
            loc,
            scale,
            shapes,
            curve: PhantomData,
        };
        law.checked()
    }
}

impl<C: ShapedCurve, R: Real> TruncatedShaped<C, R> {
    fn standard(&self, x: &R) -> R {
        (x.clone() - self.loc.clone()) / self.scale.clone()
    }

    /// The ends in units of the standard law, within its support.
    fn ends(&self) -> [R; 2] {
        let [first, last] = C::ENDS;
        [&self.low, &self.high].map(|end| self.standard(end).kept_within(first, last))
    }

    fn ln_mass(&self) -> R {
        let ([a, b], [first, second]) = (self.ends(), &self.shapes);
        R::smooth([&a, &b, first, second], &LnMass::<C>::default())
    }
}

impl<C: ShapedCurve, R: Real> Continuous for TruncatedShaped<C, R> {
    type Real = R;
    type Tensors = TruncatedShaped<C, Tensor>;
    const NAME: &'static str = NAME;
    const SUPPORT: Support = Support::Interval;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("low", Support::Real),
        ("high", Support::Real),
        ("loc", Support::Real),
        ("scale", Support::Positive),
        ("shape", Support::Positive),
        ("second shape", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform];
    const SYMMETRIC: bool = true;
    const ENDS: usize = 2;

    fn parameters(&self) -> PerParameter<R> {
        let own = [&self.low, &self.high, &self.loc, &self.scale];
        own.into_iter().chain(&self.shapes).cloned().collect()
    }

    fn of(parameters: &[R]) -> Self {
        let [low, high, loc, scale, first, second] = parameters else {
            panic!("{} has other parameters", <Self as Continuous>::NAME);
        };
        Self {
            low: low.clone(),
            high: high.clone(),
            loc: loc.clone(),
            scale: scale.clone(),
            shapes: [first.clone(), second.clone()],
            curve: PhantomData,
        }
    }

    fn checked(self) -> Result<Self> {
        let law = self.in_range()?;
        check_between(&law.low, &law.high, || law.ln_mass())?;
        Ok(law)
    }

    fn bijection(&self) -> Option<Bijection> {
        let [first, last] = C::ENDS;
        let is_open = |end: &R, own: f64| match own.abs() >= FAR {
            true => is_none(end),
            // There is none beyond the end of the whole law.
            false => {
                let apart = self.standard(end) - own;
                let outwards = if own == first { -1.0 } else { 1.0 };
                apart.all(|gap| gap * outwards >= 0.0).ok()
            }
        };
        let ends = (is_open(&self.low, first)?, is_open(&self.high, last)?);
        let own = |end: f64| (self.loc.clone() + self.scale.clone() * end).tensor();
        let (low, high) = (self.low.tensor(), self.high.tensor());
        // In some rows an end may lie beyond that of the whole law, and not in others.
        let low = if first == -FAR {
            low
        } else {
            low.maximum(&own(first))
        };
        let high = if last == FAR {
            high
        } else {
            high.minimum(&own(last))
        };
        Some(match (ends, first == -FAR, last == FAR) {
            ((true, true), true, true) => Bijection::Real,
            ((true, true), false, true) => Bijection::Positive,
            ((true, true), false, false) => Bijection::Unit,
            ((false, true), _, true) => Bijection::Above(low),
            ((true, false), true, _) => Bijection::Below(high),
            ((true, false), false, _) => Bijection::Interval(high.zeros_like(), high),
            ((false, true), _, false) => Bijection::Interval(low.clone(), low.ones_like()),
            _ => Bijection::Interval(low, high),
        })
    }

    /// The ends are included, unless they are the whole law's own.
    fn gaps(&self, x: &R) -> Option<[R; 2]> {
        let [first, last] = C::ENDS.map(|end| self.loc.clone() + self.scale.clone() * end);
        let [above, below] = gaps_within([&self.low, &self.high], &self.loc, x);
        let above = (x.clone() - first).where_above(0.0, &above, -1.0);
        let below = (last - x.clone()).where_above(0.0, &below, -1.0);
        Some([above, below])
    }

    fn log_density(&self, x: &R) -> R {
        let ([first, second], [least, most]) = (&self.shapes, C::WITHIN);
        // In units of the scale a draw near 0 may be too small for single precision.
        let t = self.standard(x).kept_within(least, most);
        C::ln_density([first, second], &t) - self.ln_mass() - self.scale.ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let ([a, b], [first, second]) = (self.ends(), &self.shapes);
        let operands = [&a, &b, first, second, &standards[0]];
        let ([least, most], [first, last]) = (C::WITHIN, C::SCALED_WITHIN);
        let t = R::smooth(operands, &Quantile::<C>::default()).kept_within(least, most);
        (self.loc.clone() + self.scale.clone() * t).kept_within(first, last)
    }

    fn mean(&self) -> R {
        let ([a, b], [first, second]) = (self.ends(), &self.shapes);
        let t = R::smooth([&a, &b, first, second], &Mean::<C>::default());
        self.loc.clone() + self.scale.clone() * t
    }

    /// A truncated normal.
    fn mean_field(of: &TruncatedShaped<C, Tensor>) -> MeanField<'static> {
        let [first, second] = &of.shapes;
        let spread = C::spread([first, second]) * &of.scale;
        let (low, high) = (&of.low, &of.high);
        let spread = spread.minimum(&(high - low)).detach();
        let own = |end: f64| (end.abs() < FAR).then(|| &of.loc + &of.scale * end as f32);
        let [first, last] = C::ENDS.map(own);
        let from = first.map_or_else(|| low.clone(), |first| low.maximum(&first));
        let to = last.map_or_else(|| high.clone(), |last| high.minimum(&last));
        let shape = draw_shape(&Continuous::parameters(of));
        let mean = Continuous::mean(of).detach();
        // Heavy tails have no mean. 0 times a number that is not finite is NaN.
        let has_mean = (&mean * 0.0).eq(0.0);
        let median = Continuous::draw(of, &[mean.full_like(0.5)]).detach();
        let centre = has_mean.select_where(&mean, &median);
        by_location(&centre, &spread, shape, move |loc, scale| {
            let law = Truncated::<NormalCurve, Tensor>::near(&from, &to, loc, scale);
            law.checked()?.law()
        })
        .for_draws_about(values_about(of.bijection()))
    }
}

/// Gamma numbers of rate 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct GammaCurve;

impl ShapedCurve for GammaCurve {
    const ENDS: [f64; 2] = [0.0, FAR];
    const WITHIN: [f64; 2] = [LEAST_SHARE, MOST];
    const SCALED_WITHIN: [f64; 2] = [LEAST, MOST];

    fn ln_density<R: Real>([a, _]: [&R; 2], t: &R) -> R {
        let one = a.clone() * 0.0 + 1.0;
        Continuous::log_density(&Gamma::of(&[a.clone(), one]), t)
    }

    fn tails([a, _]: [f64; 2], t: f64) -> (f64, f64) {
        crate::dist::counts::regularised_gamma(a, t)
    }

    /// From the Gamma law whose shape is larger by 1.
    fn mean([a, second]: [f64; 2], [from, to]: [f64; 2], own: f64) -> f64 {
        a * mass::<Self>([a + 1.0, second], from, to) / own
    }

    fn spread([a, _]: [&Tensor; 2]) -> Tensor {
        a.sqrt()
    }

    fn width([a, _]: [f64; 2]) -> f64 {
        a.sqrt()
    }

    fn reach([a, _]: [f64; 2], _: usize) -> f64 {
        a.min(a.sqrt())
    }
}

/// Beta numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BetaCurve;

impl ShapedCurve for BetaCurve {
    const ENDS: [f64; 2] = [0.0, 1.0];
    const WITHIN: [f64; 2] = [LEAST_SHARE, BELOW_ONE as f64];
    const HAS_SECOND: bool = true;

    fn ln_density<R: Real>([a, b]: [&R; 2], t: &R) -> R {
        Continuous::log_density(&Beta::of(&[a.clone(), b.clone()]), t)
    }

    fn tails([a, b]: [f64; 2], t: f64) -> (f64, f64) {
        crate::dist::counts::regularised_beta(a, b, t, 1.0 - t)
    }

    /// From the Beta law whose first shape is larger by 1.
    fn mean([a, b]: [f64; 2], [from, to]: [f64; 2], own: f64) -> f64 {
        a / (a + b) * mass::<Self>([a + 1.0, b], from, to) / own
    }

    fn spread([a, b]: [&Tensor; 2]) -> Tensor {
        let all = a + b;
        (a * b / (&all + 1.0)).sqrt() / all
    }

    fn width([a, b]: [f64; 2]) -> f64 {
        let all = a + b;
        (a * b / (all + 1.0)).sqrt() / all
    }

    fn reach(shapes: [f64; 2], which: usize) -> f64 {
        let (own, other) = (shapes[which], shapes[1 - which]);
        own.min((own * (1.0 + own / other)).sqrt())
    }
}

/// Student's t.
#[derive(Clone, Copy, Debug, Default)]
pub struct StudentCurve;

impl ShapedCurve for StudentCurve {
    const ENDS: [f64; 2] = [-FAR, FAR];

    fn ln_density<R: Real>([df, _]: [&R; 2], t: &R) -> R {
        let zero = df.clone() * 0.0;
        let law = StudentT::of(&[df.clone(), zero.clone(), zero + 1.0]);
        Continuous::log_density(&law, t)
    }

    /// Half the probability of being at least as far from 0.
    fn tails([df, _]: [f64; 2], t: f64) -> (f64, f64) {
        let square = t * t;
        let (x, y) = (df / (df + square), square / (df + square));
        let (outer, _) = crate::dist::counts::regularised_beta(0.5 * df, 0.5, x, y);
        let (near, far) = (1.0 - 0.5 * outer, 0.5 * outer);
        if t < 0.0 { (far, near) } else { (near, far) }
    }

    /// From the integral of t f(t), which is −f(t) (ν + t²)/(ν − 1), or half a logarithm at ν = 1.
    fn mean(shapes: [f64; 2], ends: [f64; 2], own: f64) -> f64 {
        let df = shapes[0];
        // Ends in units of the scale.
        let is_cut = ends.iter().all(|end| end.abs() < FAR * 1e-3);
        if df <= 1.0 && !is_cut {
            return f64::NAN;
        }
        // The power of 1 + t²/ν, to which f(t) is proportional, integrates to a logarithm at ν = 1.
        let constant = density::<Self>(shapes, 0.0);
        let part = |t: f64| (t * t / df).ln_1p();
        let power = 0.5 * (1.0 - df);
        let integral = |t: f64| match power == 0.0 {
            true => 0.5 * df * part(t),
            false => 0.5 * df * (power * part(t)).exp_m1() / power,
        };
        constant * (integral(ends[1]) - integral(ends[0])) / own
    }

    fn spread([df, _]: [&Tensor; 2]) -> Tensor {
        df.ones_like()
    }

    fn width(_: [f64; 2]) -> f64 {
        1.0
    }

    /// Large ones change little even where they double.
    fn reach(shapes: [f64; 2], _: usize) -> f64 {
        shapes[0]
    }
}

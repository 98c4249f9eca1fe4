//! Uniform: numbers in an interval, all equally likely.

use super::checks::{SMALLER_FIRST, ends_error};
use super::family::*;
use super::gamma::uniform;
use super::guides::beta_guide;
use super::{Distribution, beta};
use crate::dist::noise::each::LARGEST as BELOW_ONE;

/// Independent uniform numbers between `low` and `high`; over `f64`s a draw is an `f64`, over tensors a
/// tensor of their broadcast shape.
///
/// Draws move with both ends, so that gradients with respect to them are right where the ends are parameters; host
/// code must not read a draw then, because score functions do not see how the support moves. Its automatic
/// guide is a [`Beta`](super::Beta) stretched over the interval.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let density = Uniform::new(-1.0, 3.0)?.log_prob(&0.5)?.total()?;
/// assert!((density + 4.0_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Uniform<P> {
    low: P,
    high: P,
}

impl<R: Real> Uniform<R> {
    /// Numbers between `low` and `high`.
    ///
    /// # Errors
    /// If an end is not finite, `high` is not far enough above `low` for f32 to tell them apart, their distance
    /// is more than f32 holds, or their shapes do not broadcast.
    pub fn new<A: Operand, B: Operand>(low: A, high: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = R>,
    {
        let (low, high) = low.into_repr().join(high.into_repr());
        let law = Self { low, high }.checked()?;
        const HALF_ULP: f64 = 0.5 * f32::EPSILON as f64;
        let size = law.low.abs() + law.high.abs();
        let apart = law.width().all(|width| width > 0.0)?;
        let told_apart = (law.width() - size * HALF_ULP).all(|gap| gap > 0.0)?;
        let held = law.width().all(|width| width <= f64::from(f32::MAX))?;
        let problem = match (apart, told_apart, held) {
            (true, true, true) => return Ok(law),
            (false, ..) => SMALLER_FIRST,
            (_, false, _) => {
                "`high` is too close to `low` for f32 to tell them apart; measure from a number nearer to both"
            }
            (.., false) => "`high` is farther above `low` than f32 holds, 3.4e38; use larger units",
        };
        let name = <Self as Continuous>::NAME;
        Err(ends_error(name, &law.low, &law.high, problem))
    }

    fn width(&self) -> R {
        self.high.clone() - self.low.clone()
    }
}

impl<R: Real> Continuous for Uniform<R> {
    type Real = R;
    type Tensors = Uniform<Tensor>;
    const NAME: &'static str = "Uniform";
    const SUPPORT: Support = Support::Interval;
    const PARAMETERS: &'static [(&'static str, Support)] =
        &[("low", Support::Real), ("high", Support::Real)];
    const STANDARDS: &'static [Standard] = &[Stream::uniform_f64];
    const SYMMETRIC: bool = false;
    const ENDS: usize = 2;

    parameters!(low, high);

    /// The ends are included.
    fn gaps(&self, x: &R) -> Option<[R; 2]> {
        Some(gaps_within([&self.low, &self.high], x))
    }

    fn log_density(&self, x: &R) -> R {
        x.clone() * 0.0 - self.width().ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        self.low.clone() + self.width() * standards[0].clone()
    }

    fn mean(&self) -> R {
        (self.low.clone() + self.high.clone()) * 0.5
    }

    fn mean_field(of: &Uniform<Tensor>) -> MeanField<'static> {
        let of = of.clone();
        let ones = of.width().ones_like();
        beta_guide([&ones, &ones], move |a, b| {
            Stretched {
                low: of.low.clone(),
                high: of.high.clone(),
                concentration1: a.clone(),
                concentration0: b.clone(),
            }
            .checked()?
            .law()
        })
    }
}

/// How far numbers lie within two ends, including what a draw at an end is rounded to.
fn gaps_within<R: Real>([low, high]: [&R; 2], x: &R) -> [R; 2] {
    const ROUNDING: f64 = f32::EPSILON as f64;
    let width = high.clone() - low.clone();
    let slack = |end: &R| (end.abs() + width.clone()) * ROUNDING;
    let above = x.clone() - low.clone() + slack(low);
    let below = high.clone() - x.clone() + slack(high);
    [above, below]
}

/// A Beta number stretched over the interval between `low` and `high`.
#[derive(Clone, Debug)]
struct Stretched<P> {
    low: P,
    high: P,
    concentration1: P,
    concentration0: P,
}

impl<R: Real> Stretched<R> {
    fn width(&self) -> R {
        self.high.clone() - self.low.clone()
    }
}

impl<R: Real> Continuous for Stretched<R> {
    type Real = R;
    type Tensors = Stretched<Tensor>;
    const NAME: &'static str = "StretchedBeta";
    const SUPPORT: Support = Support::Interval;
    const PARAMETERS: &'static [(&'static str, Support)] = &[
        ("low", Support::Real),
        ("high", Support::Real),
        ("concentration1", Support::Positive),
        ("concentration0", Support::Positive),
    ];
    const STANDARDS: &'static [Standard] = &[uniform, uniform];
    const SYMMETRIC: bool = true;
    const ENDS: usize = 2;

    parameters!(low, high, concentration1, concentration0);

    fn gaps(&self, x: &R) -> Option<[R; 2]> {
        Some(gaps_within([&self.low, &self.high], x))
    }

    fn log_density(&self, x: &R) -> R {
        let share = (x.clone() - self.low.clone()) / self.width();
        // Rounding may have moved it to an end.
        let share = share.kept_within(LEAST_SHARE, BELOW_ONE.into());
        beta::log_density([&self.concentration1, &self.concentration0], &share) - self.width().ln()
    }

    fn draw(&self, standards: &[R]) -> R {
        let share = beta::draw([&self.concentration1, &self.concentration0], standards);
        self.low.clone() + self.width() * share
    }

    fn mean(&self) -> R {
        let total = self.concentration1.clone() + self.concentration0.clone();
        self.low.clone() + self.width() * (self.concentration1.clone() / total)
    }

    fn mean_field(of: &Stretched<Tensor>) -> MeanField<'static> {
        Uniform::<Tensor>::mean_field(&Uniform {
            low: of.low.clone(),
            high: of.high.clone(),
        })
    }
}

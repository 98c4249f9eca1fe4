//! The laws that can be truncated.

use std::marker::PhantomData;

use super::{FAR, NAME, Truncated};
use crate::dist::checks::{SMALLER_FIRST, ends_error};
use crate::dist::curves::{
    CauchyCurve, Curve, GumbelCurve, LaplaceCurve, LogisticCurve, NormalCurve,
};
use crate::dist::family::*;
use crate::dist::{
    Cauchy, Distribution, Exponential, Gumbel, HalfCauchy, HalfNormal, IntoDistribution, Laplace,
    Logistic, Normal,
};

/// A law that [`Truncated`] can cut off between ends of types `L` and `H`.
pub trait Truncatable<L, H>: Distribution {
    /// The truncated law.
    type Truncated;
    /// Truncates the law to what lies between the ends.
    ///
    /// # Errors
    /// As [`Truncated::new`].
    fn truncated(self, low: L, high: H) -> Result<Self::Truncated>;
}

/// The type that [`Truncated::new`] makes of a law.
type Between<D, L, H> = <<D as IntoDistribution>::Distribution as Truncatable<L, H>>::Truncated;

impl Truncated<(), ()> {
    /// The numbers of `base` between `low` and `high`: a `Truncated` law, or for log-normal numbers a
    /// [`TruncatedLogNormal`](super::TruncatedLogNormal), for laws with shapes a
    /// [`TruncatedShaped`](super::TruncatedShaped), and for counts, whose ends are whole numbers and included,
    /// [`TruncatedCounts`](super::TruncatedCounts).
    ///
    /// # Errors
    /// If `base` could not be made, an end is NaN, `low` is not below `high` (for counts: is above it), `base` has no
    /// number between them in double precision, or shapes do not broadcast. For counts also if an end is
    /// neither a whole number nor infinite, if `high` lies among last values that differ between rows, or if
    /// more than 1000 values would have to be summed for each log-mass.
    #[expect(
        clippy::new_ret_no_self,
        reason = "what is left of a law depends on the law"
    )]
    pub fn new<D, L, H>(base: D, low: L, high: H) -> Result<Between<D, L, H>>
    where
        D: IntoDistribution<Distribution: Truncatable<L, H>>,
    {
        base.into_distribution()?.truncated(low, high)
    }
}

/// Location-scale laws, or halves of them that start at an end of their own: the curve that their numbers follow,
/// location, scale and that end.
macro_rules! truncatable {
    ($($name:ident, $curve:ident, |$law:ident| $loc:expr, $scale:expr, from: $from:expr;)*) => {$(
        impl<B: Real, R: Real, L: Operand, H: Operand> Truncatable<L, H> for $name<B>
        where
            $name<B>: Distribution,
            B: JoinThree<L::Repr, H::Repr, Joined = R> + Join<R, Joined = R>,
        {
            type Truncated = Truncated<$curve, R>;

            fn truncated(self, low: L, high: H) -> Result<Self::Truncated> {
                let $law = self.into_parts();
                let ends = Ends::new($loc, low, high)?;
                ends.map(|end| end.kept_within($from, FAR)).around($scale)
            }
        }
    )*};
}

truncatable! {
    Normal, NormalCurve, |law| law.0, law.1, from: -FAR;
    Laplace, LaplaceCurve, |law| law.0, law.1, from: -FAR;
    Logistic, LogisticCurve, |law| law.0, law.1, from: -FAR;
    Cauchy, CauchyCurve, |law| law.0, law.1, from: -FAR;
    Gumbel, GumbelCurve, |law| law.0, law.1, from: -FAR;
    // Halves of symmetric laws around 0.
    HalfNormal, NormalCurve, |scale| scale.clone() * 0.0, scale, from: 0.0;
    HalfCauchy, CauchyCurve, |scale| scale.clone() * 0.0, scale, from: 0.0;
    Exponential, LaplaceCurve, |rate| rate.clone() * 0.0, rate.recip(), from: 0.0;
}

/// A location between two ends.
pub(super) struct Ends<B, R> {
    loc: R,
    low: R,
    high: R,
    base: PhantomData<B>,
}

impl<B, R: Real> Ends<B, R> {
    pub(super) fn new<L: Operand, H: Operand>(loc: B, low: L, high: H) -> Result<Self>
    where
        B: JoinThree<L::Repr, H::Repr, Joined = R>,
    {
        let [loc, low, high] = loc.join_three(low.into_repr(), high.into_repr());
        for (name, end) in [("low", &low), ("high", &high)] {
            const NUMBER: &str =
                "an end must be a number; an infinite one leaves its side as it is";
            end.check_numbers(NAME, name, |x| !x.is_nan(), NUMBER)?;
        }
        if !(high.clone() - low.clone()).all(|gap| gap > 0.0)? {
            return Err(ends_error(NAME, &low, &high, SMALLER_FIRST));
        }
        let base = PhantomData;
        Ok(Self {
            loc,
            low,
            high,
            base,
        })
    }

    /// Transforms the ends and the location.
    pub(super) fn map(self, f: impl Fn(R) -> R) -> Self {
        let (low, high) = (f(self.low), f(self.high));
        Self { low, high, ..self }
    }

    /// The ends, and the location.
    pub(super) fn into_parts(self) -> (R, R, R) {
        (self.low, self.high, self.loc)
    }

    /// The law with this scale.
    pub(super) fn around<C: Curve>(self, scale: B) -> Result<Truncated<C, R>>
    where
        B: Join<R, Joined = R>,
    {
        let (scale, loc) = scale.join(self.loc);
        let [low, high] = [self.low, self.high].map(|end| end.kept_within(-FAR, FAR));
        Truncated::with(low, high, loc, scale).checked()
    }
}

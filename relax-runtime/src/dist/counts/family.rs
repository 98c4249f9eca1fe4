//! Families of laws of one whole number, and how they are drawn: by inverting their distribution
//! function.

use std::fmt::Debug;
use std::rc::Rc;

use crate::dist::excluded::numbers_of;
use crate::tensor::{Shape, Tensor};

/// A family of laws of whole numbers: what a distribution of counts has to define, in `f64` where single
/// numbers are concerned. All the rest (draws, relaxation, estimators, plates) is shared:
/// [`Counts`](super::Counts).
///
/// θ are a law's parameters, [`width`](Self::width) unconstrained real numbers; `fixed` is one further
/// number that no gradient estimator differentiates with respect to, such as a number of trials.
///
/// ```
/// use relax_runtime::Result;
/// use relax_runtime::dist::{CountFamily, Counts, Distribution, PoissonFamily};
/// # fn main() -> Result<()> {
/// // The θ of a Poisson is the logarithm of its rate.
/// let theta = [2.0_f64.ln()];
/// let (mean, deviation) = PoissonFamily.moments(&theta, 0.0);
/// assert!((mean - 2.0).abs() < 1e-9 && (deviation * deviation - 2.0).abs() < 1e-9);
/// let (at_most_0, above_0) = PoissonFamily.tails(&theta, 0.0, 0.0);
/// assert!((at_most_0 - (-2.0_f64).exp()).abs() < 1e-6);
/// assert!((at_most_0 + above_0 - 1.0).abs() < 1e-6);
///
/// let counts = Counts::of(PoissonFamily, &theta, 0.0)?;
/// assert!((counts.log_prob(&0)?.total()? + 2.0).abs() < 1e-9);
/// # Ok(())
/// # }
/// ```
pub trait CountFamily: Clone + Debug + 'static {
    /// The distribution's name, as the user writes it.
    const NAME: &'static str;

    /// The set of its values, in words.
    const SUPPORT: &'static str;

    /// The names of the numbers of θ, which the automatic guide uses. Where several names in a row are the same, the
    /// numbers from there on form one vector of that name.
    fn parameters(&self) -> Vec<&'static str>;

    /// Number of elements of θ.
    fn width(&self) -> usize {
        self.parameters().len()
    }

    /// Whether θ is a vector along the last axis of a tensor.
    fn is_vector(&self) -> bool {
        self.width() > 1
    }

    /// The shape of the counts for a θ of this shape.
    fn shape_of_counts(&self, theta: Shape) -> Shape {
        match self.is_vector() {
            false => theta,
            true => theta.leading(theta.rank().saturating_sub(1)),
        }
    }

    /// Whether θ holds the logits of all values, in order.
    fn is_table(&self) -> bool {
        false
    }

    /// The least value.
    fn first(&self) -> f64 {
        0.0
    }

    /// The largest value, infinite where there is none.
    fn last(&self, _fixed: f64) -> f64 {
        f64::INFINITY
    }

    /// ln p(k), for whole k of the support.
    fn ln_mass(&self, theta: &[f64], fixed: f64, k: f64) -> f64;

    /// As [`ln_mass`](Self::ln_mass), of tensors: θ is `[..]`, or `[.., width]` where it is a vector. Differentiable
    /// to the second order in all three, and continuous in the value between whole numbers.
    fn log_mass(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Tensor;

    /// 1 where a whole number of the support has a mass of exactly 0, and 0 elsewhere; `None`, the default, where none
    /// has. [`ln_mass`](Self::ln_mass) is −∞ there, and [`log_mass`](Self::log_mass) finite, for relaxations.
    fn excludes(&self, _theta: &Tensor, _fixed: &Tensor, _value: &Tensor) -> Option<Tensor> {
        None
    }

    /// Mean and standard deviation.
    fn moments(&self, theta: &[f64], fixed: f64) -> (f64, f64);

    /// The mean as a tensor, differentiable in θ.
    fn mean(&self, theta: &Tensor, fixed: &Tensor) -> Tensor;

    /// The variance as a tensor, differentiable in θ.
    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor;

    /// F(k) = P(b ≤ k) and 1 − F(k) at a whole number between the least and the largest value; the
    /// smaller of the two has all its digits.
    fn tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64);

    /// Whether likely values lie on both sides of one that hardly ever comes: z jumps over it as θ moves, which no
    /// derivative by z tells, or only that of draws that hardly ever come.
    fn has_gap(&self, _theta: &[f64], _fixed: f64) -> bool {
        false
    }

    /// The value at which the distribution function passes `u`.
    fn draw(&self, theta: &[f64], fixed: f64, u: QuantileLevel) -> f64 {
        let (mean, deviation) = self.moments(theta, fixed);
        // Roughly the quantile of a normal.
        let guess = mean + deviation * (u.below / u.above).ln() / 1.7;
        let ends = (self.first(), self.last(fixed));
        search(u, ends, guess, deviation, |k| self.tails(theta, fixed, k))
    }

    /// κ = −(∂F(b − 1)/∂θ + v ∂p/∂θ)/p, where p is the mass of b: how v moves with each number of θ while
    /// u stays put.
    fn kappa(&self, theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]);
}

/// The functions of a [`CountFamily`] of unknown type that mixtures use.
pub trait FamilyOfCounts: Debug {
    /// 1 where a number lies outside of the support, whose end may differ from row to row, and 0 elsewhere. A relaxed
    /// end counts as the next whole number, to which the mass falls off.
    fn outside(&self, fixed: &Tensor, value: &Tensor) -> Tensor;
    fn is_vector(&self) -> bool;
    fn first(&self) -> f64;
    fn last(&self, fixed: f64) -> f64;
    fn ln_mass(&self, theta: &[f64], fixed: f64, k: f64) -> f64;
    fn log_mass(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Tensor;
    fn excludes(&self, theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Option<Tensor>;
    fn moments(&self, theta: &[f64], fixed: f64) -> (f64, f64);
    fn mean(&self, theta: &Tensor, fixed: &Tensor) -> Tensor;
    fn variance(&self, theta: &Tensor, fixed: &Tensor) -> Tensor;
    fn tails(&self, theta: &[f64], fixed: f64, k: f64) -> (f64, f64);
    fn has_gap(&self, theta: &[f64], fixed: f64) -> bool;
    fn kappa(&self, theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]);
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl<F: CountFamily> FamilyOfCounts for F {
            fn outside(&self, fixed: &Tensor, value: &Tensor) -> Tensor {
                let lasts = fixed.with_values(|fixed| {
                    let lasts = fixed.iter().map(|&fixed| self.last(fixed.into()).ceil() as f32);
                    lasts.collect::<Vec<_>>()
                });
                let lasts = lasts.and_then(|lasts| Tensor::from_vec(lasts, fixed.shape(), &fixed.device()));
                let lasts = lasts.unwrap_or_else(Tensor::poisoned);
                let value = numbers_of(value);
                value.lt(self.first() as f32).maximum(&value.gt(&lasts))
            }

            $(fn $name(&self, $($argument: $type),*) $(-> $result)? {
                <F as CountFamily>::$name(self, $($argument),*)
            })*
        }
    };
}

forward! {
    is_vector() -> bool;
    first() -> f64;
    last(fixed: f64) -> f64;
    ln_mass(theta: &[f64], fixed: f64, k: f64) -> f64;
    log_mass(theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Tensor;
    excludes(theta: &Tensor, fixed: &Tensor, value: &Tensor) -> Option<Tensor>;
    moments(theta: &[f64], fixed: f64) -> (f64, f64);
    mean(theta: &Tensor, fixed: &Tensor) -> Tensor;
    variance(theta: &Tensor, fixed: &Tensor) -> Tensor;
    tails(theta: &[f64], fixed: f64, k: f64) -> (f64, f64);
    has_gap(theta: &[f64], fixed: f64) -> bool;
    kappa(theta: &[f64], fixed: f64, at: Place, kappa: &mut [f64]);
}

/// A family of unknown type.
pub(in crate::dist) type AnyFamily = Rc<dyn FamilyOfCounts>;

/// What a law of one whole number is made of: its family, θ and the fixed number.
#[derive(Clone, Debug)]
pub struct CountParts {
    pub(in crate::dist) family: AnyFamily,
    /// θ: `[..]`, or `[.., width]` where it is a vector.
    pub(in crate::dist) theta: Tensor,
    /// The fixed number, or one for each event.
    pub(in crate::dist) fixed: Tensor,
}

/// The level of a quantile: a uniform number between 0 and 1, and its distance from 1. The smaller of the two
/// has all its digits.
#[derive(Clone, Copy, Debug)]
pub struct QuantileLevel {
    /// u.
    pub below: f64,
    /// 1 − u.
    pub above: f64,
}

impl QuantileLevel {
    /// u in (0, 1).
    pub fn new(u: f64) -> Self {
        Self {
            below: u,
            above: 1.0 - u,
        }
    }

    /// The u that belongs to uniform [noise](crate::dist::noise).
    pub fn of_noise(noise: f32) -> Self {
        let n = f64::from(crate::dist::noise::each::open(noise));
        match n < 0.0 {
            true => Self {
                below: 1.0 + n,
                above: -n,
            },
            false => Self::new(n),
        }
    }

    /// Whether the distribution function, given with its distance from 1, is above u.
    fn is_below(self, (lower, upper): (f64, f64)) -> bool {
        match self.below <= self.above {
            true => lower > self.below,
            false => upper < self.above,
        }
    }
}

/// Where u lies: on the step of the distribution function at b, v of the way up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// b, a whole number.
    pub b: f64,
    /// v, in [0, 1].
    pub v: f64,
}

impl Place {
    /// The place of u.
    pub(in crate::dist) fn of<F: CountFamily>(
        family: &F,
        theta: &[f64],
        fixed: f64,
        u: QuantileLevel,
    ) -> Self {
        let b = family.draw(theta, fixed, u);
        let (lower, upper) = match b > family.first() {
            true => family.tails(theta, fixed, b - 1.0),
            false => (0.0, 1.0),
        };
        let way = match u.below <= u.above {
            true => u.below - lower,
            false => upper - u.above,
        };
        let v = way / family.ln_mass(theta, fixed, b).exp();
        // Where the mass underflows in f64, nothing tells where u lies.
        let v = if v.is_nan() { 0.5 } else { v.clamp(0.0, 1.0) };
        Self { b, v }
    }

    /// s = b + v − ½, which stays within the support and is half as steep at its ends: continuous and
    /// rising in u.
    pub(in crate::dist) fn relaxed(self, first: f64, last: f64) -> f64 {
        let Self { b, v } = self;
        match (b <= first, b >= last) {
            (true, true) => b,
            (true, false) => b + 0.5 * v,
            (false, true) => b - 0.5 + 0.5 * v,
            (false, false) => b - 0.5 + v,
        }
    }

    /// ∂s/∂v.
    pub(in crate::dist) fn steepness(self, first: f64, last: f64) -> f64 {
        match (self.b <= first, self.b >= last) {
            (true, true) => 0.0,
            (false, false) => 1.0,
            _ => 0.5,
        }
    }
}

/// The least whole number at which the distribution function is above u, given a guess: steps double
/// until they bracket it, then the bracket is halved.
pub(in crate::dist) fn search(
    u: QuantileLevel,
    (first, last): (f64, f64),
    guess: f64,
    deviation: f64,
    tails: impl Fn(f64) -> (f64, f64),
) -> f64 {
    /// Beyond it f64 cannot tell whole numbers apart.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let last = last.min(LARGEST);
    let is_reached = |k: f64| k >= last || u.is_below(tails(k));
    let guess = if guess.is_nan() { first } else { guess };
    let at = guess.round().clamp(first, last);
    let mut step = (deviation * 0.125).clamp(1.0, LARGEST).round();
    // Not reached at `low`, reached at `high`.
    let (mut low, mut high) = (first - 1.0, last);
    if is_reached(at) {
        high = at;
        while high - step > low {
            match is_reached(high - step) {
                true => high -= step,
                false => low = high - step,
            }
            step *= 2.0;
        }
    } else {
        low = at;
        while low + step < high {
            match is_reached(low + step) {
                true => high = low + step,
                false => low += step,
            }
            step *= 2.0;
        }
    }
    while high - low > 1.0 {
        let middle = ((low + high) * 0.5).floor();
        match is_reached(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    high
}

/// Whether a whole number between the first and the last value is a gap: its mass, over a standard deviation, is far less
/// than the probability of lower values, and than that of higher ones.
pub(in crate::dist) fn is_gap<F: CountFamily>(
    family: &F,
    theta: &[f64],
    fixed: f64,
    k: f64,
    deviation: f64,
) -> bool {
    /// With less, most of what κ tells is of draws that come less than once in thousands.
    const SHARE: f64 = 1e-3;
    if k <= family.first() || k >= family.last(fixed) {
        return false;
    }
    let mass = family.ln_mass(theta, fixed, k).exp() * deviation.max(1.0);
    mass < SHARE && {
        let (below, above) = (
            family.tails(theta, fixed, k - 1.0).0,
            family.tails(theta, fixed, k).1,
        );
        mass < SHARE * below.min(above)
    }
}

/// The j-th number of each θ.
pub(in crate::dist) fn part(theta: &Tensor, j: usize) -> Tensor {
    theta.index(-1, j)
}

/// κ for the j-th number of θ, from differences of the distribution function over a thousandth of what
/// moves it by the law's width: right to about six digits, as far as the steps of θ allow.
pub(in crate::dist) fn by_difference<F: CountFamily>(
    family: &F,
    theta: &[f64],
    fixed: f64,
    at: Place,
    j: usize,
) -> f64 {
    let (mean, deviation) = family.moments(theta, fixed);
    let step = 1e-3 * (deviation / (mean + deviation)).clamp(1e-6, 1.0);
    let moved = |by: f64| {
        let mut theta: smallvec::SmallVec<[f64; 4]> = theta.into();
        theta[j] += by;
        let tails = match at.b > family.first() {
            true => family.tails(&theta, fixed, at.b - 1.0),
            false => (0.0, 1.0),
        };
        (tails, family.ln_mass(&theta, fixed, at.b))
    };
    let (((lower, upper), ln_mass), ((lower_before, upper_before), ln_mass_before)) =
        (moved(step), moved(-step));
    // From the smaller of the two, which has all its digits.
    let rise = match lower <= upper {
        true => lower - lower_before,
        false => upper_before - upper,
    };
    let mass = family.ln_mass(theta, fixed, at.b).exp();
    -(rise / mass + at.v * (ln_mass - ln_mass_before)) / (2.0 * step)
}

//! Counts: laws of one whole number, of any family.

mod certain;
mod family;
mod law;
mod relaxation;
mod special;
mod table;

use std::fmt::Debug;
use std::rc::Rc;

use smallvec::SmallVec;

pub(super) use certain::{at_least, below, certainties, is_certain, near_certain};
pub(super) use family::{AnyFamily, is_gap};
pub use family::{CountFamily, CountParts, Place, QuantileLevel};
pub(super) use family::{by_difference, part, search};
pub use relaxation::CountRelaxation;
pub(super) use special::{regularised_beta, regularised_gamma, sigmoid, softplus};
pub(super) use table::MOST_VALUES;
pub use table::{Table, TableName};

pub(super) use law::CountLaw;

use super::excluded::{CERTAINTY, numbers_of};
use super::repeat::behind;
use super::{Distribution, Law, Number, Numbers, check_fit, expand_parameter};
use crate::dist::noise::each::LARGEST as BELOW_ONE;
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::native::pointwise::all;
use crate::tensor::{Shape, SiteSet, Tensor, broadcast, each_apart};

/// Whole numbers of a family, such as [`Poisson`](super::Poisson); over `f64`s a draw is a `usize`, over
/// tensors a tensor with one number per element of the parameters.
///
/// In tensors counts are `f32`s, which are exact up to 2²⁴.
///
/// ```
/// use relax_runtime::dist::{Counts, Distribution, Poisson, PoissonFamily};
/// use relax_runtime::{Key, Result};
/// # fn main() -> Result<()> {
/// // Programs name a distribution, which is an alias: `Poisson<P>` is `Counts<PoissonFamily, P>`.
/// let calls: Counts<PoissonFamily, f64> = Poisson::rate(3.0)?;
/// assert!((calls.log_prob(&0)?.total()? + 3.0).abs() < 1e-9);
///
/// let draw: usize = calls.sample(&mut Key::new(1).stream("calls"))?;
/// assert!(calls.contains(&draw)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Counts<F, P: CountOperand> {
    family: F,
    theta: P::Theta,
    fixed: P,
}

/// A parameter of counts: `f64` or [`Tensor`].
pub trait CountOperand: Numbers + Clone + Debug {
    /// How a law's unconstrained parameters θ are stored.
    type Theta: Clone + Debug;
    /// Makes θ from its numbers, which are broadcast.
    ///
    /// # Errors
    /// If they do not broadcast.
    fn theta(parts: &[Self]) -> Result<Self::Theta>;
    /// Natural logarithm.
    fn ln(&self) -> Self;
    /// ln p − ln(1 − p); ±10⁴ at 0 and 1, so that it is finite.
    fn logit(&self) -> Self;
    /// The difference.
    fn minus(&self, other: &Self) -> Self;
    /// A constant of the same kind.
    fn number(&self, x: f64) -> Self;
    /// A fixed number, and a parameter with one element per element of the number.
    ///
    /// # Errors
    /// If their shapes do not broadcast.
    fn aligned(fixed: Self, parameter: Self) -> Result<(Self, Self)>;
    /// θ with a number put before its own, which form a vector or not.
    ///
    /// # Errors
    /// If they do not broadcast.
    fn before(&self, theta: &Self::Theta, is_vector: bool) -> Result<Self::Theta>;
    /// Shows `look` θ and the fixed number of each event, where θ has `width` numbers per event.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn each_event(
        theta: &Self::Theta,
        fixed: &Self,
        width: usize,
        look: impl FnMut(&[f64], f64),
    ) -> Result<()>;
}

/// The largest mean of counts without a last value, and the largest number of trials: beyond it `f32` is far
/// from telling counts apart, and draws take long.
pub(super) const MOST: f64 = 1e9;

/// ln [`MOST`], rounded down.
pub(super) const LN_MOST: f64 = 20.7;

impl CountOperand for f64 {
    type Theta = SmallVec<[f64; 2]>;
    fn theta(parts: &[f64]) -> Result<Self::Theta> {
        Ok(SmallVec::from_slice(parts))
    }
    fn ln(&self) -> f64 {
        f64::ln(*self)
    }
    fn logit(&self) -> f64 {
        let logit = self.ln() - (-self).ln_1p();
        logit.clamp(-f64::from(CERTAINTY), f64::from(CERTAINTY))
    }
    fn minus(&self, other: &f64) -> f64 {
        self - other
    }
    fn number(&self, x: f64) -> f64 {
        x
    }
    fn aligned(fixed: f64, parameter: f64) -> Result<(f64, f64)> {
        Ok((fixed, parameter))
    }
    fn before(&self, theta: &Self::Theta, _: bool) -> Result<Self::Theta> {
        Ok(std::iter::once(*self)
            .chain(theta.iter().copied())
            .collect())
    }
    fn each_event(
        theta: &Self::Theta,
        fixed: &f64,
        _: usize,
        mut look: impl FnMut(&[f64], f64),
    ) -> Result<()> {
        look(theta, *fixed);
        Ok(())
    }
}

impl CountOperand for Tensor {
    type Theta = Tensor;
    fn theta(parts: &[Tensor]) -> Result<Tensor> {
        let [first, rest @ ..] = parts else {
            return Err(Error::Model("a law of counts has parameters".into()));
        };
        if rest.is_empty() {
            return first.check().cloned();
        }
        let joint = |shape: Option<Shape>, part: &Tensor| shape?.broadcast(&part.shape());
        let shape = parts.iter().fold(Some(Shape::SCALAR), joint);
        let Some(shape) = shape else {
            // Adding them reports what is wrong, and where.
            return rest
                .iter()
                .fold(first.clone(), |a, b| a + b)
                .check()
                .cloned();
        };
        let parts: Vec<Tensor> = parts.iter().map(|part| part.broadcast_to(shape)).collect();
        let stacked = Tensor::stack(&parts.iter().collect::<Vec<_>>(), -1);
        stacked.check().cloned()
    }
    fn ln(&self) -> Tensor {
        Tensor::ln(self)
    }
    fn logit(&self) -> Tensor {
        let is_open = |p: &[f32]| all(p, |p| (p > 0.0) & (p < 1.0));
        let logit = |p: &Tensor| Tensor::logit(&p.kept_within(f32::MIN_POSITIVE, BELOW_ONE));
        let of_one = |p: &Tensor| {
            // Selecting between the two would cut the logits off from what the probabilities came from.
            if let Ok(true) = p.with_values(is_open) {
                return logit(p);
            }
            let numbers = numbers_of(p);
            let certain = numbers.ge(1.0) - numbers.le(0.0);
            certain
                .square()
                .select_where(&(certain * CERTAINTY), &logit(p))
        };
        match self.tells_in_all_cases(is_open) {
            Ok(true) => logit(self),
            _ => each_apart([self], |[p]| Some(of_one(p))).unwrap_or_else(|| of_one(self)),
        }
    }
    fn minus(&self, other: &Tensor) -> Tensor {
        self - other
    }
    fn number(&self, x: f64) -> Tensor {
        Tensor::full([], x as f32, &self.device())
    }
    fn aligned(fixed: Tensor, parameter: Tensor) -> Result<(Tensor, Tensor)> {
        let (own, other) = (parameter.check()?.shape(), fixed.check()?.shape());
        match own.broadcast(&other) {
            Some(shape) if shape == own => Ok((fixed, parameter)),
            Some(shape) => Ok((fixed, parameter.broadcast_to(shape))),
            None => (parameter + &fixed)
                .check()
                .map(|sum| (fixed.clone(), sum.clone())),
        }
    }
    fn before(&self, theta: &Tensor, is_vector: bool) -> Result<Tensor> {
        let theta = if is_vector {
            theta.clone()
        } else {
            theta.unsqueeze(-1)
        };
        let own = self.unsqueeze(-1);
        let Some(shape) = (&own + theta.slice(-1, 0..1))
            .check()
            .map(Tensor::shape)
            .ok()
        else {
            return (own + theta).check().cloned();
        };
        let rows = shape.leading(shape.rank() - 1);
        let wide = rows.join(&[theta.shape().last().copied().unwrap_or(1)]);
        let theta = wide.map_or_else(|| theta.clone(), |wide| theta.broadcast_to(wide));
        let joined = Tensor::concat(&[&own.broadcast_to(shape), &theta], -1);
        joined.check().cloned()
    }
    fn each_event(
        theta: &Tensor,
        fixed: &Tensor,
        width: usize,
        mut look: impl FnMut(&[f64], f64),
    ) -> Result<()> {
        let numbers: Vec<f64> = theta.peek()?.into_iter().map(f64::from).collect();
        let rows = theta.shape();
        let rows = match width {
            1 => rows,
            _ => rows.leading(rows.rank().saturating_sub(1)),
        };
        let fixed = match fixed.len() {
            1 => fixed.peek()?,
            _ => fixed.broadcast_to(rows).peek()?,
        };
        for (i, theta) in numbers.chunks(width).enumerate() {
            look(theta, f64::from(fixed[i % fixed.len().max(1)]));
        }
        Ok(())
    }
}

impl<F: CountFamily, P: CountOperand> Counts<F, P> {
    /// Counts of a family with these numbers as θ, and with this fixed number.
    ///
    /// # Errors
    /// If they are not finite, or do not broadcast.
    pub fn of(family: F, parts: &[P], fixed: P) -> Result<Self> {
        const FINITE: &str = "it must be finite; look at what computes it";
        for (part, name) in parts.iter().zip(family.parameters()) {
            part.check_numbers(F::NAME, name, f64::is_finite, FINITE)?;
        }
        let theta = P::theta(parts)?;
        Ok(Self {
            family,
            theta,
            fixed,
        })
    }

    /// Counts of a family, with a θ put together before.
    pub(super) fn of_theta(family: F, theta: P::Theta, fixed: P) -> Self {
        Self {
            family,
            theta,
            fixed,
        }
    }

    /// Family, θ, and the fixed number.
    pub(super) fn into_parts(self) -> (F, P::Theta, P) {
        (self.family, self.theta, self.fixed)
    }
}

/// Whole numbers from `first` to `last`.
fn is_count(x: f64, first: f64, last: f64) -> bool {
    /// From here on all numbers are whole.
    const LARGE: f64 = (1_u64 << 53) as f64;
    // Not `fract`, which is a function call on many machines.
    let is_whole = x as i64 as f64 == x || (x > LARGE && x.is_finite());
    is_whole && first <= x && x <= last
}

impl<F: CountFamily> Distribution for Counts<F, f64> {
    type Value = usize;
    const NAME: &'static str = F::NAME;
    const SUPPORT: &'static str = F::SUPPORT;

    fn contains(&self, value: &usize) -> Result<bool> {
        let (first, last) = (self.family.first(), self.family.last(self.fixed));
        Ok(is_count(*value as f64, first, last))
    }

    /// With another fixed number a family may have other ends.
    fn may_contain(&self, _: &usize) -> Result<bool> {
        Ok(true)
    }

    fn log_density(&self, value: &usize) -> Result<Number> {
        let log_mass = match self.contains(value)? {
            true => self.family.ln_mass(&self.theta, self.fixed, *value as f64),
            false => f64::NEG_INFINITY,
        };
        Ok(Number::Host(log_mass))
    }

    fn sample(&self, stream: &mut Stream) -> Result<usize> {
        let u = QuantileLevel::new(stream.uniform_f64());
        Ok(self.family.draw(&self.theta, self.fixed, u) as usize)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let numbers: Vec<f32> = self.theta.iter().map(|x| *x as f32).collect();
        let theta = match numbers[..] {
            [x] if !self.family.is_vector() => Tensor::scalar(x),
            _ => Tensor::from_slice(&numbers),
        };
        let fixed = Tensor::scalar(self.fixed as f32);
        Ok(Rc::new(CountLaw::new(self.family.clone(), &theta, &fixed)?))
    }

    fn values(&self) -> Option<usize> {
        let last = self.family.last(self.fixed);
        let count = last - self.family.first() + 1.0;
        last.is_finite().then_some(count as usize)
    }

    fn nth_value(&self, k: usize) -> Option<usize> {
        let value = self.family.first() as usize + k;
        self.contains(&value).ok()?.then_some(value)
    }

    fn excludes_values(&self) -> bool {
        !self.family.is_table() && self.theta.iter().any(|x| is_certain(*x))
    }
}

impl<F: CountFamily> Counts<F, Tensor> {
    /// The shape of a draw.
    fn rows(&self) -> Shape {
        self.family.shape_of_counts(self.theta.shape())
    }

    /// Whether the fixed number was drawn: which values exist is then a matter of probability.
    fn is_fixed_by_choice(&self) -> bool {
        self.fixed.cases().is_some() || self.fixed.sites() != SiteSet::EMPTY
    }

    /// The log-mass, −∞ for values that a fixed number rules out.
    fn log_mass_ruled(&self, [theta, fixed, value]: [&Tensor; 3]) -> Result<Tensor> {
        let (rows, first) = (value + fixed.zeros_like(), self.family.first());
        let numbers = (fixed + value.zeros_like()).peek()?;
        let pairs = rows.peek()?.into_iter().zip(numbers);
        // Relaxed numbers lie between the valid ones.
        let is_outside = |(x, fixed): (f32, f32)| {
            let (x, fixed) = (f64::from(x), f64::from(fixed));
            let rules_out = fixed.fract() == 0.0 && !(first..=self.family.last(fixed)).contains(&x);
            f32::from(u8::from(rules_out))
        };
        let outside: Vec<f32> = pairs.map(is_outside).collect();
        if outside.iter().all(|&x| x == 0.0) {
            return Ok(certain::log_mass(&self.family, [theta, fixed, value]));
        }
        let outside = Tensor::from_vec(outside, rows.shape(), &value.device())?;
        let inside = outside.select_where(&value.full_like(first as f32), value);
        let log_mass = certain::log_mass(&self.family, [theta, fixed, &inside]);
        Ok(outside.select_where(&log_mass.full_like(f32::NEG_INFINITY), &log_mass))
    }
}

impl<F: CountFamily> Distribution for Counts<F, Tensor> {
    type Value = Tensor;
    const NAME: &'static str = F::NAME;
    const SUPPORT: &'static str = F::SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let first = self.family.first();
        if self.is_fixed_by_choice() {
            return value.tells(|x| all(x, |x| is_count(f64::from(x), first, f64::INFINITY)));
        }
        if let [fixed] = self.fixed.peek()?[..] {
            let last = self.family.last(f64::from(fixed));
            return value.with_values(|x| all(x, |x| is_count(f64::from(x), first, last)));
        }
        let fixed = (&self.fixed + value.zeros_like()).peek()?;
        let value = (value + self.fixed.zeros_like()).peek()?;
        let mut pairs = value.iter().zip(&fixed);
        let last = |fixed: &f32| self.family.last(f64::from(*fixed));
        Ok(pairs.all(|(x, fixed)| is_count(f64::from(*x), first, last(fixed))))
    }

    fn may_contain(&self, value: &Tensor) -> Result<bool> {
        value.tells(|x| all(x, |x| is_count(f64::from(x), 0.0, f64::INFINITY)))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(F::NAME, self.rows(), value)?;
        let operands = [&self.theta, &self.fixed, value];
        if !self.is_fixed_by_choice() {
            return Ok(Number::Tensor(certain::log_mass(&self.family, operands)));
        }
        let of_case = |operands: [&Tensor; 3]| {
            Some(
                self.log_mass_ruled(operands)
                    .unwrap_or_else(Tensor::poisoned),
            )
        };
        // A vector's axis comes after those that broadcast.
        let in_cases = match self.family.is_vector() {
            true => each_apart(operands, of_case),
            false => broadcast(operands, || None, of_case),
        };
        Ok(Number::Tensor(match in_cases {
            Some(log_mass) => log_mass,
            None => self.log_mass_ruled(operands)?,
        }))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let law = CountLaw::new(self.family.clone(), &self.theta, &self.fixed)?;
        Ok(Rc::new(law))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let (rows, vectors) = (self.rows(), usize::from(self.family.is_vector()));
        // The numbers of a law of scalars are repeated, as a scalar is.
        let theta = match rows.rank() {
            0 if vectors > 0 => behind(&self.theta, plates.len())?,
            _ => self.theta,
        };
        let theta = expand_parameter(F::NAME, "parameter", &theta, plates, vectors)?;
        let fixed = match self.fixed.rank() {
            0 => self.fixed,
            // Once it has the parameters' axes, its own axes are the plates', too.
            _ => {
                let fixed = self.fixed.broadcast_to(rows);
                expand_parameter(F::NAME, "parameter", &fixed, plates, 0)?
            }
        };
        Ok(Self {
            theta,
            fixed,
            ..self
        })
    }
}

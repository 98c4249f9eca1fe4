//! Multinomial: the number of trials that fall into each category.

mod draw;
mod law;
mod mass;
mod relaxation;

use std::rc::Rc;

use draw::{draw_row, largest};
use law::MultinomialLaw;
pub use relaxation::MultinomialRelaxation;

use super::binomial::check_total;
use super::counts::QuantileLevel;
use super::weights::{Weights, normalised, on_cpu};
use super::{
    CategoricalOperand, Distribution, Law, Number, Real, TotalCount, VectorOperand,
    check_event_fit, expand_parameter,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::special::lgamma;
use crate::tensor::{Tensor, each_apart};

const NAME: &str = "Multinomial";
const SUPPORT: &str = "vectors of counts whose sum is the number of trials";

/// How many of n independent trials fall into each of K categories: mass n!/(x₁! .. x_K!) Π pₖ^xₖ. Over `f64`s
/// a draw is a `Vec<f64>`, over a tensor `[.., K]` a tensor of its shape. The number of trials is a whole
/// number, or a tensor `[..]` with a number for each row.
///
/// In tensors counts are `f32`s, which are exact up to 2²⁴. Larger ones are rounded: the support has all whole
/// numbers whose sum is as near to the number of trials as rounding allows.
///
/// A draw is made of a binomial one for each category, from the trials that the categories before have left. Its
/// sites get RELAX by [`MultinomialRelaxation`], whatever the number of trials. Its automatic guide has its own logits.
///
/// ```
/// use relax_runtime::dist::{Distribution, Multinomial};
/// # fn main() -> relax_runtime::Result<()> {
/// let votes = Multinomial::probs(3, [0.5, 0.25, 0.25])?;
/// let mass: f64 = 6.0 * 0.5 * 0.25 * 0.25;
/// assert!((votes.log_prob(&vec![1.0, 1.0, 1.0])?.total()? - mass.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Multinomial<P, T> {
    weights: Weights<P>,
    total: T,
}

/// A number of trials that goes with weights `P`.
pub trait BesideWeights<P> {
    /// `f64` or [`Tensor`].
    type Total;
    /// The number in the form of the weights.
    fn beside(self, weights: &P) -> Self::Total;
}

impl BesideWeights<Vec<f64>> for f64 {
    type Total = f64;
    fn beside(self, _: &Vec<f64>) -> f64 {
        self
    }
}

impl BesideWeights<Tensor> for f64 {
    type Total = Tensor;
    fn beside(self, weights: &Tensor) -> Tensor {
        Tensor::full([], self as f32, &weights.device())
    }
}

impl BesideWeights<Tensor> for Tensor {
    type Total = Tensor;
    fn beside(self, _: &Tensor) -> Tensor {
        self
    }
}

impl<P: CategoricalOperand, T> Multinomial<P, T> {
    /// This many trials with these probabilities of categories. A category of probability exactly 0 gets
    /// none.
    ///
    /// # Errors
    /// If there are no categories, a probability is NaN or outside [0, 1], they do not sum to one, or a
    /// number of trials is not a whole number from 0 to 10⁹, or has other rows.
    pub fn probs<N: TotalCount>(total_count: N, probs: impl VectorOperand<Repr = P>) -> Result<Self>
    where
        N::Repr: BesideWeights<P, Total = T>,
        Self: Checked,
    {
        Self::of(total_count, probs.into_repr().of_probs(NAME)?)
    }

    /// This many trials with probabilities softmax(`logits`).
    ///
    /// # Errors
    /// If there are no categories or a logit is not finite, or as [`probs`](Self::probs).
    pub fn logits<N: TotalCount>(
        total_count: N,
        logits: impl VectorOperand<Repr = P>,
    ) -> Result<Self>
    where
        N::Repr: BesideWeights<P, Total = T>,
        Self: Checked,
    {
        let logits = logits.into_repr();
        logits.check_logits(NAME)?;
        Self::of(total_count, logits.into())
    }

    fn of<N: TotalCount>(total_count: N, weights: Weights<P>) -> Result<Self>
    where
        N::Repr: BesideWeights<P, Total = T>,
        Self: Checked,
    {
        let total = total_count.into_count();
        check_total(NAME, &total)?;
        let total = total.beside(&weights.logits);
        Self { weights, total }.checked()
    }
}

/// A law whose parameters can be checked against each other.
pub trait Checked: Sized {
    /// The law itself, if its parameters fit each other.
    ///
    /// # Errors
    /// If they do not.
    fn checked(self) -> Result<Self>;
}

impl Checked for Multinomial<Vec<f64>, f64> {
    fn checked(self) -> Result<Self> {
        Ok(self)
    }
}

impl Checked for Multinomial<Tensor, Tensor> {
    fn checked(self) -> Result<Self> {
        let refuse = |problem: String| {
            Err(Error::Parameter {
                distribution: NAME,
                parameter: "total_count",
                problem,
            })
        };
        let total = self.total.check()?;
        if let Some(x) = total.peek()?.iter().find(|x| x.fract() != 0.0) {
            return refuse(format!("is {x}; give whole numbers of trials"));
        }
        let (own, rows) = (self.weights.logits.shape(), total.shape());
        let joint = rows.join(&[1]).and_then(|rows| own.broadcast(&rows));
        let Some(shape) = joint else {
            return refuse(format!(
                "has shape {rows} beside categories of shape {own}; give [..] and [.., K]"
            ));
        };
        let wide = |x: &Tensor| x.broadcast_to(shape);
        let weights = Weights {
            logits: wide(&self.weights.logits),
            excluded: self.weights.excluded.as_ref().map(wide),
            open: self.weights.open,
        };
        // Totals that differ between rows get all of the rows' axes, so that plates fit both.
        let total = match rows.rank() {
            0 => self.total,
            _ => self.total.broadcast_to(shape.leading(shape.rank() - 1)),
        };
        Ok(Self { weights, total })
    }
}

/// How far a count may lie from the nearest `f32`.
fn rounding(count: f64) -> f64 {
    /// Up to here `f32`s tell all whole numbers apart.
    const APART: f64 = (1_u32 << 24) as f64;
    let nearest = count as f32;
    match count < APART {
        true => 0.0,
        false => 0.5 * (f64::from(nearest.next_up()) - f64::from(nearest)),
    }
}

/// Whether these are counts that sum to a number of trials, up to rounding.
fn are_counts(counts: impl Iterator<Item = f64> + Clone, total: f64) -> bool {
    let missing = total - counts.clone().sum::<f64>();
    let rounded = rounding(total) + counts.clone().map(rounding).sum::<f64>();
    let mut each = counts;
    each.all(|x| x >= 0.0 && x.fract() == 0.0) && missing.abs() <= rounded
}

/// 1 for each event `[.., K]` that does not consist of counts of its number of trials `[..]`, 0 for the others.
fn misfits(value: &Tensor, total: &Tensor) -> Result<Tensor> {
    let of_case =
        |[value, total]: [&Tensor; 2]| Some(misfits(value, total).unwrap_or_else(Tensor::poisoned));
    if let Some(misfits) = each_apart([value, total], of_case) {
        return Ok(misfits);
    }
    let counts = (value + total.unsqueeze(-1).zeros_like()).peek()?;
    let totals = total + value.sum(-1).zeros_like();
    let width = value.shape().last().copied().unwrap_or(1).max(1);
    let double = |x: &f32| f64::from(*x);
    let is_misfit = |(counts, total): (&[f32], f32)| {
        let fits = are_counts(counts.iter().map(double), f64::from(total));
        f32::from(u8::from(!fits))
    };
    let events = counts.chunks(width).zip(totals.peek()?);
    let misfits = events.map(is_misfit).collect();
    Tensor::from_vec(misfits, totals.shape(), &value.device())
}

impl Distribution for Multinomial<Vec<f64>, f64> {
    type Value = Vec<f64>;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Vec<f64>) -> Result<bool> {
        let counts = value.iter().copied();
        Ok(value.len() == self.weights.logits.len() && are_counts(counts, self.total))
    }

    fn may_contain(&self, value: &Vec<f64>) -> Result<bool> {
        let counts = value.iter().copied();
        let total = counts.clone().sum();
        Ok(value.len() == self.weights.logits.len() && are_counts(counts, total))
    }

    fn log_density(&self, value: &Vec<f64>) -> Result<Number> {
        let term = |(log_p, &x): (f64, &f64)| match x == 0.0 {
            true => 0.0,
            false => x * log_p - lgamma(x + 1.0),
        };
        let terms = normalised(&self.weights.logits).zip(value).map(term);
        Ok((lgamma(self.total + 1.0) + terms.sum::<f64>()).into())
    }

    fn sample(&self, stream: &mut Stream) -> Result<Vec<f64>> {
        let log_probs: Vec<f64> = normalised(&self.weights.logits).collect();
        let levels = std::iter::repeat_with(|| QuantileLevel::of_noise(stream.noise_number()));
        let row = draw_row(self.total, &log_probs, largest(&log_probs), levels);
        Ok(row.into_iter().map(|place| place.b).collect())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let weights = on_cpu(&self.weights.logits)?;
        let total = Tensor::scalar(self.total as f32);
        Ok(Rc::new(MultinomialLaw::new(weights, total)?))
    }
}

impl Distribution for Multinomial<Tensor, Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let shape = self.weights.logits.shape();
        let width = shape.last().copied().unwrap_or(1);
        if value.check()?.shape().last() != Some(&width) {
            return Ok(false);
        }
        misfits(value, &self.total)?.all(|misfit| misfit == 0.0)
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_event_fit(NAME, self.weights.logits.shape(), 1, value)?;
        Ok(mass::log_mass(&self.weights, &self.total, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let law = MultinomialLaw::new(self.weights.clone(), self.total.clone())?;
        Ok(Rc::new(law))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let total = match self.total.rank() {
            0 => self.total,
            _ => expand_parameter(NAME, "total_count", &self.total, plates, 0)?,
        };
        let weights = self.weights.expand(NAME, plates)?;
        Ok(Self { weights, total })
    }
}

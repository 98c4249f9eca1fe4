//! Discrete uniform: a whole number from a range.

use std::ops::RangeInclusive;
use std::rc::Rc;

use super::Join;
use super::binomial::TotalCount;
use super::counts::{CountOperand, Counts, MOST_VALUES, Table, TableName};
use super::{Distribution, Law};
use crate::error::{Error, Result};
use crate::tensor::{Device, Shape, Tensor};

/// A whole number from `low` to `high`, both included, all equally likely. Its automatic guide has a
/// probability for each.
///
/// ```
/// use relax_runtime::dist::{Distribution, DiscreteUniform};
/// # fn main() -> relax_runtime::Result<()> {
/// let die = DiscreteUniform::new(1, 6)?;
/// assert!((die.log_prob(&6)?.total()? + 6.0_f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type DiscreteUniform<P> = Counts<Table<DiscreteUniformName>, P>;

/// The name of [`DiscreteUniform`].
#[derive(Clone, Copy, Debug)]
pub struct DiscreteUniformName;

const NAME: &str = DiscreteUniformName::NAME;

impl TableName for DiscreteUniformName {
    const NAME: &'static str = "DiscreteUniform";
    const SUPPORT: &'static str = "the whole numbers from the lowest to the highest";
}

/// An end of a range: `f64` or [`Tensor`].
pub trait RangeEnd: CountOperand {
    /// The number, where there is only one.
    ///
    /// # Errors
    /// If there are several.
    fn only(&self, parameter: &'static str) -> Result<f64>;

    /// Logits of 0 for this many values in each row.
    ///
    /// # Errors
    /// If no tensor can have the shape.
    fn level(low: &Self, high: &Self, values: usize) -> Result<Self::Theta>;
}

impl RangeEnd for f64 {
    fn only(&self, _: &'static str) -> Result<f64> {
        Ok(*self)
    }

    fn level(_: &f64, _: &f64, values: usize) -> Result<Self::Theta> {
        Self::theta(&vec![0.0; values])
    }
}

impl RangeEnd for Tensor {
    fn only(&self, parameter: &'static str) -> Result<f64> {
        let numbers = self.to_vec()?;
        match numbers.split_first() {
            Some((first, rest)) if rest.iter().all(|x| x == first) => Ok(f64::from(*first)),
            _ => Err(Error::Parameter {
                distribution: NAME,
                parameter,
                problem: "has several numbers, but all rows of a range have the same ends; use \
                          `Categorical` with probabilities of 0 for values that some rows lack"
                    .into(),
            }),
        }
    }

    fn level(low: &Tensor, high: &Tensor, values: usize) -> Result<Tensor> {
        let rows = (low + high).check()?.zeros_like().unsqueeze(-1);
        let wide = rows.shape().leading(rows.rank() - 1).join(&[values]);
        let wide: Shape = wide.unwrap_or(rows.shape());
        rows.broadcast_to(wide).check().cloned()
    }
}

/// The law of equally likely whole numbers of a range, for values of this shape.
///
/// # Errors
/// As [`DiscreteUniform::new`].
pub(crate) fn law_of_counts(
    counts: &RangeInclusive<usize>,
    shape: Shape,
    device: &Device,
) -> Result<Rc<dyn Law>> {
    let end = |end: usize| Tensor::full(shape, end as f32, device);
    Distribution::law(&DiscreteUniform::new(
        end(*counts.start()),
        end(*counts.end()),
    )?)
}

impl<P: RangeEnd> DiscreteUniform<P> {
    /// Whole numbers from `low` to `high`. The shape of tensors says how many are drawn.
    ///
    /// # Errors
    /// If an end is not a whole number from 0 on, `high` is below `low`, or there are more than 65,536
    /// values.
    pub fn new<A: TotalCount, B: TotalCount>(low: A, high: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        const WHOLE: &str = "ends of a range are whole numbers from 0 on";
        let (low, high) = low.into_count().join(high.into_count());
        let whole = |x: f64| x >= 0.0 && x.fract() == 0.0;
        low.check_numbers(NAME, "low", whole, WHOLE)?;
        high.check_numbers(NAME, "high", whole, WHOLE)?;
        let (first, last) = (low.only("low")?, high.only("high")?);
        let values = last - first + 1.0;
        if !(1.0..=MOST_VALUES as f64).contains(&values) {
            return Err(Error::Parameter {
                distribution: NAME,
                parameter: "high",
                problem: format!(
                    "is {last}, and low is {first}; it must be at least low, and at most {} more",
                    MOST_VALUES - 1
                ),
            });
        }
        let theta = P::level(&low, &high, values as usize)?;
        let fixed = low.number(0.0);
        Ok(Self::of_theta(
            Table::new(first, values as usize),
            theta,
            fixed,
        ))
    }
}

//! Delta: a number that is certain.

use super::family::*;

/// Independent numbers that are `value` with certainty: log-density 0 there, and −∞ elsewhere. Over an `f64` a
/// draw is an `f64`, over a tensor a tensor of its shape. Draws are in single precision, and so is the comparison
/// with `value`: 0.1 and what it is rounded to are one number.
///
/// A draw is `value` itself, so that gradients pass through it; where `value` is learned, host code must not
/// read a draw, because score functions do not see it move. An automatic guide has nothing to learn there.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let two = Delta::new(2.0)?;
/// assert_eq!(two.log_prob(&2.0)?.total()?, 0.0);
/// assert_eq!(two.log_prob(&2.1)?.total()?, f64::NEG_INFINITY);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Delta<P> {
    value: P,
}

impl<R: Real> Delta<R> {
    /// Numbers that are `value`.
    ///
    /// # Errors
    /// If `value` is not finite.
    pub fn new(value: impl Operand<Repr = R>) -> Result<Self> {
        let value = value.into_repr();
        Self { value }.checked()
    }
}

impl<R: Real> Continuous for Delta<R> {
    type Real = R;
    type Tensors = Delta<Tensor>;
    const NAME: &'static str = "Delta";
    const SUPPORT: Support = Support::Real;
    const PARAMETERS: &'static [(&'static str, Support)] = &[("value", Support::Real)];
    /// Nothing is random.
    const STANDARDS: &'static [Standard] = &[|_| 0.0];
    const SYMMETRIC: bool = false;
    const ENDS: usize = 1;

    parameters!(value);

    fn bijection(&self) -> Option<Bijection> {
        None
    }

    fn log_density(&self, x: &R) -> R {
        x.ruled_out_unless(&self.value)
    }

    fn draw(&self, _: &[R]) -> R {
        self.value.clone()
    }

    fn mean(&self) -> R {
        self.value.clone()
    }

    fn mean_field(of: &Delta<Tensor>) -> MeanField<'static> {
        let of = of.clone();
        MeanField::new([], move |_| Ok(std::rc::Rc::new(of.clone())))
    }
}

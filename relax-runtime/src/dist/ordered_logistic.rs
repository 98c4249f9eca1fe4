//! Ordered logistic: grades on a scale, by the place of a predictor among cutpoints.

use super::counts::{CountOperand, Counts, Table, TableName, softplus};
use super::{Numbers, Operand, VectorOperand, parameter_error};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Grades 0, 1, .., K − 1 with P(b ≤ k) = σ(cₖ − η) for a predictor η and K − 1 rising cutpoints c
/// (proportional odds; McCullagh 1980). Estimators differentiate with respect to the log-masses, which depend on
/// both.
///
/// ```
/// use relax_runtime::dist::{Distribution, OrderedLogistic};
/// # fn main() -> relax_runtime::Result<()> {
/// let grade = OrderedLogistic::new(0.0, [-1.0, 1.0])?;
/// let middle = (1.0_f64 / (1.0 + (-1.0_f64).exp())) * 2.0 - 1.0;
/// assert!((grade.log_prob(&1)?.total()? - middle.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub type OrderedLogistic<P> = Counts<Table<OrderedLogisticName>, P>;

/// The name of [`OrderedLogistic`].
#[derive(Clone, Copy, Debug)]
pub struct OrderedLogisticName;

const NAME: &str = OrderedLogisticName::NAME;

impl TableName for OrderedLogisticName {
    const NAME: &'static str = "OrderedLogistic";
    const SUPPORT: &'static str = "the whole numbers from 0 to the number of cutpoints";
}

const PREDICTOR: &str = "it must be a number within 1e30 of 0; look at what computes it";
const FINITE: &str = "cutpoints must be numbers within 1e30 of 0; look at what computes them";

fn is_number(x: f64) -> bool {
    x.abs() <= 1e30
}
const RISING: &str = "cutpoints must rise, each above the one before";

/// A predictor together with cutpoints: host numbers if both are.
pub trait AmongCutpoints<C> {
    /// `f64` or [`Tensor`].
    type Joined: CountOperand;
    /// The log-mass of each grade, the number of grades, and a number of the same kind.
    ///
    /// # Errors
    /// If there are no cutpoints, they do not rise, or a number is not within 10³⁰ of 0.
    fn log_masses(
        self,
        cutpoints: C,
    ) -> Result<(<Self::Joined as CountOperand>::Theta, usize, Self::Joined)>;
}

fn none() -> Error {
    Error::Parameter {
        distribution: NAME,
        parameter: "cutpoints",
        problem: "are missing; give at least one, which separates two grades".into(),
    }
}

/// ln(σ(high − η) − σ(low − η)) = ln σ(high − η) + ln σ(η − low) + ln(1 − e^(low − high)).
impl AmongCutpoints<Vec<f64>> for f64 {
    type Joined = f64;
    fn log_masses(self, cutpoints: Vec<f64>) -> Result<(<f64 as CountOperand>::Theta, usize, f64)> {
        self.check_numbers(NAME, "predictor", is_number, PREDICTOR)?;
        if let Some(wrong) = cutpoints.iter().find(|c| !is_number(**c)) {
            return Err(parameter_error(NAME, "cutpoints", *wrong, FINITE));
        }
        if let Some(pair) = cutpoints.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(parameter_error(NAME, "cutpoints", pair[1], RISING));
        }
        let (Some(first), Some(last)) = (cutpoints.first(), cutpoints.last()) else {
            return Err(none());
        };
        let log_sigmoid = |x: f64| -softplus(-x);
        let mut masses = vec![log_sigmoid(first - self)];
        masses.extend(cutpoints.windows(2).map(|pair| {
            let apart = (-(pair[0] - pair[1]).exp_m1()).ln();
            log_sigmoid(pair[1] - self) + log_sigmoid(self - pair[0]) + apart
        }));
        masses.push(log_sigmoid(self - last));
        Ok((f64::theta(&masses)?, masses.len(), 0.0))
    }
}

impl AmongCutpoints<Tensor> for Tensor {
    type Joined = Tensor;
    fn log_masses(self, cutpoints: Tensor) -> Result<(Tensor, usize, Tensor)> {
        self.check_numbers(NAME, "predictor", is_number, PREDICTOR)?;
        cutpoints.check_numbers(NAME, "cutpoints", is_number, FINITE)?;
        let cuts = match cutpoints.shape().last() {
            Some(cuts @ 1..) => *cuts,
            _ => return Err(none()),
        };
        let above = (&cutpoints - self.unsqueeze(-1)).check()?.clone();
        let first = above.slice(-1, 0..1).log_sigmoid();
        let last = (-above.slice(-1, cuts - 1..cuts)).log_sigmoid();
        let masses = match cuts {
            1 => Tensor::concat(&[&first, &last], -1),
            _ => {
                let apart = cutpoints.slice(-1, 1..cuts) - cutpoints.slice(-1, 0..cuts - 1);
                apart.check_numbers(NAME, "cutpoints", |x| x > 0.0, RISING)?;
                // 1 − e^−d = 2 t/(1 + t) with t = tanh(d/2), which keeps the digits of small d.
                let t = (apart * 0.5).tanh();
                let between = (&t * 2.0).ln() - t.ln_1p();
                let high = above.slice(-1, 1..cuts).log_sigmoid();
                let low = (-above.slice(-1, 0..cuts - 1)).log_sigmoid();
                Tensor::concat(&[&first, &(high + low + between), &last], -1)
            }
        };
        let zero = masses.number(0.0);
        Ok((masses.check()?.clone(), cuts + 1, zero))
    }
}

impl AmongCutpoints<Vec<f64>> for Tensor {
    type Joined = Tensor;
    fn log_masses(self, cutpoints: Vec<f64>) -> Result<(Tensor, usize, Tensor)> {
        let values: Vec<f32> = cutpoints.iter().map(|c| *c as f32).collect();
        let cutpoints = Tensor::from_vec(values, [cutpoints.len()], &self.device())?;
        self.log_masses(cutpoints)
    }
}

impl AmongCutpoints<Tensor> for f64 {
    type Joined = Tensor;
    fn log_masses(self, cutpoints: Tensor) -> Result<(Tensor, usize, Tensor)> {
        cutpoints.number(self).log_masses(cutpoints)
    }
}

impl<P: CountOperand> OrderedLogistic<P> {
    /// Grades from a predictor, one element per draw, and cutpoints along a last axis, shared or one row per draw.
    ///
    /// # Errors
    /// If there are no cutpoints, they do not rise, a number is not within 10³⁰ of 0, or shapes do not broadcast.
    pub fn new<A: Operand, B: VectorOperand>(predictor: A, cutpoints: B) -> Result<Self>
    where
        A::Repr: AmongCutpoints<B::Repr, Joined = P>,
    {
        let predictor = predictor.into_repr();
        let (theta, grades, fixed) = predictor.log_masses(cutpoints.into_repr())?;
        Ok(Self::of_theta(Table::new(0.0, grades), theta, fixed))
    }
}

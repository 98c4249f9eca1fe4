//! One-hot categorical: one of K values, as a vector that can be relaxed.

use std::rc::Rc;

use smallvec::smallvec;

use super::categorical::{guide_logits, gumbel_argmax};
use super::excluded::{numbers_of, ruled_out};
use super::weights::{Weights, excludes_some, normalised, on_cpu};
use super::{
    CategoricalOperand, CategoricalRelaxation, Distribution, Draws, Law, MeanField, Number,
    PerParameter, Relaxation, VectorOperand, check_event_fit,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Op, Tensor, broadcast};

const NAME: &str = "OneHotCategorical";
const SUPPORT: &str = "the vectors with one 1 and zeros";

/// A choice among K categories as a one-hot vector; over `f64`s a draw is a `Vec<f64>`, over a
/// tensor `[.., K]` a tensor `[.., K]`.
///
/// ```
/// use relax_runtime::dist::{Distribution, OneHotCategorical};
/// use relax_runtime::{Device, Key, Result, Tensor};
/// # fn main() -> Result<()> {
/// let size = OneHotCategorical::probs([0.5, 0.3, 0.2])?;
/// assert!((size.log_prob(&vec![0.0, 0.0, 1.0])?.total()? - 0.2_f64.ln()).abs() < 1e-6);
///
/// // Over a tensor each row is a choice.
/// let rows = OneHotCategorical::logits(&Tensor::zeros([4, 3], &Device::cpu()))?;
/// let draw = rows.sample(&mut Key::new(0).stream("rows"))?;
/// assert_eq!(draw.sum(-1).to_vec()?, [1.0; 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OneHotCategorical<P> {
    weights: Weights<P>,
}

impl<P: CategoricalOperand> OneHotCategorical<P> {
    /// Categories with the given probabilities. A category of probability exactly 0 is excluded: its
    /// log-probability is −∞, and the derivative with respect to that probability is 0.
    ///
    /// # Errors
    /// If there are no probabilities, one is NaN or outside [0, 1], or they do not sum to one.
    pub fn probs(p: impl VectorOperand<Repr = P>) -> Result<Self> {
        Ok(Self {
            weights: p.into_repr().of_probs(NAME)?,
        })
    }

    /// Categories with probabilities softmax(`logits`).
    ///
    /// # Errors
    /// If there are no logits or one is not finite; over `f64`s −∞ is allowed beside finite ones.
    pub fn logits(logits: impl VectorOperand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_logits(NAME)?;
        Ok(Self {
            weights: logits.into(),
        })
    }
}

/// Whether exactly one of the numbers is 1 and all others are 0.
fn is_one_hot(mut values: impl Iterator<Item = f64> + Clone) -> bool {
    values.clone().filter(|&x| x == 1.0).count() == 1 && values.all(|x| x == 0.0 || x == 1.0)
}

impl<P> OneHotCategorical<P> {
    /// Categories with these weights.
    pub(super) fn of_weights(weights: Weights<P>) -> Self {
        Self { weights }
    }

    /// The weights of the categories.
    pub(super) fn into_weights(self) -> Weights<P> {
        self.weights
    }
}

impl Distribution for OneHotCategorical<Vec<f64>> {
    type Value = Vec<f64>;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Vec<f64>) -> Result<bool> {
        Ok(value.len() == self.weights.logits.len() && is_one_hot(value.iter().copied()))
    }

    fn log_density(&self, value: &Vec<f64>) -> Result<Number> {
        let chosen = |(log_p, &x): (f64, &f64)| if x == 0.0 { 0.0 } else { x * log_p };
        Ok(Number::Host(
            normalised(&self.weights.logits)
                .zip(value)
                .map(chosen)
                .sum(),
        ))
    }

    fn sample(&self, stream: &mut Stream) -> Result<Vec<f64>> {
        let mut value = vec![0.0; self.weights.logits.len()];
        value[gumbel_argmax(&self.weights.logits, stream)] = 1.0;
        Ok(value)
    }

    fn values(&self) -> Option<usize> {
        Some(self.weights.logits.len())
    }

    fn nth_value(&self, k: usize) -> Option<Vec<f64>> {
        Some(
            (0..self.weights.logits.len())
                .map(|j| f64::from(u8::from(j == k)))
                .collect(),
        )
    }

    fn excludes_values(&self) -> bool {
        excludes_some(&self.weights.logits)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(OneHotCategorical {
            weights: on_cpu(&self.weights.logits)?,
        }))
    }
}

impl Distribution for OneHotCategorical<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let categories = self.weights.logits.shape().last().copied().unwrap_or(0);
        let rows = value.peek()?;
        let one_hot = |row: &[f32]| is_one_hot(row.iter().map(|&x| f64::from(x)));
        Ok(value.shape().last() == Some(&categories) && rows.chunks(categories).all(one_hot))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_event_fit(NAME, self.weights.logits.shape(), 1, value)?;
        Ok(Number::Tensor(Law::log_density(self, value)))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        Ok(Self {
            weights: self.weights.expand(NAME, plates)?,
        })
    }
}

/// The log-probability of the value that is not 0.
fn log_mass(value: &Tensor, logits: &Tensor) -> Tensor {
    let of_case = |[value, logits]: [&Tensor; 2]| Some(log_mass(value, logits));
    let op = || Some(Op::new("one-hot log-mass", []));
    broadcast([value, logits], op, of_case)
        .unwrap_or_else(|| (value * logits.log_softmax(-1)).sum(-1))
}

impl Law for OneHotCategorical<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.weights.logits.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            weights: self.weights.with_logits(&parameters[0]),
        })
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let log_mass = log_mass(value, &self.weights.logits);
        match &self.weights.excluded {
            None => log_mass,
            Some(excluded) => log_mass + ruled_out(&(numbers_of(value) * excluded).ge(1.0).sum(-1)),
        }
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.weights.logits.shape(), &self.weights.logits.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        CategoricalRelaxation
            .hard(&CategoricalRelaxation.relaxed(&self.weights.logits.detach(), noise))
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&CategoricalRelaxation))
    }

    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([guide_logits(&self.weights.logits)], |free| {
            let weights = self.weights.guided(&free[0]);
            Ok(Rc::new(Self { weights }))
        })
        .of_logits()
    }

    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        self.weights.excluded()
    }

    fn mean(&self) -> Tensor {
        self.weights.logits.softmax(-1)
    }
}

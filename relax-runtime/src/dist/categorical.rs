//! Categorical: one of K values, as an index.

use std::rc::Rc;

use smallvec::smallvec;

use super::excluded::ruled_out;
use super::weights::{Weights, excludes_some, normalised, on_cpu};
use super::{
    CategoricalOperand, Distribution, Draws, Form, Law, MeanField, Number, Part, PerParameter,
    Relaxation, VectorOperand, check_fit, noise,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

const NAME: &str = "Categorical";
const SUPPORT: &str = "the indices 0, 1, .. below the number of categories";

/// A choice among K categories; over `f64`s a draw is a `usize`, over a tensor `[.., K]` a tensor
/// `[..]` of indices. Its relaxation is that of [`OneHotCategorical`](super::OneHotCategorical).
///
/// ```
/// use relax_runtime::dist::{Categorical, Distribution};
/// use relax_runtime::{Device, Key, Result, Shape, Tensor};
/// # fn main() -> Result<()> {
/// let size = Categorical::probs([0.5, 0.3, 0.2])?;
/// assert!((size.log_prob(&2)?.total()? - 0.2_f64.ln()).abs() < 1e-6);
/// assert!(size.log_prob(&3).is_err());
///
/// // Over a tensor each row is a choice.
/// let rows = Categorical::logits(&Tensor::zeros([4, 3], &Device::cpu()))?;
/// let draw = rows.sample(&mut Key::new(0).stream("rows"))?;
/// assert_eq!(draw.shape(), Shape::from([4]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Categorical<P> {
    weights: Weights<P>,
}

impl<P: CategoricalOperand> Categorical<P> {
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

/// Index of the largest logit plus Gumbel noise: a draw from softmax(logits).
pub(super) fn gumbel_argmax(logits: &[f64], stream: &mut Stream) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (k, logit) in logits.iter().enumerate() {
        let z = logit - (-stream.uniform_f64().ln()).ln();
        if z > best.1 {
            best = (k, z);
        }
    }
    best.0
}

impl<P> Categorical<P> {
    /// Categories with these weights.
    pub(super) fn of_weights(weights: Weights<P>) -> Self {
        Self { weights }
    }

    /// The weights of the categories.
    pub(super) fn into_weights(self) -> Weights<P> {
        self.weights
    }
}

impl Distribution for Categorical<Vec<f64>> {
    type Value = usize;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &usize) -> Result<bool> {
        Ok(*value < self.weights.logits.len())
    }

    /// With more categories.
    fn may_contain(&self, _: &usize) -> Result<bool> {
        Ok(true)
    }

    fn log_density(&self, value: &usize) -> Result<Number> {
        let outside = f64::NEG_INFINITY;
        let log_p = normalised(&self.weights.logits).nth(*value);
        Ok(Number::Host(log_p.unwrap_or(outside)))
    }

    fn sample(&self, stream: &mut Stream) -> Result<usize> {
        Ok(gumbel_argmax(&self.weights.logits, stream))
    }

    fn values(&self) -> Option<usize> {
        Some(self.weights.logits.len())
    }

    fn nth_value(&self, k: usize) -> Option<usize> {
        Some(k)
    }

    fn excludes_values(&self) -> bool {
        excludes_some(&self.weights.logits)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(Categorical {
            weights: on_cpu(&self.weights.logits)?,
        }))
    }
}

impl Distribution for Categorical<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let categories = self.categories() as f32;
        Ok(value
            .peek()?
            .into_iter()
            .all(|k| k >= 0.0 && k < categories && k.fract() == 0.0))
    }

    fn may_contain(&self, value: &Tensor) -> Result<bool> {
        let indices = value.peek()?;
        Ok(indices.into_iter().all(|k| k >= 0.0 && k.fract() == 0.0))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, self.rows(), value)?;
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

impl Categorical<Tensor> {
    /// The shape of a draw.
    fn rows(&self) -> Shape {
        let shape = self.weights.logits.shape();
        shape.leading(shape.rank().saturating_sub(1))
    }

    fn categories(&self) -> usize {
        self.weights.logits.shape().last().copied().unwrap_or(0)
    }
}

impl Law for Categorical<Tensor> {
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

    fn log_density(&self, value: &Tensor) -> Tensor {
        let mut log_p = self.weights.logits.log_softmax(-1);
        if let Some(excluded) = &self.weights.excluded {
            log_p = log_p + ruled_out(excluded);
        }
        // Either side may have rows that the other is repeated for; `pick` reports what does not fit.
        let rows = self.rows();
        match rows.broadcast(&value.shape()) {
            Some(all) if rows != value.shape() => match all.join(&[self.categories()]) {
                Some(shape) => log_p.broadcast_to(shape).pick(&value.broadcast_to(all)),
                None => log_p.pick(value),
            },
            _ => log_p.pick(value),
        }
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.weights.logits.shape(), &self.weights.logits.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        CategoricalRelaxation
            .relaxed(&self.weights.logits.detach(), noise)
            .argmax(-1)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&CategoricalRelaxation))
    }

    fn takes_relaxed_values(&self) -> bool {
        false
    }

    fn to_vertex(&self, value: &Tensor) -> Tensor {
        value.one_hot(self.categories())
    }

    fn value_at(&self, vertex: &Tensor) -> Tensor {
        vertex.argmax(-1)
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

    /// The probabilities, `[.., K]`: the mean of the one-hot vector.
    fn mean(&self) -> Tensor {
        self.weights.logits.softmax(-1)
    }
}

/// A guide starts at the prior, but gives every category a chance of being drawn.
pub(super) fn guide_logits(logits: &Tensor) -> Part {
    const SMALLEST: f32 = -4.0;
    let start = |logits: &Tensor| logits.log_softmax(-1).clamp(SMALLEST, 0.0);
    Part::starting("logits", logits, start)
}

/// The relaxation of [`Categorical`] and [`OneHotCategorical`](super::OneHotCategorical): z = log softmax(θ) +
/// Gumbel noise, b = one-hot of the largest (RELAX paper, Appendix B).
#[derive(Debug)]
pub struct CategoricalRelaxation;

/// The least gap between the chosen category and the others: f32 tells |z̃| ≤ 17 from its neighbors at
/// distances of 2⁻¹⁹.
const SMALLEST_GAP: f32 = 4e-6;

/// The per-element functions behind [`CategoricalRelaxation`], given the sums over an event.
pub(super) mod category {
    use crate::tensor::Element;

    /// z, Gumbel around log p. ln u is passed in, since one pass computes it for a whole tensor; here it would cost an
    /// operation of its own.
    #[inline(always)]
    pub(in super::super) fn relaxed<E: Element>(log_p: E, ln_u: E) -> E {
        log_p - (-ln_u).ln()
    }

    /// κ with respect to normalized θ; `max` is the largest z.
    #[inline(always)]
    pub(in super::super) fn kappa<E: Element>(z: E, max: E) -> E {
        (z - max).exp()
    }

    /// The transposed Jacobian of log softmax applied to w, whose sum is given.
    #[inline(always)]
    pub(in super::super) fn projected<E: Element>(p: E, w: E, sum: E) -> E {
        w - p * sum
    }

    /// The Jacobian of log softmax applied to v, whose mean ⟨p, v⟩ is given.
    #[inline(always)]
    pub(in super::super) fn centred<E: Element>(v: E, mean: E) -> E {
        v - mean
    }
}

/// The transposed Jacobian of log softmax, applied to a cotangent.
fn project(theta: &Tensor, cotangent: Tensor) -> Tensor {
    let (p, sum) = (theta.detach().softmax(-1), cotangent.sum_keepdim(-1));
    category::projected(p, cotangent, sum)
}

impl Relaxation for CategoricalRelaxation {
    fn form(&self) -> Form {
        Form::Categories
    }

    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        category::relaxed(theta.log_softmax(-1), noise::ln(u))
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        let categories = z.shape().last().copied().unwrap_or(0);
        z.argmax(-1).one_hot(categories)
    }

    /// With E = −ln v: z̃ = −ln E at the chosen category, −ln(E/p + E_chosen) elsewhere.
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let log_e = (-noise::ln(v)).ln();
        let chosen = (&log_e * b).sum_keepdim(-1);
        let above = (log_e - theta.log_softmax(-1) - &chosen).softplus();
        // Far above rounding, so that the chosen category stays the largest.
        let above = above.clamp(SMALLEST_GAP, f32::MAX);
        let others = Tensor::select_where(b, &above.zeros_like(), &above);
        -(others + chosen)
    }

    /// v = exp(−e^−z) at the chosen category and u^(1 − κ) elsewhere, the inverse of
    /// [`conditional`](Self::conditional).
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        let z = self.relaxed(&theta.detach(), u);
        let max = z.max(-1).unsqueeze(-1);
        let others = noise::ln(u) * (1.0 - (z - &max).exp());
        noise::of_ln(&Tensor::select_where(b, &-(-max).exp(), &others))
    }

    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        (z / temperature).softmax(-1)
    }

    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        b - theta.detach().softmax(-1)
    }

    /// e^(z − max z), with respect to normalized θ.
    fn kappa(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        let z = self.relaxed(&theta.detach(), u);
        let max = z.max(-1).unsqueeze(-1);
        category::kappa(z, max)
    }

    fn pull(&self, theta: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        project(theta, kappa * w)
    }

    fn push(&self, theta: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        let p = theta.detach().softmax(-1);
        kappa * category::centred(v.clone(), (p * v).sum_keepdim(-1))
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn values(&self, categories: usize) -> Option<usize> {
        Some(categories)
    }

    fn vertices(&self, categories: usize) -> Vec<Vec<f32>> {
        (0..categories)
            .map(|k| {
                (0..categories)
                    .map(|j| f32::from(u8::from(j == k)))
                    .collect()
            })
            .collect()
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        (theta.log_softmax(-1) * b).sum(-1)
    }

    /// 1 + ln u with respect to normalized θ, around which z is Gumbel.
    fn relaxed_score(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        project(theta, noise::ln(u) + 1.0)
    }

    fn probabilities(&self, theta: &Tensor) -> Tensor {
        theta.softmax(-1)
    }

    fn mean(&self, theta: &Tensor) -> Tensor {
        theta.softmax(-1)
    }

    fn shifted(&self, b: &Tensor, by: &Tensor) -> Tensor {
        let categories = self.width(&b.shape());
        let moved = b.argmax(-1) + by;
        let index = &moved - moved.ge(categories as f32) * categories as f32;
        index.one_hot(categories)
    }
}

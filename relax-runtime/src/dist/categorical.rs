//! Categorical: one of K values, as an index.

use std::rc::Rc;

use smallvec::smallvec;

use super::excluded::{POLE, ruled_out, without};
use super::{
    Distribution, Law, Number, PerParameter, PlainRelaxation, Relaxation, VectorOperand, check_fit,
    check_values, expand_parameter, noise, parameter_error,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::cpu::pointwise::all;
use crate::tensor::{Device, Shape, Tensor};

const NAME: &str = "Categorical";
const SUPPORT: &str = "the indices 0, 1, .. below the number of categories";

/// How far probabilities may sum from one before it is an error rather than rounding.
const SUM_TOLERANCE: f64 = 1e-4;

/// A choice among K categories; over `f64`s a draw is a `usize`, over a tensor `[.., K]` a tensor
/// `[..]` of indices. Its relaxation is that of [`OneHotCategorical`](super::OneHotCategorical).
#[derive(Clone, Debug)]
pub struct Categorical<P> {
    weights: Weights<P>,
}

/// What is kept of the parameter of categories.
#[derive(Clone, Debug)]
pub struct Weights<P> {
    /// Unnormalised log-probabilities; of a tensor finite, on the host −∞ where excluded.
    pub(super) logits: P,
    /// Where a tensor excludes some categories: 1 for each of those, 0 for the others.
    pub(super) excluded: Option<Tensor>,
}

impl<P> From<P> for Weights<P> {
    fn from(logits: P) -> Self {
        Self {
            logits,
            excluded: None,
        }
    }
}

impl Weights<Tensor> {
    /// Categories with these logits but for the excluded ones.
    pub(super) fn new(logits: &Tensor, excluded: Option<Tensor>) -> Self {
        let logits = match &excluded {
            None => logits.clone(),
            Some(excluded) => without(logits, excluded),
        };
        Self { logits, excluded }
    }

    /// The same categories excluded, with other logits.
    pub(super) fn with_logits(&self, logits: &Tensor) -> Self {
        Self {
            logits: logits.clone(),
            excluded: self.excluded.clone(),
        }
    }

    /// One row for each of the plates'.
    pub(super) fn expand(self, distribution: &'static str, plates: &[usize]) -> Result<Self> {
        let expand = |x: &Tensor| expand_parameter(distribution, "parameter", x, plates, 1);
        Ok(Self {
            logits: expand(&self.logits)?,
            excluded: self.excluded.as_ref().map(expand).transpose()?,
        })
    }

    /// As [`Law::excluded`].
    pub(super) fn excluded(&self) -> Result<Option<Vec<bool>>> {
        let Some(excluded) = &self.excluded else {
            return Ok(None);
        };
        Ok(Some(
            excluded.peek()?.into_iter().map(|x| x > 0.0).collect(),
        ))
    }
}

impl<P: CategoricalOperand> Categorical<P> {
    /// Categories with the given probabilities. A category of probability exactly 0 is excluded:
    /// its log-probability is −∞, and the derivative by that probability is 0.
    ///
    /// # Errors
    /// If there are none, one is NaN or outside [0, 1], or they do not sum to one.
    pub fn probs(p: impl VectorOperand<Repr = P>) -> Result<Self> {
        Ok(Self {
            weights: p.into_repr().of_probs(NAME)?,
        })
    }

    /// Categories with probabilities softmax(`logits`).
    ///
    /// # Errors
    /// If there are none or one is not finite; over `f64`s −∞ is allowed beside finite ones.
    pub fn logits(logits: impl VectorOperand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_logits(NAME)?;
        Ok(Self {
            weights: logits.into(),
        })
    }
}

/// `Vec<f64>` or [`Tensor`], as a categorical's parameter.
pub trait CategoricalOperand: Sized {
    /// ln p, checked.
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>>;
    /// An error if there is no category or a logit is NaN.
    fn check_logits(&self, distribution: &'static str) -> Result<()>;
}

const PROBS: &str = "probabilities lie between 0 and 1";
const FINITE: &str =
    "logits must be finite; look at what computes them (-1e4 rules a category out)";

fn empty(distribution: &'static str, parameter: &'static str) -> Error {
    Error::Parameter {
        distribution,
        parameter,
        problem: "is empty; give at least one category along the last axis".into(),
    }
}

fn check_sum(distribution: &'static str, sum: f64) -> Result<()> {
    if (sum - 1.0).abs() <= SUM_TOLERANCE {
        return Ok(());
    }
    let problem = format!("sum to {sum}, not 1; divide by the sum, or give `logits`");
    Err(Error::Parameter {
        distribution,
        parameter: "probs",
        problem,
    })
}

impl CategoricalOperand for Vec<f64> {
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>> {
        if self.is_empty() {
            return Err(empty(distribution, "probs"));
        }
        if let Some(&p) = self.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(parameter_error(distribution, "probs", p, PROBS));
        }
        check_sum(distribution, self.iter().sum())?;
        let logits: Self = self.into_iter().map(f64::ln).collect();
        Ok(logits.into())
    }

    fn check_logits(&self, distribution: &'static str) -> Result<()> {
        if self.is_empty() {
            return Err(empty(distribution, "logits"));
        }
        // On the host −∞ is a category of probability 0, as long as another is left.
        let impossible = self.iter().all(|&x| x == f64::NEG_INFINITY);
        let refused = |x: f64| impossible || x.is_nan() || x == f64::INFINITY;
        match self.iter().find(|x| refused(**x)) {
            None => Ok(()),
            Some(&x) => Err(parameter_error(distribution, "logits", x, FINITE)),
        }
    }
}

impl CategoricalOperand for Tensor {
    fn of_probs(self, distribution: &'static str) -> Result<Weights<Self>> {
        let shape = self.check()?.shape();
        let categories = shape.last().copied().filter(|&k| k > 0);
        let categories = categories.ok_or_else(|| empty(distribution, "probs"))?;
        check_values(
            distribution,
            "probs",
            &self,
            |p| (0.0..=1.0).contains(&p),
            PROBS,
        )?;
        for row in self.peek()?.chunks(categories) {
            check_sum(distribution, row.iter().map(|&p| f64::from(p)).sum())?;
        }
        let logits = self.kept_within(f32::MIN_POSITIVE, 1.0).ln();
        let possible = self.with_values(|p| all(p, |p| p > 0.0))?;
        let excluded = (!possible).then(|| self.le(0.0));
        Ok(Weights::new(&logits, excluded))
    }

    fn check_logits(&self, distribution: &'static str) -> Result<()> {
        if self.check()?.shape().last().is_none_or(|&k| k == 0) {
            return Err(empty(distribution, "logits"));
        }
        check_values(distribution, "logits", self, f32::is_finite, FINITE)
    }
}

/// log softmax on the host.
pub(super) fn normalised(logits: &[f64]) -> impl Iterator<Item = f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    logits.iter().map(move |x| x - log_sum)
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

/// The logits of host numbers as a tensor.
pub(super) fn on_cpu(logits: &[f64]) -> Result<Weights<Tensor>> {
    let numbers = |values| Tensor::from_vec(values, Shape::from([logits.len()]), &Device::cpu());
    let finite = normalised(logits).map(|x| (x as f32).max(-POLE)).collect();
    let excludes = |x: &f64| *x == f64::NEG_INFINITY;
    let excluded = || {
        logits
            .iter()
            .map(|x| f32::from(u8::from(excludes(x))))
            .collect()
    };
    let any = logits.iter().any(excludes);
    let excluded = any.then(|| numbers(excluded())).transpose()?;
    Ok(Weights::new(&numbers(finite)?, excluded))
}

/// Whether a category has a probability of exactly 0.
pub(super) fn excludes_some(logits: &[f64]) -> bool {
    logits.contains(&f64::NEG_INFINITY)
}

impl Distribution for Categorical<Vec<f64>> {
    type Value = usize;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &usize) -> Result<bool> {
        Ok(*value < self.weights.logits.len())
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
        // Either has its own rows, or repeats itself for those of the other; what does not fit is
        // `pick`'s to report.
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

    fn relaxation(&self) -> Option<&'static dyn Relaxation> {
        Some(&CategoricalRelaxation)
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

    fn guide_parameters(&self) -> Result<Vec<(&'static str, Tensor)>> {
        Ok(vec![("logits", guide_logits(&self.weights.logits))])
    }

    fn guide_shapes(&self) -> Result<PerParameter<(&'static str, Shape)>> {
        Ok(smallvec![("logits", self.weights.logits.shape())])
    }

    fn guide(&self, unconstrained: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            weights: Weights::new(&unconstrained[0], self.weights.excluded.clone()),
        })
    }

    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        self.weights.excluded()
    }

    /// The probabilities, `[.., K]`: the mean of the one-hot vector.
    fn mean(&self) -> Tensor {
        self.weights.logits.softmax(-1)
    }
}

/// A guide starts at the prior, but leaves every category a chance to be visited.
pub(super) fn guide_logits(logits: &Tensor) -> Tensor {
    const SMALLEST: f32 = -4.0;
    logits.detach().log_softmax(-1).clamp(SMALLEST, 0.0)
}

/// z = log softmax(θ) + Gumbel noise, b = one-hot of the largest (paper, Appendix B).
#[derive(Debug)]
pub struct CategoricalRelaxation;

/// By how much the chosen category is above the others at least: f32 tells |z̃| ≤ 17 from its
/// neighbours by 2⁻¹⁹.
const SMALLEST_GAP: f32 = 4e-6;

/// Takes the p-weighted sum of each row off its elements, times p: the transposed Jacobian of
/// log softmax, applied to a cotangent.
fn project(theta: &Tensor, cotangent: &Tensor) -> Tensor {
    let p = theta.detach().softmax(-1);
    cotangent - p * cotangent.sum_keepdim(-1)
}

impl Relaxation for CategoricalRelaxation {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        theta.log_softmax(-1) - (-noise::ln(u)).ln()
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

    /// e^(z − max z), by normalised θ.
    fn kappa(&self, theta: &Tensor, u: &Tensor, _: &Tensor) -> Tensor {
        let z = self.relaxed(&theta.detach(), u);
        let max = z.max(-1).unsqueeze(-1);
        (z - max).exp()
    }

    fn pull(&self, theta: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        project(theta, &(kappa * w))
    }

    fn push(&self, theta: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        let p = theta.detach().softmax(-1);
        kappa * (v - (p * v).sum_keepdim(-1))
    }

    fn event_rank(&self) -> usize {
        1
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

    /// 1 + ln u by normalised θ, around which z is Gumbel.
    fn relaxed_score(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        project(theta, &(noise::ln(u) + 1.0))
    }

    fn plain(&self) -> Option<&dyn PlainRelaxation> {
        Some(self)
    }
}

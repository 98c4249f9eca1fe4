//! Mixtures: a draw from one of several laws, of one family or of different ones.

mod assembled;
mod counts;
mod different;
mod different_law;
mod law;

use std::rc::Rc;

pub use different::{Different, MixtureValue};
use law::MixtureLaw;

use super::excluded::CERTAINTY;
use super::weights::normalised;
use super::{
    CategoricalOperand, Continuous, CountFamily, Counts, Distribution, IntoDistribution, Law,
    Normal, Number, Real, VectorOperand, check_event_fit, expand_parameter, holds_indices,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

const NAME: &str = "Mixture";
const SUPPORT: &str = "the values that a component can draw";
const SUPPORT_OF_DIFFERENT: &str =
    "the values that every component can draw, or, for counts, that one can";
const COMPONENTS: &str = "components";

/// A draw from one of several laws of one family, the k-th of them with probability `weights`ₖ: density
/// Σₖ wₖ pₖ(x), summed by logarithms. Over tensors, `weights` `[.., K]` go with one law whose draws
/// have an axis of the K components, the last one before those of a single event: `Normal` of `[.., K]`,
/// `MultivariateNormal` of `[.., K, d]`, `Poisson` of `[.., K]`; a draw is without this axis. Over numbers,
/// `components` is an array of K laws of numbers, and a draw is an `f64`, or a `usize` where they are counts.
/// Laws of different families form a tuple: `(Normal::new(..), StudentT::new(..))`, with one support, or
/// counts with any, `(Poisson::new(..), Binomial::new(..))`. Components of one family may end at different places, as
/// `[Uniform::new(0.0, 1.0), Uniform::new(2.0, 3.0)]` do: each has a density of 0 outside of its own ends. A weight of
/// exactly 0 rules its component out; in a tensor it counts as e^−10⁴.
///
/// A mixture of counts is a law of counts, and one of coins or categories is a law of coins or categories: sites
/// that draw from them get RELAX. (This excludes counts whose number of trials differs from row to row, and vectors
/// of counts.) Other draws have no derivative with respect to the parameters: their sites, in a guide or in an
/// expected cost, get score-function estimators. The automatic guide is a Gaussian where those of the components are,
/// and otherwise a mixture of them, or, for different families, that of the likeliest component. Guides and chains over
/// unconstrained numbers, which need a support without gaps, refuse to draw from components that have ends of their own.
///
/// ```
/// # use relax_runtime::prelude::*;
/// # use relax_runtime::dist::Distribution;
/// # fn main() -> Result<()> {
/// let two = Mixture::new([0.25, 0.75], [Normal::new(0.0, 1.0), Normal::new(4.0, 1.0)])?;
/// let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
/// let wanted: f64 = 0.25 * density(1.0) + 0.75 * density(-3.0);
/// assert!((two.log_prob(&1.0)?.total()? - wanted.ln()).abs() < 1e-12);
/// let rows = Normal::new(Tensor::from_slice(&[0.0, 4.0]), 1.0);
/// let same = Mixture::new([0.25, 0.75], rows)?.log_prob(&Tensor::scalar(1.0))?;
/// assert!((same.total()? - wanted.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mixture<W, C> {
    /// Unnormalized log-probabilities.
    logits: W,
    components: C,
}

impl<W, C> Mixture<W, C> {
    /// A mixture with these probabilities.
    ///
    /// # Errors
    /// If they are not probabilities, a component could not be made, or there are not as many of each.
    pub fn new<A, B>(weights: A, components: B) -> Result<Self>
    where
        A: VectorOperand<Repr: CategoricalOperand>,
        B: MixtureComponents<A::Repr, Weights = W, Components = C>,
    {
        let logits = weights.into_repr().of_shares(NAME)?;
        let (logits, components) = components.beside(logits)?;
        Ok(Self { logits, components })
    }
}

/// What may be given as the components of a [`Mixture`], with weights of type `W`.
pub trait MixtureComponents<W> {
    /// `Vec<f64>` or [`Tensor`].
    type Weights;
    /// One law over tensors, or several over numbers.
    type Components;
    /// Weights and components, checked against each other.
    ///
    /// # Errors
    /// If a component could not be made, or there are not as many of each.
    fn beside(self, logits: W) -> Result<(Self::Weights, Self::Components)>;
}

fn wrong(problem: String) -> Error {
    Error::Parameter {
        distribution: NAME,
        parameter: COMPONENTS,
        problem,
    }
}

/// The axis of the components in a law's draws.
fn axis(law: &dyn Law) -> isize {
    -1 - law.event_rank() as isize
}

/// The shape of a draw, without the axis that only its vertex has.
fn shape_of_draws(law: &dyn Law) -> Shape {
    let shape = law.draw_shape();
    shape.leading(shape.rank() - usize::from(holds_indices(law)))
}

impl<D> MixtureComponents<Tensor> for D
where
    D: IntoDistribution<Distribution: Distribution<Value = Tensor>>,
{
    type Weights = Tensor;
    type Components = D::Distribution;

    fn beside(self, logits: Tensor) -> Result<(Tensor, D::Distribution)> {
        let dist = self.into_distribution()?;
        let law = dist.law()?;
        let (weights, shape) = (logits.shape(), shape_of_draws(&*law));
        let behind = law.event_rank();
        let rows = shape.leading(shape.rank().saturating_sub(behind));
        match (weights.last(), rows.last()) {
            (Some(k), Some(own)) if k == own && weights.broadcast(&rows) == Some(rows) => {
                // Weights that differ between rows get all of the rows' axes, so that plates fit both.
                let logits = match weights.rank() {
                    1 => logits,
                    _ => logits.broadcast_to(rows),
                };
                Ok((logits, dist))
            }
            _ => Err(wrong(format!(
                "draw numbers of shape {shape} beside weights of shape {weights}; give one law whose \
                 draws have an axis of the components, [.., K], beside weights [K] or [.., K]"
            ))),
        }
    }
}

impl<D> MixtureComponents<Vec<f64>> for D
where
    D: IntoDistribution<Distribution: Distribution<Value = Tensor>>,
{
    type Weights = Tensor;
    type Components = D::Distribution;

    fn beside(self, logits: Vec<f64>) -> Result<(Tensor, D::Distribution)> {
        self.beside(on_cpu(&logits))
    }
}

impl<D: IntoDistribution<Distribution: Stacked>> MixtureComponents<Vec<f64>> for Vec<D> {
    type Weights = Vec<f64>;
    type Components = Vec<D::Distribution>;

    fn beside(self, logits: Vec<f64>) -> Result<(Vec<f64>, Vec<D::Distribution>)> {
        let all = self.into_iter().map(IntoDistribution::into_distribution);
        let all: Vec<D::Distribution> = all.collect::<Result<_>>()?;
        match all.len() == logits.len() {
            true => Ok((logits, all)),
            false => Err(wrong(format!(
                "are {}, beside {} weights; give as many of each",
                all.len(),
                logits.len()
            ))),
        }
    }
}

impl<D, const K: usize> MixtureComponents<Vec<f64>> for [D; K]
where
    D: IntoDistribution<Distribution: Stacked>,
{
    type Weights = Vec<f64>;
    type Components = Vec<D::Distribution>;

    fn beside(self, logits: Vec<f64>) -> Result<(Vec<f64>, Vec<D::Distribution>)> {
        Vec::from(self).beside(logits)
    }
}

/// A law of a host number that can be stacked with others of its family into one law over tensors.
pub trait Stacked: Distribution<Value: MixtureValue> {
    /// One law with an axis for all of them.
    ///
    /// # Errors
    /// If rounded parameters are not valid.
    fn stacked(all: &[Self]) -> Result<Rc<dyn Law>> {
        let laws = all.iter().map(Distribution::law);
        let laws: Vec<Rc<dyn Law>> = laws.collect::<Result<_>>()?;
        let Some(first) = laws.first() else {
            return Err(wrong("are missing; give one or more".into()));
        };
        let columns = (0..first.parameters().len()).map(|at| {
            let column: Vec<Tensor> = laws
                .iter()
                .map(|law| law.parameters()[at].clone())
                .collect();
            Tensor::stack(&column.iter().collect::<Vec<_>>(), 0)
        });
        Ok(first.with_parameters(&columns.collect::<Vec<_>>()))
    }
}

impl<D: Continuous<Real = f64>> Stacked for D {}
impl Stacked for Normal<f64> {}
impl<F: CountFamily> Stacked for Counts<F, f64> {}

/// Whether a mixture has a value, given whether each of its components has it: one that does not has a density of 0
/// there, and one of weight 0 never counts.
fn contained(logits: &[f64], each: impl Iterator<Item = Result<bool>>) -> Result<bool> {
    let mut is_contained = false;
    for (log_share, has) in logits.iter().zip(each) {
        is_contained |= has? && *log_share > f64::NEG_INFINITY;
    }
    Ok(is_contained)
}

/// The log-density of a component: −∞ at a value that it does not have.
fn log_density_of<D: Distribution>(component: &D, value: &D::Value) -> Result<f64> {
    match component.contains(value)? {
        true => component.log_density(value)?.peek_total(),
        false => Ok(f64::NEG_INFINITY),
    }
}

/// ln Σₖ wₖ pₖ, by logarithms.
fn log_mixed(logits: &[f64], log_densities: impl Iterator<Item = Result<f64>>) -> Result<Number> {
    let mut terms = Vec::with_capacity(logits.len());
    for (log_share, log_density) in normalised(logits).zip(log_densities) {
        terms.push(log_share + log_density?);
    }
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return Ok(most.into());
    }
    let sum: f64 = terms.iter().map(|term| (term - most).exp()).sum();
    Ok((most + sum.ln()).into())
}

/// Host weights as a tensor, in which an excluded component has a share of 0 even in single precision.
fn on_cpu(logits: &[f64]) -> Tensor {
    let logits = normalised(logits).map(|x| (x as f32).max(-CERTAINTY));
    let logits: Vec<f32> = logits.collect();
    Tensor::from_slice(&logits)
}

impl<D: Stacked> Distribution for Mixture<Vec<f64>, Vec<D>> {
    type Value = D::Value;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &D::Value) -> Result<bool> {
        let each = self.components.iter();
        contained(
            &self.logits,
            each.map(|component| component.contains(value)),
        )
    }

    fn may_contain(&self, value: &D::Value) -> Result<bool> {
        let each = self.components.iter();
        contained(
            &self.logits,
            each.map(|component| Ok(component.contains(value)? || component.may_contain(value)?)),
        )
    }

    fn log_density(&self, value: &D::Value) -> Result<Number> {
        let each = self.components.iter();
        let each = each.map(|component| log_density_of(component, value));
        log_mixed(&self.logits, each)
    }

    fn sample(&self, stream: &mut Stream) -> Result<D::Value> {
        let chosen = super::categorical::gumbel_argmax(&self.logits, stream);
        self.components[chosen].sample(stream)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let logits = on_cpu(&self.logits);
        let laws = self.components.iter().map(Distribution::law);
        if let Some(law) = assembled::of_several(&logits, &laws.collect::<Result<Vec<_>>>()?)? {
            return Ok(law);
        }
        Ok(Rc::new(MixtureLaw::new(
            logits,
            D::stacked(&self.components)?,
        )))
    }
}

impl<D: Distribution<Value = Tensor>> Distribution for Mixture<Tensor, D> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let law = self.components.law()?;
        if let Some(contained) = assembled::contained_in_one(&*law, value)? {
            return Ok(contained);
        }
        let along = value.unsqueeze(axis(&*law));
        match MixtureLaw::new(self.logits.clone(), law).outside(value) {
            Some(outside) => Real::all(&outside, |is_outside| is_outside == 0.0),
            None => self.components.contains(&along),
        }
    }

    fn may_contain(&self, value: &Tensor) -> Result<bool> {
        self.components.may_contain(value)
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        let component = self.components.law()?;
        let differ = assembled::differ(&*component);
        let law = MixtureLaw::new(self.logits.clone(), component);
        check_event_fit(NAME, law.draw_shape(), law.event_rank(), value)?;
        Ok(match differ {
            true => self.law()?.log_density(value),
            // All components at once.
            false => law.log_density(value),
        }
        .into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let component = self.components.law()?;
        if let Some(law) = assembled::of_one(&self.logits, &*component)? {
            return Ok(law);
        }
        MixtureLaw::new(self.logits.clone(), component).simplest()
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        let law = self.components.law()?;
        let shape = shape_of_draws(&*law);
        if shape.rank() < plates.len() + 1 + law.event_rank() {
            return Err(wrong(format!(
                "draw numbers of shape {shape} inside plates of sizes {plates:?}; their leading axes must \
                 be those sizes or 1 (components shared by all rows are reshaped to [1, K])"
            )));
        }
        let logits = match self.logits.rank() {
            1 => self.logits,
            _ => expand_parameter(NAME, "weights", &self.logits, plates, 1)?,
        };
        Ok(Self {
            logits,
            components: self.components.expand(plates)?,
        })
    }
}

/// The components' numbers along a last axis, in the shape that all broadcast to.
fn side_by_side(each: impl Iterator<Item = Tensor>) -> Tensor {
    let all: Vec<Tensor> = each.collect();
    let shapes = all.iter().map(Tensor::shape);
    let joint = shapes.reduce(|a, b| a.broadcast(&b).unwrap_or(a));
    let joint = joint.unwrap_or(Shape::SCALAR);
    let wide: Vec<Tensor> = all.iter().map(|x| x.broadcast_to(joint)).collect();
    Tensor::stack(&wide.iter().collect::<Vec<_>>(), -1)
}

//! Surrogates c_φ: what the estimators subtract from the cost, and how they are trained.

mod constant;
mod extent;
mod free_form;
mod guard;
mod held;
mod kinks;
mod layers;
mod least_squares;
mod pausable;
mod plain;
mod quadratic;
mod relaxed_cost;
mod rivals;
mod sum;
mod variance_gradient;
mod zero;

use std::fmt::Debug;

pub use constant::Constant;
pub(crate) use extent::Extent;
pub use free_form::FreeForm;
pub(crate) use held::Held;
pub(crate) use pausable::Pausable;
pub(crate) use plain::cut;
pub(crate) use quadratic::Quadratic;
pub use relaxed_cost::RelaxedCost;
pub(crate) use relaxed_cost::Seen;
pub(crate) use rivals::Turn;
pub use sum::Sum;
pub use variance_gradient::VarianceGradient;
pub use zero::Zero;

use crate::dist::{Relaxation, squash_pull, squash_push, squash_rate};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor, grad};

/// The cost at a relaxed draw, one number per row: called with the draw, of θ's shape, and the
/// temperature λ at which later choices are to be relaxed.
pub type CostAt<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a;

/// What a surrogate sees of the site that it stands in for.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// How relaxed samples are squashed into the support's hull; `None` where the site is continuous,
    /// since its draws are in the support as they are.
    pub relaxation: Option<&'a dyn Relaxation>,
    /// The site's parameters θ, constant: they tell what came before the site.
    pub theta: &'a Tensor,
    /// Anything else that came before the site, `[rows.., n]`.
    pub context: Option<&'a Tensor>,
    /// Number of leading axes that are rows.
    pub plates: usize,
    /// The cost between the values of the support.
    pub cost: &'a CostAt<'a>,
}

impl Surroundings<'_> {
    /// The point of the support's hull that belongs to a relaxed sample.
    pub(crate) fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        match self.relaxation {
            Some(relaxation) => relaxation.squash(z, temperature),
            None => z.clone(),
        }
    }

    /// [`squash_rate`] of the draws' relaxation.
    fn squash_rate(&self, z: &Tensor, temperature: &Tensor) -> Result<(Tensor, Tensor)> {
        match self.relaxation {
            Some(relaxation) => squash_rate(relaxation, z, temperature),
            None => Ok((z.clone(), z.zeros_like())),
        }
    }

    /// [`squash_pull`] of the draws' relaxation.
    fn squash_pull(&self, z: &Tensor, temperature: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self.relaxation {
            Some(relaxation) => squash_pull(relaxation, z, temperature, w),
            None => Ok(w.clone()),
        }
    }

    /// [`squash_push`] of the draws' relaxation.
    fn squash_push(
        &self,
        z: &Tensor,
        temperature: &Tensor,
        t: &Tensor,
        w: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        match self.relaxation {
            Some(relaxation) => squash_push(relaxation, z, temperature, t, w),
            None => Ok((t.clone(), temperature.zeros_like())),
        }
    }
}

/// A function c_φ(z) of the relaxed sample, differentiable in z and φ.
pub trait Surrogate: Debug {
    /// c_φ(z), one number per row; z may carry gradients and tangents.
    ///
    /// # Errors
    /// If the cost cannot be evaluated or shapes do not fit.
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor>;

    /// φ.
    fn parameters(&self) -> Vec<Parameter>;

    /// How many times one value evaluates the cost.
    fn evaluations(&self) -> usize;

    /// The relaxed cost in it, if there is one.
    fn relaxed_cost(&self) -> Option<&RelaxedCost> {
        None
    }

    /// What is added to the relaxed cost, where it is a sum of [`relaxed_cost`](Self::relaxed_cost), whose parameters
    /// come first, and something else; `None` where it is nothing but a relaxed cost, or has none.
    fn beside_relaxed_cost(&self) -> Option<&dyn Surrogate> {
        None
    }

    /// Value and derivatives at z. Implementations with a closed form override the automatic
    /// derivatives of [`value`](Self::value), which this uses.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let leaf = z.detach().leaf();
        let value = self.value(&leaf, around)?;
        let gradient = grad(&[(&value, None)], &[&leaf])?.remove(0);
        let value = value.check()?.detach();
        let z = z.detach();
        let train = move |along: &Tensor, weight: &Tensor| {
            Ok(self.train(&z, along, weight, around)?.into())
        };
        Ok(Linearization {
            value,
            gradient,
            train: Box::new(train),
        })
    }

    /// [`Linearization::variance_gradient`] by automatic derivatives: a tangent along `along`, and
    /// a reverse pass over value and tangent.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn train(
        &self,
        z: &Tensor,
        along: &Tensor,
        weight: &Tensor,
        around: Surroundings<'_>,
    ) -> Result<Vec<Tensor>> {
        let parameters = self.parameters();
        if parameters.is_empty() {
            return Ok(Vec::new());
        }
        let value = self.value(&z.with_tangent(along), around)?;
        value.check()?;
        let directional = value.tangent().unwrap_or_else(|| value.zeros_like());
        let weight = -weight;
        let leaves: Vec<Tensor> = parameters.iter().map(Parameter::get).collect();
        let leaves: Vec<&Tensor> = leaves.iter().collect();
        grad(
            &[(&directional, None), (&value.primal(), Some(&weight))],
            &leaves,
        )
    }
}

/// A surrogate's derivatives by its parameters, once `along` and `weight` are known.
type Train<'a> = dyn FnOnce(&Tensor, &Tensor) -> Result<VarianceGradient> + 'a;

/// A surrogate at one relaxed sample; its tensors are constants.
pub struct Linearization<'a> {
    /// c_φ(z), one number per row.
    pub value: Tensor,
    /// ∂c_φ(z)/∂z.
    pub gradient: Tensor,
    train: Box<Train<'a>>,
}

impl Linearization<'_> {
    /// ∂/∂φ of Σ over rows of ⟨∂c_φ(z)/∂z, `along`⟩ − `weight` c_φ(z), one tensor per parameter: the
    /// gradient of the estimator's variance by the surrogate's parameters, if `along` and
    /// `weight` are computed from twice the gradient estimate.
    ///
    /// # Errors
    /// If the cost cannot be evaluated or shapes do not fit.
    pub fn variance_gradient(self, along: &Tensor, weight: &Tensor) -> Result<VarianceGradient> {
        (self.train)(along, weight)
    }
}

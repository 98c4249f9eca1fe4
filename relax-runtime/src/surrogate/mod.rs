//! Surrogates c_φ: what the estimators subtract from the cost, and how they are trained.

mod free_form;
mod relaxed_cost;
mod sum;
mod zero;

use std::fmt::Debug;

pub use free_form::FreeForm;
pub use relaxed_cost::RelaxedCost;
pub use sum::Sum;
pub use zero::Zero;

use crate::error::Result;
use crate::tensor::{Parameter, Tensor, grad};

/// The cost at a relaxed draw, a number a row: called with the draw, of θ's shape, and the
/// temperature λ at which later choices are to be relaxed.
pub type CostAt<'a> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor> + 'a;

/// What a surrogate sees of the site that it stands for.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// How relaxed samples are squashed into the support's hull.
    pub relaxation: &'a dyn crate::dist::Relaxation,
    /// The site's parameters θ, constant: they tell what came before the site.
    pub theta: &'a Tensor,
    /// Anything else that came before the site, `[rows.., n]`.
    pub context: Option<&'a Tensor>,
    /// Number of leading axes that are rows.
    pub plates: usize,
}

/// A function c_φ(z) of the relaxed sample, differentiable in z and φ.
pub trait Surrogate: Debug {
    /// c_φ(z), a number a row; z may carry gradients and tangents.
    ///
    /// # Errors
    /// If the cost cannot be evaluated or shapes do not fit.
    fn value(&self, z: &Tensor, around: Surroundings<'_>, cost: &mut CostAt<'_>) -> Result<Tensor>;

    /// φ.
    fn parameters(&self) -> Vec<Parameter>;

    /// How many times one value evaluates the cost.
    fn evaluations(&self) -> usize;

    /// c_φ(z) and ∂c_φ(z)/∂z, constants.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn value_and_gradient(
        &self,
        z: &Tensor,
        around: Surroundings<'_>,
        cost: &mut CostAt<'_>,
    ) -> Result<(Tensor, Tensor)> {
        let z = z.detach().leaf();
        let value = self.value(&z, around, cost)?;
        let gradient = grad(&[(&value, None)], &[&z])?;
        Ok((value.check()?.detach(), gradient[0].clone()))
    }

    /// ∂/∂φ of Σ over rows of ⟨∂c_φ(z)/∂z, `along`⟩ − `weight` c_φ(z), a tensor a parameter: the
    /// gradient of the estimator's variance by the surrogate's parameters, once `along` and
    /// `weight` are computed from twice the gradient estimate.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn variance_gradient(
        &self,
        z: &Tensor,
        along: &Tensor,
        weight: &Tensor,
        around: Surroundings<'_>,
        cost: &mut CostAt<'_>,
    ) -> Result<Vec<Tensor>> {
        let parameters = self.parameters();
        if parameters.is_empty() {
            return Ok(Vec::new());
        }
        let value = self.value(&z.detach().with_tangent(along), around, cost)?;
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

//! Continuous relaxations of discrete laws: the b, z, z̃ and κ of the estimators.

use std::fmt::Debug;

use super::PlainRelaxation;
use crate::error::Result;
use crate::tensor::{Tensor, grad};

/// How a discrete law with logits θ is drawn through a relaxed sample.
///
/// Notation of Grathwohl et al. 2018: u uniform [noise](super::noise), z the relaxed sample, b = H(z) the hard one
/// (as a vertex: 0/1, or one-hot along the last axis), z̃ ~ p(z | b, θ). All tensors have θ's shape.
/// Functions called differentiable carry gradients and tangents of θ.
pub trait Relaxation: Debug {
    /// z(θ, u), differentiable in θ.
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor;

    /// H(z), a constant.
    fn hard(&self, z: &Tensor) -> Tensor;

    /// z̃(θ, v, b), a draw of z given H(z) = b; differentiable in θ with b held fixed
    /// (paper, Appendix B).
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor;

    /// The noise v with which z̃ = z: given b it is uniform, so (b, z̃) keeps its joint law.
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor;

    /// A point in the convex hull of the vertices: σ(z/λ) or softmax(z/λ), differentiable in z
    /// and λ. `temperature` is λ, of rank 0.
    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor;

    /// s = [`squash`](Self::squash)(z, λ) and ∂s/∂λ, constants.
    ///
    /// # Errors
    /// If an operand carries one.
    fn squash_rate(&self, z: &Tensor, temperature: &Tensor) -> Result<(Tensor, Tensor)> {
        let moving = temperature.with_tangent(&temperature.ones_like());
        let s = self.squash(z, &moving);
        Ok((s.detach(), tangent(&s).detach()))
    }

    /// (∂s/∂z)ᵀ w for s = [`squash`](Self::squash)(z, λ), a constant.
    ///
    /// # Errors
    /// If an operand carries one.
    fn squash_pull(&self, z: &Tensor, temperature: &Tensor, w: &Tensor) -> Result<Tensor> {
        let leaf = z.leaf();
        let s = self.squash(&leaf, temperature);
        Ok(grad(&[(&s, Some(w))], &[&leaf])?.remove(0))
    }

    /// (∂s/∂z) t and ⟨w, (∂²s/∂z∂λ) t⟩ for s = [`squash`](Self::squash)(z, λ), constants.
    ///
    /// # Errors
    /// If an operand carries one.
    fn squash_push(
        &self,
        z: &Tensor,
        temperature: &Tensor,
        t: &Tensor,
        w: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let leaf = temperature.leaf();
        let moved = tangent(&self.squash(&z.with_tangent(t), &leaf));
        let bend = grad(&[(&moved, Some(w))], &[&leaf])?.remove(0);
        Ok((moved.detach(), bend))
    }

    /// ∂ log p(b | θ) / ∂θ, a constant.
    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor;

    /// κ, the diagonal of 1 − ∂z̃/∂θ (by normalised θ where the law is categorical) under coupled
    /// noise, a constant.
    fn kappa(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor;

    /// Kᵀ w for K = ∂(z − z̃)/∂θ under coupled noise: how a cotangent of z reaches θ.
    fn pull(&self, theta: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor;

    /// K v: how a tangent of θ moves z relative to z̃.
    fn push(&self, theta: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor;

    /// Number of trailing axes of θ that form a single event: 1 where b is one-hot, 0 where every
    /// element is a choice of its own.
    fn event_rank(&self) -> usize;

    /// All values of one event, as vertices: the 0/1 scalars, or the one-hot rows of length
    /// `categories`. Shape `[values]` or `[values, categories]` flattened row by row.
    fn vertices(&self, categories: usize) -> Vec<Vec<f32>>;

    /// log p(b | θ) of each event, `[rows.., events..]`, differentiable in θ.
    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor;

    /// ∂ log p(z | θ) / ∂θ of the relaxed sample z = z(θ, u), a constant.
    fn relaxed_score(&self, theta: &Tensor, u: &Tensor) -> Tensor;

    /// The relaxation of plain numbers, which small sites use where there is one: it gives the same
    /// draws.
    fn plain(&self) -> Option<&dyn PlainRelaxation> {
        None
    }

    /// How many values an event has, and how many events a row of θ with this shape holds.
    fn values_and_events(&self, row: &[usize]) -> (usize, usize) {
        let numbers = row.iter().product();
        match (self.event_rank(), row.last()) {
            (0, _) | (_, None) => (2, numbers),
            (_, Some(&categories)) => (categories, numbers / categories.max(1)),
        }
    }
}

/// The tangent, zeros where there is none.
fn tangent(x: &Tensor) -> Tensor {
    x.tangent().unwrap_or_else(|| x.zeros_like())
}

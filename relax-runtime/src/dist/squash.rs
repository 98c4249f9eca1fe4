//! Derivatives of the point s(z, λ) in a relaxation's hull: by formulas where it is a coin's σ(z/λ), by
//! automatic differentiation elsewhere.

use super::{Form, Relaxation};
use crate::error::Result;
use crate::tensor::{Tensor, grad};

/// s and ∂s/∂λ, constants.
///
/// # Errors
/// If an operand carries an error.
pub(crate) fn squash_rate(
    relaxation: &dyn Relaxation,
    z: &Tensor,
    temperature: &Tensor,
) -> Result<(Tensor, Tensor)> {
    if let Form::Coins = relaxation.form() {
        let cold = 1.0 / temperature.peek_item()?;
        let s = pointwise!([z], |[z]| coin::squash(z, cold));
        return Ok((s, pointwise!([z], |[z]| coin::rate(z, cold))));
    }
    let moving = temperature.with_tangent(&temperature.ones_like());
    let s = relaxation.squash(z, &moving);
    Ok((s.detach(), tangent(&s).detach()))
}

/// (∂s/∂z)ᵀ w, a constant.
///
/// # Errors
/// If an operand carries an error.
pub(crate) fn squash_pull(
    relaxation: &dyn Relaxation,
    z: &Tensor,
    temperature: &Tensor,
    w: &Tensor,
) -> Result<Tensor> {
    if let Form::Coins = relaxation.form() {
        let cold = 1.0 / temperature.peek_item()?;
        return Ok(pointwise!([z, w], |[z, w]| coin::slope(z, cold) * w));
    }
    let leaf = z.leaf();
    let s = relaxation.squash(&leaf, temperature);
    Ok(grad(&[(&s, Some(w))], &[&leaf])?.remove(0))
}

/// (∂s/∂z) t and ⟨w, (∂²s/∂z∂λ) t⟩, constants.
///
/// # Errors
/// If an operand carries an error.
pub(crate) fn squash_push(
    relaxation: &dyn Relaxation,
    z: &Tensor,
    temperature: &Tensor,
    t: &Tensor,
    w: &Tensor,
) -> Result<(Tensor, Tensor)> {
    if let Form::Coins = relaxation.form() {
        let cold = 1.0 / temperature.peek_item()?;
        let bend = pointwise!([z, t], |[z, t]| coin::bend(z, cold) * t);
        let moved = squash_pull(relaxation, z, temperature, t)?;
        return Ok((moved, bend.dot_from(w, 0)));
    }
    let leaf = temperature.leaf();
    let moved = tangent(&relaxation.squash(&z.with_tangent(t), &leaf));
    let bend = grad(&[(&moved, Some(w))], &[&leaf])?.remove(0);
    Ok((moved.detach(), bend))
}

/// The tangent; zeros where there is none.
fn tangent(x: &Tensor) -> Tensor {
    x.tangent().unwrap_or_else(|| x.zeros_like())
}

/// s = σ(z/λ) of each number, at `cold` = 1/λ, and its derivatives.
mod coin {
    use crate::tensor::Element;

    #[inline(always)]
    pub(super) fn squash<E: Element>(z: E, cold: f32) -> E {
        (z * cold).sigmoid()
    }

    /// ∂s/∂z = s (1 − s)/λ.
    #[inline(always)]
    pub(super) fn slope<E: Element>(z: E, cold: f32) -> E {
        let s = squash(z, cold);
        s.clone() * s.one_minus() * cold
    }

    /// ∂s/∂λ = −(∂s/∂z) z/λ.
    #[inline(always)]
    pub(super) fn rate<E: Element>(z: E, cold: f32) -> E {
        -slope(z.clone(), cold) * z * cold
    }

    /// ∂²s/∂z∂λ = −(∂s/∂z) (1 + (1 − 2s) z/λ)/λ.
    #[inline(always)]
    pub(super) fn bend<E: Element>(z: E, cold: f32) -> E {
        let skew = (squash(z.clone(), cold) * 2.0).one_minus();
        -slope(z.clone(), cold) * (skew * z * cold + 1.0) * cold
    }
}

//! Values whose probability is exactly 0.
//!
//! Laws keep finite logits for them, at which their probability is 0 in f32, so that relaxed draws and
//! derivatives stay finite, and remember which they are, so that their log-probability is −∞.

use crate::tensor::{SiteSet, Tensor};

/// How far the logit of an excluded value lies below the others: e⁻¹¹⁰ is 0 in f32.
pub(super) const POLE: f32 = 110.0;

/// How far it lies below in laws that do not remember which values are excluded: it must lie below their
/// densities, too.
pub(super) const CERTAINTY: f32 = 1e4;

/// A host number in single precision, clamped so that it stays finite, and so do sums of many.
pub(super) fn finite(x: f64) -> f32 {
    const FARTHEST: f32 = 1e30;
    (x as f32).clamp(-FARTHEST, FARTHEST)
}

/// A value's numbers alone. What they rule out is a step as far as derivatives are concerned, but a step to
/// −∞ that no draw takes, so that it does not count as a break between value and density.
pub(super) fn numbers_of(value: &Tensor) -> Tensor {
    value.numbers_alone()
}

/// Stands for probabilities by which earlier choices may rule values out.
pub(super) fn open(probs: &Tensor) -> Option<Tensor> {
    let has_sites = probs
        .provenance()
        .is_some_and(|of| of.sites != SiteSet::EMPTY);
    has_sites.then(|| Tensor::scalar(0.0).depending_on(probs))
}

/// −∞ where `excluded` is 1 and 0 elsewhere: a constant.
pub(super) fn ruled_out(excluded: &Tensor) -> Tensor {
    excluded.select_where(
        &excluded.full_like(f32::NEG_INFINITY),
        &excluded.zeros_like(),
    )
}

/// Logits `[.., K]` in which those of excluded categories lie [`POLE`] below the largest of the others,
/// as constants.
pub(super) fn without(logits: &Tensor, excluded: &Tensor) -> Tensor {
    let lowest = logits.full_like(f32::MIN);
    let allowed = excluded.select_where(&lowest, &logits.detach());
    let pole = allowed.max(-1).unsqueeze(-1) - POLE;
    excluded.select_where(&pole, logits)
}

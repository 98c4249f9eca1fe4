//! Gradients weighted by their site's parameters, which show a bias that would cancel over what came before the site.

use std::collections::BTreeMap;

use crate::infer::pass::Latent;
use crate::tensor::Tensor;

/// For each site the average tanh θ in one draw.
pub(in crate::infer) type Centres = BTreeMap<String, Vec<Tensor>>;

/// The mean over rows of tanh θ.
pub(in crate::infer) fn centre(latent: &Latent) -> Vec<Tensor> {
    let mean = |theta: Tensor| {
        let axes = 0..latent.plates.len().min(theta.rank());
        let rows: usize = axes.clone().map(|axis| theta.shape()[axis]).product();
        let theta = theta.detach().tanh();
        axes.fold(theta, |sum, _| sum.sum(0)) * (1.0 / rows.max(1) as f32)
    };
    latent.law.parameters().into_iter().map(mean).collect()
}

/// A site's gradient, weighted by how far tanh θ is from the site's center.
pub(in crate::infer) fn weigh(
    gradients: &[Tensor],
    latent: &Latent,
    centres: &Centres,
) -> Vec<Tensor> {
    let Some(centres) = centres.get(&*latent.name) else {
        return Vec::new();
    };
    let parameters = latent.law.parameters();
    let weigh = |((gradient, theta), centre): ((&Tensor, &Tensor), &Tensor)| {
        gradient * (theta.detach().tanh() - centre)
    };
    gradients
        .iter()
        .zip(&parameters)
        .zip(centres)
        .map(weigh)
        .collect()
}

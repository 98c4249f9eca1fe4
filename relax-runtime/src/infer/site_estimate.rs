//! What a site's estimator says of one draw.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::cost_to_go::Work;
use crate::dist::PerParameter;
use crate::error::Result;
use crate::tensor::Tensor;

/// What a site's estimator says in one particle; several particles are added up.
pub(super) struct SiteEstimate {
    pub(super) name: Cow<'static, str>,
    /// Place of its latent in the draw.
    pub(super) place: usize,
    /// The gradient by each parameter of the site's law, in units of one row, from the draw at
    /// `place` alone.
    pub(super) gradients: PerParameter<Tensor>,
    /// Evaluations of the cost beyond the draw's own.
    pub(super) evaluations: usize,
    /// Mean square of the gradients, and how many particles it is the sum of.
    pub(super) mean_square: (f64, usize),
    /// The gradients, summed over rows.
    pub(super) summed: SmallVec<[f32; 4]>,
}

impl SiteEstimate {
    /// Adds what the same particle says of the site in another sample of a bound.
    fn join(&mut self, other: &Self) {
        self.add(other);
        // Of one particle: its samples' mean squares add up.
        self.mean_square.1 -= other.mean_square.1;
    }

    /// Adds what another particle says of the same site.
    fn add(&mut self, other: &Self) {
        self.mean_square.0 += other.mean_square.0;
        self.mean_square.1 += other.mean_square.1;
        if self.summed.len() == other.summed.len() {
            self.summed
                .iter_mut()
                .zip(&other.summed)
                .for_each(|(a, b)| *a += b);
        }
    }
}

/// One estimate a site of one particle: the samples of a bound come by the same sites.
pub(super) fn joined(estimates: Vec<SiteEstimate>) -> Vec<SiteEstimate> {
    let mut joined: Vec<SiteEstimate> = Vec::with_capacity(estimates.len());
    for estimate in estimates {
        match joined.iter_mut().find(|other| other.name == estimate.name) {
            Some(other) => other.join(&estimate),
            None => joined.push(estimate),
        }
    }
    joined
}

/// Adds what a particle says of a site, if it says anything.
pub(super) fn add_up(all: &mut Vec<SiteEstimate>, one: Option<SiteEstimate>) {
    let Some(one) = one else { return };
    match all.iter_mut().find(|other| other.name == one.name) {
        Some(other) => other.add(&one),
        None => all.push(one),
    }
}

/// An estimate with its size.
pub(super) fn measure(
    work: &Work<'_>,
    gradients: PerParameter<Tensor>,
    evaluations: usize,
) -> Result<SiteEstimate> {
    let latent = work.latent;
    let mut summed = SmallVec::new();
    let (mut squares, mut count) = (0.0, 0);
    for gradient in &gradients {
        squares += gradient.with_values(|g| g.iter().map(|g| f64::from(g * g)).sum::<f64>())?;
        count += gradient.len();
        let mut by_row = gradient.clone();
        // A parameter that rows share may have fewer axes than there are plates.
        for _ in 0..latent.plates.len().min(gradient.rank()) {
            by_row = by_row.sum(0);
        }
        by_row.with_values(|numbers| summed.extend_from_slice(numbers))?;
    }
    let mean_square = (squares / count.max(1) as f64, 1);
    Ok(SiteEstimate {
        name: latent.name.clone(),
        place: work.place,
        gradients,
        evaluations,
        mean_square,
        summed,
    })
}

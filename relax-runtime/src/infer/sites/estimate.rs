//! The estimate of a site's estimator from one draw.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dist::PerParameter;
use crate::error::Result;
use crate::infer::pass::survey::mean_and_square;
use crate::infer::sites::cost_to_go::Work;
use crate::tensor::Tensor;

/// The estimate of a site in one particle; several particles are added up.
pub(in crate::infer) struct SiteEstimate {
    pub(in crate::infer) name: Cow<'static, str>,
    /// Place of its latent in the draw.
    pub(in crate::infer) place: usize,
    /// The gradient by each parameter of the site's law, in units of one row, from the draw at
    /// `place` alone.
    pub(in crate::infer) gradients: PerParameter<Tensor>,
    /// Evaluations of the cost beyond the draw's own.
    pub(in crate::infer) evaluations: usize,
    /// Mean square of the gradients, and the number of particles it sums over.
    pub(in crate::infer) mean_square: (f64, usize),
    /// The gradients, summed over rows.
    pub(in crate::infer) summed: SmallVec<[f32; 4]>,
}

impl SiteEstimate {
    /// Adds the same particle's estimate of the site in another sample of a bound.
    fn join(&mut self, other: &Self) {
        self.add(other);
        // From one particle: its samples' mean squares add up.
        self.mean_square.1 -= other.mean_square.1;
    }

    /// Adds another particle's estimate of the same site.
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

/// Estimates of the same sites, added up: one per site, in order of arrival.
#[derive(Default)]
pub(in crate::infer) struct Estimates {
    by_site: Vec<SiteEstimate>,
    places: FxHashMap<Cow<'static, str>, usize>,
}

impl Estimates {
    /// Adds a particle's estimate of a site.
    pub(in crate::infer) fn add(&mut self, estimate: SiteEstimate) {
        self.put(estimate, SiteEstimate::add);
    }

    fn put(&mut self, one: SiteEstimate, add: fn(&mut SiteEstimate, &SiteEstimate)) {
        match self.places.get(&one.name) {
            Some(&place) => add(&mut self.by_site[place], &one),
            None => {
                self.places.insert(one.name.clone(), self.by_site.len());
                self.by_site.push(one);
            }
        }
    }

    pub(in crate::infer) fn by_site(self) -> Vec<SiteEstimate> {
        self.by_site
    }
}

/// One estimate per site of one particle: the samples of a bound reach the same sites.
pub(in crate::infer) fn joined(estimates: Vec<SiteEstimate>) -> Vec<SiteEstimate> {
    let mut joined = Estimates::default();
    let estimates = estimates.into_iter();
    estimates.for_each(|estimate| joined.put(estimate, SiteEstimate::join));
    joined.by_site
}

/// An estimate with its size.
pub(in crate::infer) fn measure(
    work: &Work<'_>,
    gradients: PerParameter<Tensor>,
    evaluations: usize,
) -> Result<SiteEstimate> {
    let latent = work.latent;
    let mut summed = SmallVec::new();
    let (mut squares, mut count) = (0.0, 0);
    for gradient in &gradients {
        if gradient.check()?.is_empty() {
            continue;
        }
        squares += mean_and_square(gradient)?.1 * gradient.len() as f64;
        count += gradient.len();
        let mut by_row = gradient.clone();
        // A parameter shared by rows may have fewer axes than there are plates.
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

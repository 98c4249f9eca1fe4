//! Pictures of what the trained autoencoder has learned.

use relax_runtime::dist::Distribution;
use relax_runtime::prelude::*;

use crate::Outcome;
use crate::autoencoder::{Autoencoder, LATENTS};
use crate::data::{BinaryImages, PIXELS};
use crate::pictures::{ACROSS, Pictures, SAMPLES};
use crate::plot::Chart;

/// Validation images, their reconstructions, and images made from the prior.
pub(crate) struct Gallery<'a> {
    originals: Vec<f32>,
    reconstructions: Vec<f32>,
    samples: Vec<f32>,
    curves: &'a [Chart],
}

impl Gallery<'_> {
    /// Draws everything into one file.
    pub(crate) fn save(&self, path: &std::path::Path) -> Outcome<()> {
        let pictures = Pictures {
            originals: &self.originals,
            reconstructions: &self.reconstructions,
            samples: &self.samples,
            curves: self.curves,
        };
        Ok(pictures.save(path)?)
    }
}

/// The pictures of a trained autoencoder.
pub(crate) fn picture<'a>(
    images: &BinaryImages,
    vae: &Autoencoder,
    seed: u64,
    curves: &'a [Chart],
    device: &Device,
) -> Outcome<Gallery<'a>> {
    let mut stream = Key::new(seed).stream("pictures");
    let shown = ACROSS.min(images.count());
    let indices: Vec<usize> = (0..shown).map(|_| stream.below(images.count())).collect();
    let originals = images.batch(&indices);
    let x = Tensor::from_vec(originals.clone(), [shown, PIXELS], device)?;
    let pixels = |latents: &Tensor| vae.decode(latents).sigmoid().to_vec();
    let reconstructions = pixels(&Bernoulli::logits(vae.encode(&x))?.sample(&mut stream)?)?;
    let prior = vae.prior().broadcast_to([SAMPLES, LATENTS]);
    let samples = pixels(&Bernoulli::logits(prior)?.sample(&mut stream)?)?;
    Ok(Gallery {
        originals,
        reconstructions,
        samples,
        curves,
    })
}

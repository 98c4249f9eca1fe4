//! Where to look, and what is there.

use relax_runtime::prelude::*;

use crate::scenes::{CLASSES, COARSE, PATCH, PLACES, Scenes};

const HIDDEN: usize = 64;

/// The networks: from the coarse view to places, and from a glimpse to digits.
pub(crate) struct Eyes {
    places: Mlp,
    digits: Mlp,
}

impl Eyes {
    /// First weights.
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let mut stream = Key::new(seed).stream("eyes");
        let mut network = |sizes: [usize; 3], name: &str| {
            let network = Mlp::new(&sizes, Activation::Relu, &mut stream, &Device::cpu())?;
            Result::Ok(network.named(name))
        };
        Ok(Self {
            places: network([COARSE * COARSE, HIDDEN, PLACES], "places")?,
            digits: network([PATCH * PATCH, HIDDEN, CLASSES], "digits")?,
        })
    }

    /// Logits of the places, `[n, PLACES]`.
    pub(crate) fn places(&self, scenes: &Scenes) -> Tensor {
        self.places.forward(&scenes.coarse)
    }

    /// Log-probabilities of the digits for what glimpses see, `[.., PATCH²]` to `[.., CLASSES]`.
    pub(crate) fn digits(&self, seen: &Tensor) -> Tensor {
        self.digits.forward(seen).log_softmax(-1)
    }

    /// Cross-entropy with the labels, a number a scene.
    fn loss(&self, seen: &Tensor, scenes: &Scenes) -> Tensor {
        -(self.digits(seen) * &scenes.classes).sum(-1)
    }
}

/// What becomes of a place on its way to the glimpse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crop {
    /// Host code cuts a patch out: the cost is a black box in the place.
    Cut,
    /// The patch is picked out of all of them: as much a black box, but seen to concern one row alone, which
    /// a sum over values asks for.
    Pick,
    /// A place of weights blends all patches: what a straight-through gradient needs.
    Blend,
}

/// One glimpse of each scene; the entropy of the place is worth so many nats of cost for each of its own, which
/// keeps the networks from settling on the first place that they have learned to read.
#[model]
pub(crate) fn look(scenes: &Scenes, eyes: &Eyes, crop: Crop, entropy: f32) {
    plate!(scenes.count() => {
        let logits = eyes.places(scenes);
        cost!((logits.softmax(-1) * logits.log_softmax(-1)).sum(-1) * entropy);
        let place = sample!(
            OneHotCategorical(logits = &logits),
            context = &scenes.surroundings
        );
        let seen = match crop {
            Crop::Cut => {
                let chosen = place.argmax(-1).to_vec()?;
                let chosen: Vec<usize> = chosen.into_iter().map(|k| k as usize).collect();
                scenes.patches(&chosen)?
            }
            Crop::Pick => scenes.pick(&place.argmax(-1))?,
            Crop::Blend => (place.unsqueeze(-1) * scenes.all_patches()?).sum(1),
        };
        cost!(eyes.loss(&seen, scenes));
    })
}

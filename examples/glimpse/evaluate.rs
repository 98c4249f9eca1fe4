//! How well trained networks do on new scenes: exactly, over all places.

use relax_runtime::prelude::*;

use crate::model::Eyes;
use crate::scenes::{CLASSES, PLACES, Scenes};

/// Means over scenes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accuracy {
    /// Share of wrong digits where the place is drawn.
    pub(crate) error: f64,
    /// Where it is the likeliest.
    pub(crate) error_at_mode: f64,
    /// Expected cross-entropy, in nats.
    pub(crate) cost: f64,
}

/// The likeliest place of each scene.
///
/// # Errors
/// If a weight is no number any more.
pub(crate) fn likeliest(eyes: &Eyes, scenes: &Scenes) -> Result<Vec<usize>> {
    let places = eyes.places(scenes).detach().argmax(-1).to_vec()?;
    Ok(places.into_iter().map(|place| place as usize).collect())
}

/// Tries all places of all scenes.
///
/// # Errors
/// If a weight is no number any more.
pub(crate) fn accuracy(eyes: &Eyes, scenes: &Scenes) -> Result<Accuracy> {
    let chances = eyes.places(scenes).detach().softmax(-1).to_vec()?;
    let said = eyes.digits(&scenes.all_patches()?).detach().to_vec()?;
    let best = likeliest(eyes, scenes)?;
    let mut sums = Accuracy {
        error: 0.0,
        error_at_mode: 0.0,
        cost: 0.0,
    };
    let rows = chances.chunks(PLACES).zip(said.chunks(PLACES * CLASSES));
    for (scene, (chances, said)) in rows.enumerate() {
        let label = usize::from(scenes.labels[scene]);
        for (place, (&chance, said)) in chances.iter().zip(said.chunks(CLASSES)).enumerate() {
            let digit = said.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let wrong = f64::from(u8::from(digit.is_none_or(|(digit, _)| digit != label)));
            sums.error += f64::from(chance) * wrong;
            sums.cost -= f64::from(chance) * f64::from(said[label]);
            if place == best[scene] {
                sums.error_at_mode += wrong;
            }
        }
    }
    let n = scenes.count() as f64;
    Ok(Accuracy {
        error: sums.error / n,
        error_at_mode: sums.error_at_mode / n,
        cost: sums.cost / n,
    })
}

//! Where guides start, if a fit chooses among several places.

use super::GuideSite;
use crate::dist::{Law, MeanField};
use crate::error::Result;
use crate::model::Start;
use crate::tensor::Tensor;

impl GuideSite<'_> {
    /// How far a part of the guide starts from what the stated law gives, if the training asks for another place.
    pub(super) fn displacement(
        &self,
        stated: &dyn Law,
        guide: &MeanField<'_>,
        part: usize,
    ) -> Result<Option<Tensor>> {
        let location = stated
            .bijection()
            .filter(|_| guide.location() == Some(part));
        let start = self.params.place_to_start(location.is_some());
        let wanted = match (start, location) {
            (None, _) | (Some(Start::Draw(_)), None) => return Ok(None),
            (Some(Start::Draw(key)), Some(bijection)) => {
                let noise = stated.noise(&mut key.stream(self.name()))?;
                let free = bijection.free(&stated.draw(&noise)).detach();
                match guide.about(&free, &free.ones_like()) {
                    Some(mut parts) => parts.swap_remove(part),
                    None => free,
                }
            }
            (Some(Start::About(places)), _) => {
                let Some(spread) = places.get(self.name()) else {
                    return Ok(None);
                };
                match guide.about(&spread.loc, &spread.scale) {
                    Some(mut parts) => parts.swap_remove(part),
                    None => return Ok(None),
                }
            }
        };
        let first = guide.parts()[part].first_value()?;
        if wanted.check()?.shape() != first.shape() {
            return Ok(None);
        }
        let apart = wanted - first;
        let is_finite = apart.peek()?.iter().all(|x| x.is_finite());
        Ok(is_finite.then_some(apart))
    }
}

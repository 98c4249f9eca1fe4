//! Where the location of a guide starts, where a fit has a choice among several places.

use super::GuideSite;
use crate::dist::{Law, MeanField};
use crate::error::Result;
use crate::tensor::Tensor;

impl GuideSite<'_> {
    /// How far from the middle of the stated law a part of its guide starts: where the training asks for a draw
    /// of the law instead, and the part is the guide's location.
    pub(super) fn displacement(
        &self,
        stated: &dyn Law,
        guide: &MeanField<'_>,
        part: usize,
    ) -> Result<Option<Tensor>> {
        let (true, Some(bijection)) = (guide.location() == Some(part), stated.bijection()) else {
            return Ok(None);
        };
        let Some(key) = self.params.place_to_start() else {
            return Ok(None);
        };
        let noise = stated.noise(&mut key.stream(self.name()))?;
        let drawn = bijection.free(&stated.draw(&noise)).detach();
        let apart = drawn - guide.parts()[part].first_value()?;
        let numbers = apart.peek()?;
        let fits = apart.shape() == guide.parts()[part].shape();
        let is_finite = numbers.iter().all(|x| x.is_finite());
        Ok((fits && is_finite).then_some(apart))
    }
}

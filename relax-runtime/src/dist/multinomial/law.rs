//! Multinomial counts over tensors.

use std::rc::Rc;

use smallvec::smallvec;

use super::mass::log_mass;
use super::{MultinomialRelaxation, NAME};
use crate::dist::weights::Weights;
use crate::dist::{Draws, Law, MeanField, Part, PerParameter, Relaxation};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// A [`Multinomial`](super::Multinomial) as guides and estimators see it.
#[derive(Clone, Debug)]
pub(super) struct MultinomialLaw {
    weights: Weights<Tensor>,
    total: Tensor,
    relaxation: MultinomialRelaxation,
}

impl MultinomialLaw {
    pub(super) fn new(weights: Weights<Tensor>, total: Tensor) -> Result<Self> {
        let relaxation =
            MultinomialRelaxation::new(&weights.logits, weights.excluded.as_ref(), &total)?;
        Ok(Self {
            weights,
            total,
            relaxation,
        })
    }

    fn with_weights(&self, weights: Weights<Tensor>) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(Self::new(weights, self.total.clone())?))
    }
}

impl Law for MultinomialLaw {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        // Draws also depend on what the number of trials came from, but have no derivative with respect to it.
        smallvec![self.weights.logits.depending_on(&self.total)]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let law = self.with_weights(self.weights.with_logits(&parameters[0]));
        law.unwrap_or_else(|error| {
            let mut law = self.clone();
            law.weights.logits = Tensor::poisoned(error);
            Rc::new(law)
        })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&self.relaxation))
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn draw_shape(&self) -> Shape {
        self.weights.logits.shape()
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        log_mass(&self.weights, &self.total, value)
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.weights.logits.shape(), &self.weights.logits.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let z = self
            .relaxation
            .relaxed(&self.weights.logits.detach(), noise);
        self.relaxation.hard(&z)
    }

    fn mean_field(&self) -> MeanField<'_> {
        let logits = Part::real("logits", &self.weights.logits);
        MeanField::new([logits], |free| {
            self.with_weights(self.weights.guided(&free[0]))
        })
    }

    /// A value is excluded where an excluded category has some of its trials.
    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        let Some(excluded) = &self.weights.excluded else {
            return Ok(None);
        };
        let width = self.weights.logits.shape().last().copied().unwrap_or(1);
        let (vertices, excluded) = (self.relaxation.vertices(width), excluded.peek()?);
        let events = excluded.chunks(width.max(1));
        let is_out = |event: &[f32], vertex: &[f32]| {
            let mut pairs = event.iter().zip(vertex);
            pairs.any(|(excluded, count)| *excluded > 0.0 && *count > 0.0)
        };
        let all = events.flat_map(|event| vertices.iter().map(move |vertex| is_out(event, vertex)));
        Ok(Some(all.collect()))
    }

    fn mean(&self) -> Tensor {
        self.weights.logits.softmax(-1) * self.total.unsqueeze(-1)
    }
}

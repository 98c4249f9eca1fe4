//! A law whose log-density still moves with the draws of earlier sites where an objective leaves out how it moves with
//! learned parameters.

use std::rc::Rc;

use crate::dist::{Bijection, Draws, Law, MeanField, PerParameter};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Shape, Tensor};

/// A law, and the same law with the guide's own parameters as constants and earlier draws alive: the sum of log q over
/// all sites then has the derivative of the whole density by the draws, and a gradient without variance if guide and
/// posterior agree (Roeder, Wu, Duvenaud 2017).
#[derive(Debug)]
pub(super) struct Held {
    pub(super) law: Rc<dyn Law>,
    pub(super) held: Rc<dyn Law>,
}

impl Law for Held {
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        Rc::clone(&self.held)
    }

    // Everything else comes from the law.

    fn name(&self) -> &'static str {
        self.law.name()
    }
    fn parameters(&self) -> PerParameter<Tensor> {
        self.law.parameters()
    }
    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        self.law.with_parameters(parameters)
    }
    fn bijection(&self) -> Option<Bijection> {
        self.law.bijection()
    }
    fn draws(&self) -> Draws<'_> {
        self.law.draws()
    }
    fn support_moves(&self) -> bool {
        self.law.support_moves()
    }
    fn outside(&self, value: &Tensor) -> Option<Tensor> {
        self.law.outside(value)
    }
    fn event_rank(&self) -> usize {
        self.law.event_rank()
    }
    fn draw_shape(&self) -> Shape {
        self.law.draw_shape()
    }
    fn log_density(&self, value: &Tensor) -> Tensor {
        self.law.log_density(value)
    }
    fn log_density_from(&self, value: &Tensor, k: usize) -> Tensor {
        self.law.log_density_from(value, k)
    }
    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        self.law.noise(stream)
    }
    fn draw(&self, noise: &Tensor) -> Tensor {
        self.law.draw(noise)
    }
    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        self.law.mirrored(noise)
    }
    fn takes_relaxed_values(&self) -> bool {
        self.law.takes_relaxed_values()
    }
    fn to_vertex(&self, value: &Tensor) -> Tensor {
        self.law.to_vertex(value)
    }
    fn value_at(&self, vertex: &Tensor) -> Tensor {
        self.law.value_at(vertex)
    }
    fn mean_field(&self) -> MeanField<'_> {
        self.law.mean_field()
    }
    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        self.law.excluded()
    }
    fn mean(&self) -> Tensor {
        self.law.mean()
    }
    fn device(&self) -> Device {
        self.law.device()
    }
}

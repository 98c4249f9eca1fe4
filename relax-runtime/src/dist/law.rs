//! Laws over tensors, as guides and estimators see them, and what each says of itself.

use std::fmt::Debug;
use std::rc::Rc;

use smallvec::SmallVec;

use super::{Bijection, CountParts, MeanField, Relaxation};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Shape, Tensor};

/// A list as long as a law has parameters; `vec![..].into()` makes one.
pub type PerParameter<T> = SmallVec<[T; 2]>;

/// What the draws of a law are: it decides which gradient estimators are valid for it.
#[derive(Clone, Copy, Debug)]
pub enum Draws<'a> {
    /// Numbers that are differentiable functions of the law's parameters and of noise
    /// (reparameterised): [`Law::draw`] is part of the autodiff graph.
    Pathwise,
    /// Numbers of a density that is known, by a procedure that has no derivative, such as rejection.
    /// The support must not depend on the parameters: see [`Law::support_moves`].
    Opaque,
    /// Values of a discrete set, with a relaxation if the law has one. Without one its sites get
    /// score-function estimators.
    Discrete(Option<&'a dyn Relaxation>),
}

impl<'a> Draws<'a> {
    /// Whether the draws are values of a discrete set.
    pub fn are_discrete(self) -> bool {
        matches!(self, Self::Discrete(_))
    }

    /// How the law is relaxed, where it is.
    pub fn relaxation(self) -> Option<&'a dyn Relaxation> {
        match self {
            Self::Discrete(relaxation) => relaxation,
            Self::Pathwise | Self::Opaque => None,
        }
    }
}

/// A distribution over tensors, as guides and estimators see it.
///
/// Its parameters are shaped `[plates.., event..]`; a draw has one element (or one row, where
/// [`event_rank`](Self::event_rank) is 1) an element of the parameters.
pub trait Law: Debug {
    /// The distribution's name.
    fn name(&self) -> &'static str;

    /// Natural parameters, part of the autodiff graph: what gradient estimators differentiate by. A
    /// law with a relaxation has a single one, the relaxation's θ.
    fn parameters(&self) -> PerParameter<Tensor>;

    /// The law with other parameters of the same shapes.
    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law>;

    /// The law with its parameters as constants, by which an objective leaves out how its density moves
    /// with what is learned here. A law whose parameters are draws of earlier sites, too, may keep those
    /// alive: the gradient stays right, as no parameter moves an expected log-density by its own, and
    /// has less variance.
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        let parameters = self.parameters();
        let constants: PerParameter<Tensor> = parameters.iter().map(Tensor::detach).collect();
        self.with_parameters(&constants)
    }

    /// How a continuous law's support is reached from all real numbers; `None`, the default, where the law
    /// does not say. Guides over unconstrained numbers need it.
    fn bijection(&self) -> Option<Bijection> {
        None
    }

    /// What its draws are.
    fn draws(&self) -> Draws<'_>;

    /// What it is made of, where it is a law of one whole number: mixtures of such have a relaxation, too.
    fn counts(&self) -> Option<CountParts> {
        None
    }

    /// Whether each number of a draw is a function of one standard Gaussian number, which is its
    /// [`noise`](Self::noise), with density 0 nowhere: integrals over such draws are sums over nodes.
    fn is_gaussian(&self) -> bool {
        false
    }

    /// Whether the support moves with parameters that something is differentiated by. Score functions
    /// would miss how its ends move: such a law needs [`Pathwise`](Draws::Pathwise) draws, and no
    /// other estimator is taken.
    fn support_moves(&self) -> bool {
        false
    }

    /// How the law is relaxed, where it is: [`draws`](Self::draws) says so.
    fn relaxation(&self) -> Option<&dyn Relaxation> {
        self.draws().relaxation()
    }

    /// Number of trailing axes of one draw that form a single event.
    fn event_rank(&self) -> usize {
        0
    }

    /// The shape of a draw as a vertex.
    fn draw_shape(&self) -> Shape {
        draw_shape(&self.parameters())
    }

    /// Log-density or log-mass of each event, differentiable in value and parameters; see
    /// [`Distribution::log_density`](super::Distribution::log_density).
    fn log_density(&self, value: &Tensor) -> Tensor;

    /// [`log_density`](Self::log_density) summed over the axes from the `k`-th on.
    fn log_density_from(&self, value: &Tensor, k: usize) -> Tensor {
        self.log_density(value).sum_from(k)
    }

    /// The noise behind one draw.
    fn noise(&self, stream: &mut Stream) -> Result<Tensor>;

    /// The draw that belongs to the noise: differentiable in the parameters where draws are
    /// [`Pathwise`](Draws::Pathwise), a constant elsewhere.
    fn draw(&self, noise: &Tensor) -> Tensor;

    /// The noise of the antithetic draw, where noise and mirrored noise have the same law.
    fn mirrored(&self, _noise: &Tensor) -> Option<Tensor> {
        None
    }

    /// Whether a model can be evaluated at the relaxed draw.
    fn takes_relaxed_values(&self) -> bool {
        self.relaxation().is_some()
    }

    /// A draw as a vertex, the form in which the law's [`Relaxation`] handles it: of the parameters'
    /// shape.
    fn to_vertex(&self, value: &Tensor) -> Tensor {
        value.clone()
    }

    /// The inverse of [`to_vertex`](Self::to_vertex); where the law
    /// [takes relaxed values](Self::takes_relaxed_values), also between the vertices, and
    /// differentiable.
    fn value_at(&self, vertex: &Tensor) -> Tensor {
        vertex.clone()
    }

    /// The automatic guide of a site that has this law: a law of its own with free parameters.
    fn mean_field(&self) -> MeanField<'_>;

    /// Of each event, in row-major order, and each of its values, in the order of
    /// [`Relaxation::vertices`], whether its probability is exactly 0; `None` where that of none is.
    ///
    /// # Errors
    /// If a parameter carries one.
    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        Ok(None)
    }

    /// Mean of each element.
    fn mean(&self) -> Tensor;

    /// Device of the parameters.
    fn device(&self) -> Device {
        self.parameters()[0].device()
    }
}

/// Whether draws of a law have no axis of the vectors that their vertices are.
pub(crate) fn holds_indices(law: &dyn Law) -> bool {
    let relaxation = law.relaxation();
    relaxation.is_some_and(|relaxation| relaxation.event_rank() > law.event_rank())
}

/// The shape that a law's parameters broadcast to: that of a draw as a vertex.
pub fn draw_shape(parameters: &[Tensor]) -> Shape {
    let shapes = parameters.iter().map(Tensor::shape);
    let joint = shapes.reduce(|shape, other| shape.broadcast(&other).unwrap_or(shape));
    joint.unwrap_or(Shape::SCALAR)
}

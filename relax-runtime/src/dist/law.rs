//! Laws over tensors, as guides and estimators see them.

use std::fmt::Debug;
use std::rc::Rc;

use smallvec::SmallVec;

use super::{Bijection, CountParts, MeanField, Relaxation};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Shape, Tensor};

/// A list with one element per parameter of a law; `vec![..].into()` makes one.
pub type PerParameter<T> = SmallVec<[T; 2]>;

/// What the draws of a law are, which decides the gradient estimators that are valid for it.
#[derive(Clone, Copy, Debug)]
pub enum Draws<'a> {
    /// Numbers that are differentiable functions of the law's parameters and of noise
    /// (reparameterized): [`Law::draw`] is part of the autodiff graph.
    Pathwise,
    /// Numbers with a known density, drawn by a procedure that has no derivative, such as rejection.
    /// The support must not depend on the parameters: see [`Law::support_moves`].
    Opaque,
    /// Values of a discrete set, with a relaxation if the law has one. Sites without one get
    /// score-function estimators.
    Discrete(Option<&'a dyn Relaxation>),
}

impl<'a> Draws<'a> {
    /// Whether the draws are values of a discrete set.
    pub fn are_discrete(self) -> bool {
        matches!(self, Self::Discrete(_))
    }

    /// The law's relaxation, if it has one.
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
/// [`event_rank`](Self::event_rank) is 1) per element of the parameters.
///
/// ```
/// use relax_runtime::dist::{Distribution, Normal};
/// use relax_runtime::{Key, Result, Tensor, grad};
/// # fn main() -> Result<()> {
/// let loc = Tensor::from_slice(&[1.0, 2.0]).leaf();
/// let law = Normal::new(&loc, 0.5)?.law()?;
/// let draw = law.draw(&law.noise(&mut Key::new(0).stream("x"))?);
/// // Draws of a Normal are reparameterized: they move with the mean.
/// assert_eq!(grad(&[(&draw, None)], &[&loc])?[0].to_vec()?, [1.0, 1.0]);
/// # Ok(())
/// # }
/// ```
pub trait Law: Debug {
    /// The distribution's name.
    fn name(&self) -> &'static str;

    /// Natural parameters, part of the autodiff graph: what gradient estimators differentiate with respect
    /// to. A law with a relaxation has a single one, the relaxation's θ.
    fn parameters(&self) -> PerParameter<Tensor>;

    /// The law with other parameters of the same shapes.
    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law>;

    /// The law with its parameters as constants, which an objective uses to leave out how the density moves
    /// with what is learned here. A law whose parameters are also draws of earlier sites may keep those alive:
    /// the gradient stays right, as a parameter's own effect on an expected log-density is zero, and has less
    /// variance. It is not zero for the ends of a support, which a law whose [support moves](Self::support_moves) keeps
    /// alive.
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        let parameters = self.parameters();
        let constants: PerParameter<Tensor> = parameters.iter().map(Tensor::detach).collect();
        self.with_parameters(&constants)
    }

    /// How all real numbers are mapped onto a continuous law's support; `None`, the default, where the law
    /// does not say. Guides over unconstrained numbers need it.
    fn bijection(&self) -> Option<Bijection> {
        None
    }

    /// What its draws are.
    fn draws(&self) -> Draws<'_>;

    /// What a law of one whole number is made of: mixtures of such laws have a relaxation, too.
    fn counts(&self) -> Option<CountParts> {
        None
    }

    /// Whether each number of a draw is a function of one standard Gaussian number, its
    /// [`noise`](Self::noise), and has density 0 nowhere: integrals over such draws are sums over nodes.
    fn is_gaussian(&self) -> bool {
        false
    }

    /// Whether the support moves with parameters that something is differentiated with respect to. Score functions
    /// would miss the movement of its ends: such a law needs [`Pathwise`](Draws::Pathwise) draws, and no
    /// other estimator is used.
    fn support_moves(&self) -> bool {
        false
    }

    /// 1 where a number lies outside of a support whose ends are parameters or differ from row to row, and 0 elsewhere;
    /// `None`, the default, for other supports. Mixtures need it, whose components may end at different places.
    fn outside(&self, _value: &Tensor) -> Option<Tensor> {
        None
    }

    /// The law's relaxation, if [`draws`](Self::draws) has one.
    fn relaxation(&self) -> Option<&dyn Relaxation> {
        self.draws().relaxation()
    }

    /// Number of trailing axes of one draw that form a single event.
    fn event_rank(&self) -> usize {
        0
    }

    /// The shape of a draw in its form as a vertex.
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
    /// [`Pathwise`](Draws::Pathwise), and a constant otherwise.
    fn draw(&self, noise: &Tensor) -> Tensor;

    /// The noise of the antithetic draw; `None` unless noise and mirrored noise have the same law.
    fn mirrored(&self, _noise: &Tensor) -> Option<Tensor> {
        None
    }

    /// Whether a model can be evaluated at the relaxed draw.
    fn takes_relaxed_values(&self) -> bool {
        self.relaxation().is_some()
    }

    /// A draw as a vertex, the form that the law's [`Relaxation`] works with, of the parameters' shape.
    fn to_vertex(&self, value: &Tensor) -> Tensor {
        value.clone()
    }

    /// The inverse of [`to_vertex`](Self::to_vertex); where the law
    /// [takes relaxed values](Self::takes_relaxed_values), it is also defined between the vertices, and
    /// differentiable.
    fn value_at(&self, vertex: &Tensor) -> Tensor {
        vertex.clone()
    }

    /// The automatic guide of a site that has this law: a law of its own with free parameters.
    fn mean_field(&self) -> MeanField<'_>;

    /// For each event, in row-major order, and each of its values, in the order of
    /// [`Relaxation::vertices`], whether its probability is exactly 0; `None` if no probability is.
    ///
    /// # Errors
    /// If a parameter carries an error.
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

/// Whether draws of a law lack the vector axis that their vertices have.
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

//! Distributions, one file each, and what a site needs to know of them.
//!
//! A distribution over host numbers yields host values (`bool`, `usize`, `f64`), which any Rust
//! control flow may read; a distribution over [`Tensor`]s yields a tensor, which can be relaxed.

mod bernoulli;
mod categorical;
mod coins;
mod excluded;
pub mod noise;
mod normal;
mod one_hot;
mod operand;
mod plain;
mod relaxation;
mod value;
mod weights;

use std::fmt::Debug;
use std::rc::Rc;

use smallvec::SmallVec;

pub use bernoulli::{Bernoulli, BernoulliRelaxation};
pub use categorical::{Categorical, CategoricalRelaxation};
pub use coins::{BernoulliOperand, Coin, Coins};
pub use normal::{Join, Normal, NormalOperand};
pub use one_hot::OneHotCategorical;
pub use operand::{Operand, VectorOperand};
pub use plain::{Drawn, PlainRelaxation};
pub use relaxation::Relaxation;
pub use value::{IntoSiteValue, Number, SiteValue, Value};
pub use weights::{CategoricalOperand, Weights};

use crate::error::Result;
use crate::random::Stream;
use crate::tensor::native::pointwise::all;
use crate::tensor::{Device, Shape, Tensor};

/// A distribution that a site can draw from or observe.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a distribution",
    label = "expected a distribution, such as `Bernoulli(0.5)`"
)]
pub trait Distribution: Clone + Debug + 'static {
    /// What a draw is: a host value or a tensor.
    type Value: SiteValue;

    /// The distribution's name, as the user writes it.
    const NAME: &'static str;

    /// The set of its values, in words.
    const SUPPORT: &'static str;

    /// Whether `value` lies in the support.
    fn contains(&self, value: &Self::Value) -> Result<bool>;

    /// Log-density or log-mass, an element a draw, without looking whether `value` lies in the
    /// support; on tensors it is differentiable in value and parameters, and continuous between
    /// the values of a discrete support.
    fn log_density(&self, value: &Self::Value) -> Result<Number>;

    /// [`log_density`](Self::log_density) summed over the axes from the `k`-th on.
    fn log_density_from(&self, value: &Self::Value, k: usize) -> Result<Number> {
        Ok(self.log_density(value)?.sum_from(k))
    }

    /// A draw from the stream; unless overridden, the law's.
    fn sample(&self, stream: &mut Stream) -> Result<Self::Value> {
        let law = self.law()?;
        let draw = law.draw(&law.noise(stream)?);
        Self::Value::from_value(&Value::Tensor(draw))
    }

    /// The same distribution as a law over tensors.
    fn law(&self) -> Result<Rc<dyn Law>>;

    /// How many values a draw can take, where they are host values that can be counted, and
    /// [`log_density`](Self::log_density) is a host number. The law's mean-field guide then has a
    /// logit for each, or for each but the first, whose logit is 0.
    fn values(&self) -> Option<usize> {
        None
    }

    /// The `k`-th of them, in the order of [`Relaxation::vertices`].
    fn nth_value(&self, _k: usize) -> Option<Self::Value> {
        None
    }

    /// Whether some of the [`values`](Self::values) have a probability of exactly 0.
    fn excludes_values(&self) -> bool {
        false
    }

    /// The distribution with one independent draw a row of the enclosing plates. Host numbers, the
    /// default, have no rows.
    ///
    /// # Errors
    /// If the parameters' leading axes are neither the plates' sizes nor 1.
    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        Err(crate::Error::Parameter {
            distribution: Self::NAME,
            parameter: "parameter",
            problem: "is a host number inside a plate; a plate's rows are drawn together, so give \
                      a Tensor whose first axis is the plate's size, or use a `for` loop"
                .into(),
        })
    }

    /// Log-density or log-mass of a value of the support, an element a draw.
    ///
    /// # Errors
    /// [`Error::Support`](crate::Error::Support) outside the support.
    fn log_prob(&self, value: &Self::Value) -> Result<Number> {
        check_support(self, value)?;
        self.log_density(value)
    }
}

fn check_support<D: Distribution>(dist: &D, value: &D::Value) -> Result<()> {
    if dist.contains(value)? {
        return Ok(());
    }
    Err(crate::Error::Support {
        distribution: D::NAME,
        value: value.clone().into_value().to_string(),
        support: D::SUPPORT,
    })
}

/// A list as long as a law has parameters; `vec![..].into()` makes one.
pub type PerParameter<T> = SmallVec<[T; 2]>;

/// A distribution over tensors, as guides and estimators see it.
///
/// Its parameters are shaped `[plates.., event..]`; a draw has one element (or one row, where
/// [`event_rank`](Self::event_rank) is 1) an element of the parameters.
pub trait Law: Debug {
    /// The distribution's name.
    fn name(&self) -> &'static str;

    /// Natural parameters, part of the autodiff graph: what gradient estimators differentiate by.
    fn parameters(&self) -> PerParameter<Tensor>;

    /// The law with other parameters of the same shapes.
    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law>;

    /// Number of trailing axes of one draw that form a single event.
    fn event_rank(&self) -> usize {
        0
    }

    /// Log-density or log-mass of each event; see [`Distribution::log_density`].
    fn log_density(&self, value: &Tensor) -> Tensor;

    /// [`log_density`](Self::log_density) summed over the axes from the `k`-th on.
    fn log_density_from(&self, value: &Tensor, k: usize) -> Tensor {
        self.log_density(value).sum_from(k)
    }

    /// The noise behind one draw.
    fn noise(&self, stream: &mut Stream) -> Result<Tensor>;

    /// The draw that belongs to the noise: a constant where the law is discrete, differentiable in
    /// the parameters where it is continuous.
    fn draw(&self, noise: &Tensor) -> Tensor;

    /// The noise of the antithetic draw, where noise and mirrored noise have the same law.
    fn mirrored(&self, _noise: &Tensor) -> Option<Tensor> {
        None
    }

    /// How the law is relaxed, if it is discrete.
    fn relaxation(&self) -> Option<&'static dyn Relaxation> {
        None
    }

    /// Whether a model can be evaluated at the relaxed draw.
    fn takes_relaxed_values(&self) -> bool {
        self.relaxation().is_some()
    }

    /// A draw as a one-hot or 0/1 tensor of the parameters' shape, the form in which
    /// [`Relaxation`] handles it.
    fn to_vertex(&self, value: &Tensor) -> Tensor {
        value.clone()
    }

    /// The inverse of [`to_vertex`](Self::to_vertex).
    fn value_at(&self, vertex: &Tensor) -> Tensor {
        vertex.clone()
    }

    /// Unconstrained starting values for a mean-field guide's parameters, named.
    fn guide_parameters(&self) -> Result<Vec<(&'static str, Tensor)>>;

    /// Names and shapes of the [`guide_parameters`](Self::guide_parameters), the same and in the same
    /// order: only the first run needs their numbers.
    fn guide_shapes(&self) -> Result<PerParameter<(&'static str, Shape)>> {
        let parameters = self.guide_parameters()?;
        Ok(parameters
            .iter()
            .map(|(part, init)| (*part, init.shape()))
            .collect())
    }

    /// The guide's law at unconstrained parameters, in the order of
    /// [`guide_parameters`](Self::guide_parameters): renormalised without the values that this law
    /// [excludes](Self::excluded).
    fn guide(&self, unconstrained: &[Tensor]) -> Rc<dyn Law>;

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

/// A [`Distribution`] with its types erased: what a trace keeps.
pub trait AnyDistribution: Debug {
    /// The distribution's name.
    fn name(&self) -> &'static str;
    /// A draw.
    fn sample(&self, stream: &mut Stream) -> Result<Value>;
    /// Checks that a value has the site's type and lies in the support.
    fn check(&self, value: &Value) -> Result<()>;
    /// Log-density, summed over the axes behind the first `plates`.
    fn log_density(&self, value: &Value, plates: usize) -> Result<Number>;
    /// The law over tensors.
    fn law(&self) -> Result<Rc<dyn Law>>;
    /// A value in the site's own type.
    fn convert(&self, value: &Value) -> Result<Value>;
    /// Whether a draw is a host value.
    fn is_host(&self) -> bool;
    /// Whether some of the values that can be counted have a probability of exactly 0.
    fn excludes_values(&self) -> bool;
}

impl<D: Distribution> AnyDistribution for D {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn sample(&self, stream: &mut Stream) -> Result<Value> {
        Ok(Distribution::sample(self, stream)?.into_value())
    }

    fn check(&self, value: &Value) -> Result<()> {
        check_support(self, &D::Value::from_value(value)?)
    }

    fn log_density(&self, value: &Value, plates: usize) -> Result<Number> {
        let value = D::Value::from_value(value)?;
        Distribution::log_density_from(self, &value, plates)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Distribution::law(self)
    }

    fn convert(&self, value: &Value) -> Result<Value> {
        Ok(D::Value::from_value(value)?.into_value())
    }

    fn is_host(&self) -> bool {
        D::Value::HOST
    }

    fn excludes_values(&self) -> bool {
        Distribution::excludes_values(self)
    }
}

/// A distribution, or the result of constructing one.
pub trait IntoDistribution {
    /// The distribution.
    type Distribution: Distribution;
    /// The distribution, or the error of its constructor.
    fn into_distribution(self) -> Result<Self::Distribution>;
}

impl<D: Distribution> IntoDistribution for D {
    type Distribution = D;
    fn into_distribution(self) -> Result<D> {
        Ok(self)
    }
}

impl<D: Distribution> IntoDistribution for Result<D> {
    type Distribution = D;
    fn into_distribution(self) -> Result<D> {
        self
    }
}

/// Broadcasts a parameter's leading axes to the sizes of the plates that enclose its site.
///
/// A scalar is repeated for every row (`event_rank` is 1 for vector parameters); otherwise each
/// leading axis must be the plate's size or 1, so that a parameter's meaning never depends on
/// whether two sizes happen to be equal.
fn expand_parameter(
    distribution: &'static str,
    parameter: &'static str,
    tensor: &Tensor,
    plates: &[usize],
    event_rank: usize,
) -> Result<Tensor> {
    let shape = tensor.check()?.shape();
    if plates.is_empty() {
        return Ok(tensor.clone());
    }
    let fits = shape.rank() >= plates.len() + event_rank
        && shape
            .iter()
            .zip(plates)
            .all(|(&axis, &size)| axis == size || axis == 1);
    if !fits && (shape.rank() > 0 || event_rank > 0) {
        return Err(crate::Error::Parameter {
            distribution,
            parameter,
            problem: format!(
                "has shape {shape} inside plates of sizes {plates:?}; its leading axes must be \
                 those sizes or 1 (a vector shared by all rows is reshaped to [1, length])"
            ),
        });
    }
    let mut target = plates.to_vec();
    target.extend(shape.iter().skip(plates.len()));
    Ok(tensor.broadcast_to(Shape::try_from(&target[..])?))
}

/// The shape that a law's parameters broadcast to: that of a draw as a vertex.
pub(crate) fn draw_shape(parameters: &[Tensor]) -> Shape {
    let shapes = parameters.iter().map(Tensor::shape);
    let joint = shapes.reduce(|shape, other| shape.broadcast(&other).unwrap_or(shape));
    joint.unwrap_or(Shape::SCALAR)
}

/// Checks that either one draw has the value's shape, or a draw is repeated for the value's
/// further elements; a column against a row, which would make a matrix, is a mistake.
fn check_fit(distribution: &'static str, draw: Shape, value: &Tensor) -> Result<()> {
    let value = value.check()?.shape();
    let joined = || draw.broadcast(&value);
    if draw == value || joined().is_some_and(|joined| joined == draw || joined == value) {
        return Ok(());
    }
    Err(crate::Error::Parameter {
        distribution,
        parameter: "value",
        problem: format!("of shape {value} does not fit draws of shape {draw}; reshape one"),
    })
}

/// A tensor's values, or an error that names the first that fails the test.
fn check_values(
    distribution: &'static str,
    parameter: &'static str,
    tensor: &Tensor,
    valid: impl Fn(f32) -> bool + Sync,
    problem: &str,
) -> Result<()> {
    let wrong = tensor.with_values(|values| match all(values, &valid) {
        true => None,
        false => values.iter().copied().find(|&x| !valid(x)),
    })?;
    match wrong {
        None => Ok(()),
        Some(x) => Err(parameter_error(
            distribution,
            parameter,
            f64::from(x),
            problem,
        )),
    }
}

fn parameter_error(
    distribution: &'static str,
    parameter: &'static str,
    value: f64,
    problem: &str,
) -> crate::Error {
    crate::Error::Parameter {
        distribution,
        parameter,
        problem: format!("is {value}; {problem}"),
    }
}

//! Distributions, one per file, and what a site needs to know about them.
//!
//! A distribution over host numbers yields host values (`bool`, `usize`, `f64`), which any Rust
//! control flow may read; a distribution over [`Tensor`](crate::Tensor)s yields a tensor, which can be relaxed.

mod bernoulli;
mod beta;
mod beta_binomial;
mod bijection;
mod binomial;
mod categorical;
mod cauchy;
mod checks;
mod coins;
mod constraint;
mod continuous;
mod counts;
mod curves;
mod delta;
mod dirichlet;
mod discrete_uniform;
mod double;
mod excluded;
mod exponential;
mod family;
mod gamma;
mod geometric;
mod guides;
mod gumbel;
mod half_cauchy;
mod half_normal;
mod hypergeometric;
mod inverse_gamma;
mod join;
mod laplace;
mod law;
mod location_scale;
mod log_normal;
mod logistic;
mod mean_field;
mod mixture;
mod multinomial;
mod multivariate_normal;
mod negative_binomial;
pub mod noise;
mod normal;
mod one_hot;
mod operand;
mod ordered_logistic;
mod plain;
mod poisson;
mod real;
mod relaxation;
mod repeat;
mod squash;
mod student_t;
mod support;
mod truncated;
mod uniform;
mod value;
mod weights;
mod zero_inflated;

use std::fmt::Debug;
use std::rc::Rc;

pub use bernoulli::{Bernoulli, BernoulliRelaxation};
pub use beta::Beta;
pub use beta_binomial::{BetaBinomial, BetaBinomialFamily};
pub use bijection::Bijection;
pub use binomial::{Binomial, BinomialFamily, TotalCount};
pub use categorical::{Categorical, CategoricalRelaxation};
pub use cauchy::Cauchy;
pub use checks::{check_event_fit, check_fit, check_values, expand_parameter, parameter_error};
pub use coins::{BernoulliOperand, Coin, Coins};
pub use constraint::Constraint;
pub use continuous::{Continuous, Standard};
pub use counts::{
    CountFamily, CountOperand, CountParts, CountRelaxation, Counts, Place, QuantileLevel, Table,
    TableName,
};
pub use curves::{CauchyCurve, Curve, GumbelCurve, LaplaceCurve, LogisticCurve, NormalCurve};
pub use delta::Delta;
pub use dirichlet::Dirichlet;
pub(crate) use discrete_uniform::law_of_counts;
pub use discrete_uniform::{DiscreteUniform, DiscreteUniformName, RangeEnd};
pub use double::Smooth;
pub use exponential::Exponential;
pub use gamma::Gamma;
pub use geometric::{Geometric, GeometricFamily};
pub use guides::{log_normal_guide, normal_guide};
pub use gumbel::Gumbel;
pub use half_cauchy::HalfCauchy;
pub use half_normal::HalfNormal;
pub use hypergeometric::{Hypergeometric, HypergeometricName};
pub use inverse_gamma::InverseGamma;
pub use join::{Join, JoinThree};
pub use laplace::Laplace;
pub(crate) use law::holds_indices;
pub use law::{Draws, Law, PerParameter, draw_shape};
pub use log_normal::LogNormal;
pub use logistic::Logistic;
pub use mean_field::{MeanField, Part};
pub use mixture::{Different, Mixture, MixtureComponents, MixtureValue, Stacked};
pub use multinomial::{Multinomial, MultinomialRelaxation};
pub use multivariate_normal::{IntoVector, MultivariateNormal};
pub use negative_binomial::{NegativeBinomial, NegativeBinomialFamily};
pub use normal::Normal;
pub use one_hot::OneHotCategorical;
pub use operand::{MatrixOperand, Numbers, Operand, VectorOperand};
pub use ordered_logistic::{AmongCutpoints, OrderedLogistic, OrderedLogisticName};
pub(crate) use plain::{Drawn, PlainRelaxation, plain};
pub use poisson::{Poisson, PoissonFamily};
pub use real::Real;
pub use relaxation::{Form, Relaxation};
pub use repeat::Repeat;
pub(crate) use squash::{squash_pull, squash_push, squash_rate};
pub use student_t::StudentT;
pub use support::Support;
pub use truncated::{
    BetaCurve, CountEnd, GammaCurve, ShapedCurve, StudentCurve, Truncatable, Truncated,
    TruncatedCounts, TruncatedFamily, TruncatedLogNormal, TruncatedShaped,
};
pub use uniform::Uniform;
pub use value::{IntoSiteValue, Number, SiteValue, Value};
pub use weights::{CategoricalOperand, Weights};
pub use zero_inflated::{ZeroInflated, ZeroInflatedFamily};

use crate::error::Result;
use crate::random::Stream;

/// A distribution that a site can draw from or observe.
///
/// To define a continuous one of your own, implement [`Continuous`], for counts [`CountFamily`]; this trait follows.
///
/// ```
/// use relax_runtime::dist::{Distribution, Poisson};
/// use relax_runtime::{Key, Result};
/// # fn main() -> Result<()> {
/// let calls = Poisson::rate(3.0)?;
/// assert!((calls.log_prob(&0)?.total()? + 3.0).abs() < 1e-9);
/// let draw: usize = calls.sample(&mut Key::new(1).stream("calls"))?;
/// assert!(calls.contains(&draw)?);
/// // The same distribution, as guides and estimators see it.
/// assert!((calls.law()?.mean().item()? - 3.0).abs() < 1e-4);
/// # Ok(())
/// # }
/// ```
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

    /// Whether a `value` outside the support lies in that of other parameters, as a larger number of trials allows
    /// more successes: then other choices may explain it as an observation.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn may_contain(&self, _value: &Self::Value) -> Result<bool> {
        Ok(false)
    }

    /// Log-density or log-mass, one element per draw, without checking that `value` lies in the support;
    /// on tensors it is differentiable in value and parameters, and continuous between the values of a
    /// discrete support.
    fn log_density(&self, value: &Self::Value) -> Result<Number>;

    /// [`log_density`](Self::log_density) summed over the axes from the `k`-th on.
    fn log_density_from(&self, value: &Self::Value, k: usize) -> Result<Number> {
        Ok(self.log_density(value)?.sum_from(k))
    }

    /// A draw from the stream; by default, the law's.
    fn sample(&self, stream: &mut Stream) -> Result<Self::Value> {
        let law = self.law()?;
        let draw = law.draw(&law.noise(stream)?);
        Self::Value::from_value(&Value::Tensor(draw))
    }

    /// The same distribution as a law over tensors.
    fn law(&self) -> Result<Rc<dyn Law>>;

    /// Number of values of a draw, where they are host values that can be counted and
    /// [`log_density`](Self::log_density) is a host number. The law's mean-field guide then has a
    /// logit for each, or for each but the first, whose logit is 0.
    fn values(&self) -> Option<usize> {
        None
    }

    /// The `k`-th of the [`values`](Self::values), in the order of [`Relaxation::vertices`].
    fn nth_value(&self, _k: usize) -> Option<Self::Value> {
        None
    }

    /// Whether some of the [`values`](Self::values) have a probability of exactly 0.
    fn excludes_values(&self) -> bool {
        false
    }

    /// The distribution with one independent draw per row of the enclosing plates. By default an error inside
    /// plates, since host numbers have no rows.
    ///
    /// # Errors
    /// If the parameters' leading axes are neither the plates' sizes nor 1.
    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        host_in_plates(Self::NAME)
    }

    /// Log-density or log-mass of a value of the support, one element per draw.
    ///
    /// # Errors
    /// [`Error::Support`](crate::Error::Support) outside the support.
    fn log_prob(&self, value: &Self::Value) -> Result<Number> {
        check_support(self, value)?;
        self.log_density(value)
    }
}

/// The error for host numbers in a plate, since they have no rows.
fn host_in_plates<T>(distribution: &'static str) -> Result<T> {
    Err(crate::Error::Parameter {
        distribution,
        parameter: "parameter",
        problem: "is a host number inside a plate, whose rows are drawn together; only a distribution of \
                  the library written directly in the `plate!` is repeated: give a Tensor whose \
                  first axis is the plate's size, or use a `for` loop"
            .into(),
    })
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

/// A [`Distribution`] with its types erased: what a trace keeps.
pub trait AnyDistribution: Debug {
    /// The distribution's name.
    fn name(&self) -> &'static str;
    /// A draw.
    fn sample(&self, stream: &mut Stream) -> Result<Value>;
    /// Checks that a value has the site's type and lies in the support.
    fn check(&self, value: &Value) -> Result<()>;
    /// Whether a value outside the support lies in that of other parameters.
    fn may_contain(&self, value: &Value) -> Result<bool>;
    /// Log-density, summed over the axes after the first `plates`.
    fn log_density(&self, value: &Value, plates: usize) -> Result<Number>;
    /// The law over tensors.
    fn law(&self) -> Result<Rc<dyn Law>>;
    /// Converts a value to the site's own type.
    fn convert(&self, value: &Value) -> Result<Value>;
    /// Whether a draw is a host value.
    fn is_host(&self) -> bool;
    /// Whether some of the values that can be counted have a probability of exactly 0.
    fn excludes_values(&self) -> bool;
    /// Number of values of a draw, where they are host values that can be counted.
    fn count_values(&self) -> Option<usize>;
    /// The first of these values, where they are whole numbers or bits.
    fn least_value(&self) -> Option<usize>;
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

    fn may_contain(&self, value: &Value) -> Result<bool> {
        Distribution::may_contain(self, &D::Value::from_value(value)?)
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

    fn count_values(&self) -> Option<usize> {
        Distribution::values(self)
    }

    fn least_value(&self) -> Option<usize> {
        match self.nth_value(0)?.into_value() {
            Value::Bool(bit) => Some(usize::from(bit)),
            Value::Index(number) => Some(number),
            Value::Real(_) | Value::Vector(_) | Value::Tensor(_) => None,
        }
    }
}

/// A distribution, or the result of constructing one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a distribution",
    label = "expected a distribution, such as `Poisson::rate(3.0)`"
)]
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

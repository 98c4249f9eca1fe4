//! Laws of single continuous numbers whose draws are differentiable functions of their parameters and
//! of noise: what each has to define, and what follows from it.

use std::fmt::Debug;
use std::rc::Rc;

use super::{
    Bijection, Distribution, Draws, Law, MeanField, Number, Numbers, PerParameter, Real, SiteValue,
    Support, check_fit, draw_shape, expand_parameter, host_in_plates,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// The sampler of a standard number that draws are made from.
pub type Standard = fn(&mut Stream) -> f64;

/// A law of single continuous numbers, over host numbers or tensors alike: formulas are written once,
/// in [`Real`] numbers. Every such law is a [`Distribution`], and over tensors a [`Law`] with
/// [`Draws::Pathwise`].
///
/// ```
/// use std::f64::consts::LN_2;
/// use relax_runtime::dist::{
///     Continuous, Distribution, MeanField, Operand, PerParameter, Real, Support, normal_guide,
/// };
/// use relax_runtime::{Result, Stream, Tensor};
///
/// /// Hyperbolic secant numbers of density sech(π (x − loc)/2)/2.
/// #[derive(Clone, Debug)]
/// struct Secant<P> {
///     loc: P,
/// }
///
/// impl<R: Real> Secant<R> {
///     fn new(loc: impl Operand<Repr = R>) -> Result<Self> {
///         Self { loc: loc.into_repr() }.checked()
///     }
/// }
///
/// impl<R: Real> Continuous for Secant<R> {
///     type Real = R;
///     type Tensors = Secant<Tensor>;
///     const NAME: &'static str = "Secant";
///     const SUPPORT: Support = Support::Real;
///     const PARAMETERS: &'static [(&'static str, Support)] = &[("loc", Support::Real)];
///     const STANDARDS: &'static [fn(&mut Stream) -> f64] = &[|stream| {
///         let u = stream.uniform_f64();
///         (std::f64::consts::FRAC_PI_2 * u).tan().ln() * std::f64::consts::FRAC_2_PI
///     }];
///     const SYMMETRIC: bool = true;
///
///     fn parameters(&self) -> PerParameter<R> {
///         vec![self.loc.clone()].into()
///     }
///     fn of(parameters: &[R]) -> Self {
///         Self { loc: parameters[0].clone() }
///     }
///     fn log_density(&self, x: &R) -> R {
///         let t = (x.clone() - self.loc.clone()) * std::f64::consts::FRAC_PI_2;
///         // −ln cosh t − ln 2
///         t.clone() - (t * 2.0).softplus()
///     }
///     fn draw(&self, standards: &[R]) -> R {
///         self.loc.clone() + standards[0].clone()
///     }
///     fn mean(&self) -> R {
///         self.loc.clone()
///     }
///     fn mean_field(of: &Secant<Tensor>) -> MeanField<'static> {
///         normal_guide(&of.loc, &of.loc.ones_like(), of.loc.shape())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let density = Secant::new(1.0)?.log_prob(&1.0)?.total()?;
/// assert!((density + LN_2).abs() < 1e-12);
/// assert_eq!(Secant::new(Tensor::scalar(1.0))?.law()?.name(), "Secant");
/// # Ok(())
/// # }
/// ```
pub trait Continuous: Clone + Debug + 'static {
    /// What its parameters and draws are: `f64` or [`Tensor`].
    type Real: Real;
    /// The same law over tensors.
    type Tensors: Continuous<Real = Tensor, Tensors = Self::Tensors>;

    /// The distribution's name, as the user writes it.
    const NAME: &'static str;
    /// Where its draws lie.
    const SUPPORT: Support;
    /// Name and range of each parameter.
    const PARAMETERS: &'static [(&'static str, Support)];
    /// The independent standard numbers that one draw is made from, none of which depends on a
    /// parameter.
    const STANDARDS: &'static [Standard];
    /// Whether negating the standard numbers keeps their law and gives another draw.
    const SYMMETRIC: bool;
    /// Whether each number of a draw is a function of a single standard number, which is Gaussian.
    const GAUSSIAN: bool = false;
    /// How many of the parameters, counted from the first, are ends of the support.
    const ENDS: usize = 0;

    /// The parameters in the order of [`PARAMETERS`](Self::PARAMETERS).
    fn parameters(&self) -> PerParameter<Self::Real>;
    /// A law with these parameters.
    fn of(parameters: &[Self::Real]) -> Self;
    /// Log-density of a number of the support, differentiable in the number and the parameters.
    fn log_density(&self, value: &Self::Real) -> Self::Real;
    /// The draw made from standard numbers, differentiable in the parameters.
    fn draw(&self, standards: &[Self::Real]) -> Self::Real;
    /// The mean; NaN where there is none.
    fn mean(&self) -> Self::Real;
    /// The automatic guide of a site that has this law.
    fn mean_field(of: &Self::Tensors) -> MeanField<'static>;

    /// How all real numbers are mapped onto the support: by [`SUPPORT`](Self::SUPPORT), unless overridden.
    fn bijection(&self) -> Option<Bijection> {
        match (Self::SUPPORT, &self.parameters()[..Self::ENDS]) {
            (Support::Real, _) => Some(Bijection::Real),
            (Support::Positive | Support::NonNegative, _) => Some(Bijection::Positive),
            (Support::Unit, _) => Some(Bijection::Unit),
            (Support::Interval, [low, high]) => {
                Some(Bijection::Interval(low.tensor(), high.tensor()))
            }
            (Support::Interval, _) => None,
        }
    }

    /// How far each number lies within the two ends of a support whose ends are parameters, including what a draw at an
    /// end is rounded to: negative outside. `None`, the default, where the support is [`SUPPORT`](Self::SUPPORT).
    fn gaps(&self, _value: &Self::Real) -> Option<[Self::Real; 2]> {
        None
    }

    /// Whether all numbers lie in the support: within the ends that [`gaps`](Self::gaps) knows, if there are any.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn contains(&self, value: &Self::Real) -> Result<bool> {
        match self.gaps(value) {
            None => value.all_in(Self::SUPPORT),
            Some([above, below]) => {
                Ok(above.all(|gap| gap >= 0.0)? && below.all(|gap| gap >= 0.0)?)
            }
        }
    }

    /// The law itself, if its parameters are valid: what a constructor returns.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one is out of range, or their shapes do not broadcast.
    fn checked(self) -> Result<Self> {
        self.in_range()
    }

    /// The law itself, if each parameter lies in its range and their shapes broadcast: the first thing that
    /// [`checked`](Self::checked) looks at.
    ///
    /// # Errors
    /// [`Error::Parameter`] if not.
    fn in_range(self) -> Result<Self> {
        let mut joint = Shape::SCALAR;
        for (value, (name, range)) in self.parameters().iter().zip(Self::PARAMETERS) {
            if !value.all_in(*range)? {
                value.check_numbers(Self::NAME, name, |x| range.contains(x), range.demand())?;
            }
            let own = Numbers::shape(value);
            joint = joint.broadcast(&own).ok_or_else(|| Error::Parameter {
                distribution: Self::NAME,
                parameter: name,
                problem: format!(
                    "of shape {own} does not broadcast with {}, of shape {joint}",
                    Self::PARAMETERS[0].0
                ),
            })?;
        }
        Ok(self)
    }
}

/// The functions `parameters` and `of` of a [`Continuous`] law, from its fields.
macro_rules! parameters {
    ($($field:ident),+) => {
        fn parameters(&self) -> PerParameter<R> {
            [$(&self.$field),+].into_iter().cloned().collect()
        }

        fn of(parameters: &[R]) -> Self {
            match parameters {
                [$($field),+] => Self { $($field: $field.clone()),+ },
                _ => panic!("{} has other parameters", <Self as Continuous>::NAME),
            }
        }
    };
}
pub(super) use parameters;

impl<D: Continuous> Distribution for D {
    type Value = D::Real;
    const NAME: &'static str = <D as Continuous>::NAME;
    const SUPPORT: &'static str = <D as Continuous>::SUPPORT.text();

    fn contains(&self, value: &D::Real) -> Result<bool> {
        Continuous::contains(self, value)
    }

    /// Only a law whose ends are parameters has another support at other parameters.
    fn may_contain(&self, value: &D::Real) -> Result<bool> {
        Ok(<D as Continuous>::SUPPORT == Support::Interval && value.all_in(Support::Real)?)
    }

    fn log_density(&self, value: &D::Real) -> Result<Number> {
        if !D::Real::HOST {
            let shape = draw_shape(&tensors(self));
            check_fit(<D as Continuous>::NAME, shape, &value.tensor())?;
        }
        Ok(Continuous::log_density(self, value).into())
    }

    fn sample(&self, stream: &mut Stream) -> Result<D::Real> {
        let parameters = tensors(self);
        let (shape, device) = (draw_shape(&parameters), parameters[0].device());
        let standards = D::STANDARDS
            .iter()
            .map(|next| D::Real::noise(shape, &device, || next(stream)))
            .collect::<Result<PerParameter<_>>>()?;
        Ok(Continuous::draw(self, &standards))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let law = D::Tensors::of(&tensors(self));
        // Double-precision numbers may leave the range when they are rounded.
        Ok(Rc::new(if D::Real::HOST { law.checked()? } else { law }))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        if D::Real::HOST {
            return host_in_plates(<D as Continuous>::NAME);
        }
        // The first parameter takes the full shape of a draw, against which the others broadcast.
        let mut parameters = Continuous::parameters(&self);
        let first = parameters
            .iter()
            .skip(1)
            .fold(
                parameters[0].tensor(),
                |first, other| match Tensor::shape(&first).broadcast(&Numbers::shape(other)) {
                    Some(shape) => first.broadcast_to(shape),
                    None => first + other.tensor(),
                },
            );
        let name = D::PARAMETERS[0].0;
        let first = expand_parameter(<D as Continuous>::NAME, name, &first, plates, 0)?;
        parameters[0] = SiteValue::from_value(&first.into())?;
        Ok(D::of(&parameters))
    }
}

fn tensors<D: Continuous>(law: &D) -> PerParameter<Tensor> {
    Continuous::parameters(law)
        .iter()
        .map(Real::tensor)
        .collect()
}

impl<D: Continuous<Real = Tensor, Tensors = D>> Law for D {
    fn name(&self) -> &'static str {
        <D as Continuous>::NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        Continuous::parameters(self)
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(D::of(parameters))
    }

    /// All but the ends of the support: the expected log-density does change with these.
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        let mut parameters = Continuous::parameters(self);
        for own in &mut parameters[D::ENDS..] {
            *own = own.detach();
        }
        Rc::new(D::of(&parameters))
    }

    fn bijection(&self) -> Option<Bijection> {
        Continuous::bijection(self)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn is_gaussian(&self) -> bool {
        D::GAUSSIAN
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        Continuous::log_density(self, value)
    }

    /// The standard numbers of all draws, of each kind in turn.
    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let parameters = Continuous::parameters(self);
        let (shape, device) = (draw_shape(&parameters), parameters[0].device());
        let parts = D::STANDARDS
            .iter()
            .map(|next| <Tensor as Real>::noise(shape, &device, || next(stream)))
            .collect::<Result<PerParameter<_>>>()?;
        match &parts[..] {
            [only] => Ok(only.clone()),
            _ => {
                let flat: PerParameter<Tensor> = parts.iter().map(|x| x.reshape(x.len())).collect();
                Ok(Tensor::stack(&flat.iter().collect::<PerParameter<_>>(), 0))
            }
        }
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let kinds = D::STANDARDS.len();
        if kinds == 1 {
            return Continuous::draw(self, std::slice::from_ref(noise));
        }
        let shape = draw_shape(&Continuous::parameters(self));
        let part = |k| noise.index(0, k).reshape(shape);
        let parts: PerParameter<Tensor> = (0..kinds).map(part).collect();
        Continuous::draw(self, &parts)
    }

    fn outside(&self, value: &Tensor) -> Option<Tensor> {
        let [above, below] = self.gaps(value)?;
        Some(1.0 - above.ge(0.0) * below.ge(0.0))
    }

    fn support_moves(&self) -> bool {
        D::ENDS > 0
            && Continuous::parameters(self)[..D::ENDS]
                .iter()
                .any(Tensor::is_tracked)
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        D::SYMMETRIC.then(|| -noise)
    }

    fn mean_field(&self) -> MeanField<'_> {
        <D as Continuous>::mean_field(self)
    }

    fn mean(&self) -> Tensor {
        let shape = draw_shape(&Continuous::parameters(self));
        Continuous::mean(self).broadcast_to(shape)
    }
}

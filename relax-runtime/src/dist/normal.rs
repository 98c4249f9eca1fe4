//! Normal: Gaussian numbers by mean and standard deviation.

use std::f64::consts::TAU;
use std::rc::Rc;

use smallvec::smallvec;

use super::{
    Distribution, Law, Number, Operand, PerParameter, check_fit, check_values, draw_shape,
    expand_parameter, parameter_error,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::native::math;
use crate::tensor::native::pointwise::all;
use crate::tensor::{Shape, Tensor};

const NAME: &str = "Normal";
const SUPPORT: &str = "the real numbers";

/// Independent Gaussians with mean `loc` and standard deviation `scale`; over `f64`s a draw is an
/// `f64`, over tensors a tensor of their broadcast shape.
#[derive(Clone, Debug)]
pub struct Normal<P> {
    loc: P,
    scale: P,
}

impl<P: NormalOperand> Normal<P> {
    /// Gaussians with mean `loc` and standard deviation `scale`; a number beside a tensor is
    /// broadcast.
    ///
    /// # Errors
    /// If `loc` is NaN or infinite, `scale` is not positive and finite, or their shapes do not
    /// broadcast.
    pub fn new<A: Operand, B: Operand>(loc: A, scale: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        let (loc, scale) = loc.into_repr().join(scale.into_repr());
        P::check(&loc, &scale)?;
        Ok(Self { loc, scale })
    }
}

/// Two parameters of one distribution: numbers stay numbers unless one is a tensor.
pub trait Join<B> {
    /// `f64` or [`Tensor`].
    type Joined;
    /// Both in the common form.
    fn join(self, other: B) -> (Self::Joined, Self::Joined);
}

impl Join<f64> for f64 {
    type Joined = f64;
    fn join(self, other: f64) -> (f64, f64) {
        (self, other)
    }
}

impl Join<Tensor> for f64 {
    type Joined = Tensor;
    fn join(self, other: Tensor) -> (Tensor, Tensor) {
        (
            Tensor::full(Shape::from([]), self as f32, &other.device()),
            other,
        )
    }
}

impl Join<f64> for Tensor {
    type Joined = Tensor;
    fn join(self, other: f64) -> (Tensor, Tensor) {
        let other = Tensor::full(Shape::from([]), other as f32, &self.device());
        (self, other)
    }
}

impl Join<Tensor> for Tensor {
    type Joined = Tensor;
    fn join(self, other: Tensor) -> (Tensor, Tensor) {
        (self, other)
    }
}

/// `f64` or [`Tensor`], as a Normal's parameters.
pub trait NormalOperand: Sized {
    /// An error if a parameter is outside its domain.
    fn check(loc: &Self, scale: &Self) -> Result<()>;
}

const LOC: &str = "the mean must be a finite number";
const SCALE: &str = "the standard deviation must be positive and finite";

fn valid_scale(scale: f64) -> bool {
    scale > 0.0 && scale.is_finite()
}

impl NormalOperand for f64 {
    fn check(loc: &f64, scale: &f64) -> Result<()> {
        if !loc.is_finite() {
            return Err(parameter_error(NAME, "loc", *loc, LOC));
        }
        if valid_scale(*scale) {
            Ok(())
        } else {
            Err(parameter_error(NAME, "scale", *scale, SCALE))
        }
    }
}

impl NormalOperand for Tensor {
    fn check(loc: &Tensor, scale: &Tensor) -> Result<()> {
        check_values(NAME, "loc", loc, f32::is_finite, LOC)?;
        check_values(NAME, "scale", scale, |x| valid_scale(f64::from(x)), SCALE)?;
        let (loc, scale) = (loc.shape(), scale.shape());
        match loc.broadcast(&scale) {
            Some(_) => Ok(()),
            None => Err(Error::Parameter {
                distribution: NAME,
                parameter: "scale",
                problem: format!("of shape {scale} does not broadcast with loc of shape {loc}"),
            }),
        }
    }
}

impl Distribution for Normal<f64> {
    type Value = f64;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &f64) -> Result<bool> {
        Ok(value.is_finite())
    }

    fn log_density(&self, value: &f64) -> Result<Number> {
        let standard = (value - self.loc) / self.scale;
        Ok(Number::Host(
            -0.5 * (standard * standard + TAU.ln()) - self.scale.ln(),
        ))
    }

    fn sample(&self, stream: &mut Stream) -> Result<f64> {
        Ok(self.loc + self.scale * stream.normal())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let (loc, scale) = (
            Tensor::scalar(self.loc as f32),
            Tensor::scalar(self.scale as f32),
        );
        Ok(Rc::new(Normal { loc, scale }))
    }
}

impl Distribution for Normal<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.with_values(|values| all(values, f32::is_finite))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, draw_shape(&self.parameters()), value)?;
        Ok(Number::Tensor(Law::log_density(self, value)))
    }

    fn log_density_from(&self, value: &Tensor, k: usize) -> Result<Number> {
        check_fit(NAME, draw_shape(&self.parameters()), value)?;
        Ok(Number::Tensor(Law::log_density_from(self, value, k)))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        // The mean takes the full shape of a draw; a scalar scale broadcasts against it.
        let loc = expand_parameter(
            NAME,
            "loc",
            &(&self.loc + self.scale.zeros_like()),
            plates,
            0,
        )?;
        Ok(Self {
            loc,
            scale: self.scale,
        })
    }
}

impl Law for Normal<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.loc.clone(), self.scale.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            loc: parameters[0].clone(),
            scale: parameters[1].clone(),
        })
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let standard = (value - &self.loc) / &self.scale;
        (standard.square() + TAU.ln() as f32) * -0.5 - self.scale.ln()
    }

    fn log_density_from(&self, value: &Tensor, k: usize) -> Tensor {
        let half_ln_tau = 0.5 * TAU.ln() as f32;
        let density = move |[x, loc, scale]: [f32; 3]| {
            let t = (x - loc) / scale;
            t * t * -0.5 - math::ln(scale) - half_ln_tau
        };
        let slopes = |[x, loc, scale]: [f32; 3]| {
            let t = (x - loc) / scale;
            [-t / scale, t / scale, (t * t - 1.0) / scale]
        };
        Tensor::summed_terms([value, &self.loc, &self.scale], k, density, slopes)
            .unwrap_or_else(|| Law::log_density(self, value).sum_from(k))
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let shape = (&self.loc + &self.scale).check()?.shape();
        stream.normals(shape, &self.loc.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        &self.loc + &self.scale * noise
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    fn guide_parameters(&self) -> Result<Vec<(&'static str, Tensor)>> {
        let loc = (&self.loc + self.scale.zeros_like()).detach();
        let log_scale = (self.loc.zeros_like() + &self.scale).detach().ln();
        Ok(vec![("loc", loc), ("log_scale", log_scale)])
    }

    fn guide_shapes(&self) -> Result<PerParameter<(&'static str, Shape)>> {
        let shape = draw_shape(&self.parameters());
        Ok(smallvec![("loc", shape), ("log_scale", shape)])
    }

    fn guide(&self, unconstrained: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            loc: unconstrained[0].clone(),
            scale: unconstrained[1].exp(),
        })
    }

    fn mean(&self) -> Tensor {
        &self.loc + self.scale.zeros_like()
    }
}

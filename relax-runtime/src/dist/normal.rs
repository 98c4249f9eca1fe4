//! Normal: Gaussian numbers with a mean and a standard deviation.

use std::f64::consts::TAU;
use std::rc::Rc;

use smallvec::smallvec;

use super::guides::{NARROWER, location_and_scale};
use super::{
    Bijection, Distribution, Draws, Join, Law, MeanField, Number, Numbers, Operand, Part,
    PerParameter, Support, check_fit, draw_shape, expand_parameter,
};
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::special::HALF_LN_TAU;
use crate::tensor::Tensor;
use crate::tensor::native::math;

const NAME: &str = "Normal";
const SUPPORT: &str = "the real numbers";

/// Independent Gaussians with mean `loc` and standard deviation `scale`; over `f64`s a draw is an
/// `f64`, over tensors a tensor of their broadcast shape.
///
/// ```
/// use relax_runtime::dist::{Distribution, Normal};
/// use relax_runtime::{Key, Result, Shape, Tensor};
/// # fn main() -> Result<()> {
/// let density = Normal::new(0.0, 2.0)?.log_prob(&0.0)?.total()?;
/// assert!((density + (2.0 * std::f64::consts::TAU.sqrt()).ln()).abs() < 1e-12);
///
/// // Over tensors, with one mean per draw and a common standard deviation.
/// let heights = Normal::new(&Tensor::from_slice(&[1.7, 1.8, 1.9]), 0.1)?;
/// let draw = heights.sample(&mut Key::new(0).stream("heights"))?;
/// assert_eq!(draw.shape(), Shape::from([3]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Normal<P> {
    loc: P,
    scale: P,
}

impl<P: Numbers> Normal<P> {
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
        loc.check_numbers(NAME, "loc", f64::is_finite, Support::Real.demand())?;
        scale.check_numbers(
            NAME,
            "scale",
            |x| Support::Positive.contains(x),
            Support::Positive.demand(),
        )?;
        let (own, other) = (loc.shape(), scale.shape());
        match own.broadcast(&other) {
            Some(_) => Ok(Self { loc, scale }),
            None => Err(Error::Parameter {
                distribution: NAME,
                parameter: "scale",
                problem: format!("of shape {other} does not broadcast with loc of shape {own}"),
            }),
        }
    }
}

impl<P> Normal<P> {
    /// Mean and standard deviation.
    pub(super) fn into_parts(self) -> (P, P) {
        (self.loc, self.scale)
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
        // Double-precision numbers may leave the range when they are rounded.
        let [loc, scale] = [self.loc, self.scale].map(|x| x as f32);
        Self::new(f64::from(loc), f64::from(scale))?;
        let (loc, scale) = (Tensor::scalar(loc), Tensor::scalar(scale));
        Ok(Rc::new(Normal { loc, scale }))
    }
}

impl Distribution for Normal<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        Support::Real.holds_all(value)
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
        let half_ln_tau = HALF_LN_TAU as f32;
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

    fn bijection(&self) -> Option<Bijection> {
        Some(Bijection::Real)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn is_gaussian(&self) -> bool {
        true
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    fn mean_field(&self) -> MeanField<'_> {
        let shape = draw_shape(&self.parameters());
        let loc = Part::real("loc", &self.loc).shaped(shape);
        let log_scale = Part::positive("log_scale", &self.scale)
            .shaped(shape)
            .first_at(NARROWER);
        MeanField::new([loc, log_scale], |free| {
            let (loc, scale) = (free[0].clone(), free[1].exp());
            Ok(Rc::new(Self { loc, scale }))
        })
        .in_units(0, |free| free[1].exp())
        .for_draws_about(location_and_scale)
    }

    fn mean(&self) -> Tensor {
        &self.loc + self.scale.zeros_like()
    }
}

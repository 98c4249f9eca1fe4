//! Laplace: numbers whose distance from a location is exponential. A continuous law whose draws are differentiable in
//! its parameters.

use std::f32::consts::LN_2;
use std::rc::Rc;

use relax_runtime::dist::{
    Distribution, Draws, Join, Law, MeanField, Number, Numbers, Operand, Part, PerParameter,
    check_fit, draw_shape, expand_parameter, noise,
};
use relax_runtime::{Result, Stream, Tensor};

const NAME: &str = "Laplace";
const SUPPORT: &str = "the real numbers";
const SCALE: &str = "the scale must be positive and finite";

/// Independent Laplace numbers of density e^(−|x − loc|/scale)/(2 scale); over `f64`s a draw is an
/// `f64`, over tensors a tensor of their broadcast shape.
#[derive(Clone, Debug)]
pub struct Laplace<P> {
    loc: P,
    scale: P,
}

impl<P: Numbers> Laplace<P> {
    /// Numbers around `loc`, whose mean distance from there is `scale`.
    ///
    /// # Errors
    /// If a parameter is not finite, or `scale` not positive.
    pub fn new<A: Operand, B: Operand>(loc: A, scale: B) -> Result<Self>
    where
        A::Repr: Join<B::Repr, Joined = P>,
    {
        let (loc, scale) = loc.into_repr().join(scale.into_repr());
        loc.check_numbers(NAME, "loc", f64::is_finite, "it must be finite")?;
        scale.check_numbers(NAME, "scale", |x| x > 0.0 && x.is_finite(), SCALE)?;
        Ok(Self { loc, scale })
    }
}

impl Distribution for Laplace<f64> {
    type Value = f64;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &f64) -> Result<bool> {
        Ok(value.is_finite())
    }

    fn log_density(&self, value: &f64) -> Result<Number> {
        let distance = (value - self.loc).abs() / self.scale;
        Ok((-distance - (2.0 * self.scale).ln()).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let tensor = |x: f64| Tensor::scalar(x as f32);
        Ok(Rc::new(Laplace {
            loc: tensor(self.loc),
            scale: tensor(self.scale),
        }))
    }
}

impl Distribution for Laplace<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.with_values(|values| values.iter().all(|x| x.is_finite()))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, draw_shape(&self.parameters()), value)?;
        Ok(Law::log_density(self, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        // The location takes the full shape of a draw, against which the scale broadcasts.
        let loc = &self.loc + self.scale.zeros_like();
        Ok(Self {
            loc: expand_parameter(NAME, "loc", &loc, plates, 0)?,
            scale: self.scale,
        })
    }
}

impl Law for Laplace<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        vec![self.loc.clone(), self.scale.clone()].into()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            loc: parameters[0].clone(),
            scale: parameters[1].clone(),
        })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        -(value - &self.loc).abs() / &self.scale - self.scale.ln() - LN_2
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(draw_shape(&self.parameters()), &self.loc.device())
    }

    /// By the inverse distribution function: ln 2u below the middle, −ln 2(1 − u) above it.
    fn draw(&self, u: &Tensor) -> Tensor {
        let (below, above) = (noise::ln(u) + LN_2, -noise::ln(&-u) - LN_2);
        let standard = noise::uniform(u).lt(0.5).select_where(&below, &above);
        &self.loc + &self.scale * standard
    }

    fn mirrored(&self, u: &Tensor) -> Option<Tensor> {
        Some(-u)
    }

    fn mean_field(&self) -> MeanField<'_> {
        let shape = draw_shape(&self.parameters());
        let parts = [
            Part::real("loc", &self.loc).shaped(shape),
            Part::positive("log_scale", &self.scale).shaped(shape),
        ];
        MeanField::new(parts, |free| Laplace::new(&free[0], free[1].exp())?.law())
    }

    fn mean(&self) -> Tensor {
        &self.loc + self.scale.zeros_like()
    }
}

//! Exponential: waiting times, drawn by host code. A continuous law whose draws have no derivative by its parameters.

use std::rc::Rc;

use relax_runtime::dist::{
    Distribution, Draws, Law, MeanField, Number, Numbers, Operand, Part, PerParameter, check_fit,
    expand_parameter, noise,
};
use relax_runtime::{Result, Stream, Tensor};

const NAME: &str = "Exponential";
const SUPPORT: &str = "the numbers from 0 on";

/// Independent waiting times of density r e^(−r x) with r = e^log_rate; over an `f64` a draw is an
/// `f64`, over a tensor a tensor of its shape.
#[derive(Clone, Debug)]
pub struct Exponential<P> {
    log_rate: P,
}

impl<P: Numbers> Exponential<P> {
    /// Waiting times of this logarithmic rate.
    ///
    /// # Errors
    /// If one is not finite.
    pub fn of_log_rate(log_rate: impl Operand<Repr = P>) -> Result<Self> {
        let log_rate = log_rate.into_repr();
        log_rate.check_numbers(NAME, "log_rate", f64::is_finite, "it must be finite")?;
        Ok(Self { log_rate })
    }
}

impl Distribution for Exponential<f64> {
    type Value = f64;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &f64) -> Result<bool> {
        Ok(*value >= 0.0 && value.is_finite())
    }

    fn log_density(&self, value: &f64) -> Result<Number> {
        Ok((self.log_rate - value * self.log_rate.exp()).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let log_rate = Tensor::scalar(self.log_rate as f32);
        Ok(Rc::new(Exponential { log_rate }))
    }
}

impl Distribution for Exponential<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.with_values(|values| values.iter().all(|x| *x >= 0.0 && x.is_finite()))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, self.log_rate.shape(), value)?;
        Ok(Law::log_density(self, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let log_rate = expand_parameter(NAME, "log_rate", &self.log_rate, plates, 0)?;
        Ok(Self { log_rate })
    }
}

impl Law for Exponential<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        vec![self.log_rate.clone()].into()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let log_rate = parameters[0].clone();
        Rc::new(Self { log_rate })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Opaque
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        &self.log_rate - value * self.log_rate.exp()
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.log_rate.shape(), &self.log_rate.device())
    }

    fn draw(&self, u: &Tensor) -> Tensor {
        let drawn = || {
            let (log_rate, ln_u) = (self.log_rate.peek()?, noise::ln(u).peek()?);
            let waits = log_rate
                .iter()
                .zip(ln_u)
                .map(|(l, ln_u)| -ln_u * (-l).exp());
            Tensor::from_vec(waits.collect(), u.shape(), &u.device())
        };
        // A tensor that carries an error passes it on.
        drawn().unwrap_or_else(|_| &self.log_rate + u)
    }

    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([Part::real("log_rate", &self.log_rate)], |free| {
            Exponential::of_log_rate(&free[0])?.law()
        })
    }

    fn mean(&self) -> Tensor {
        (-&self.log_rate).exp()
    }
}

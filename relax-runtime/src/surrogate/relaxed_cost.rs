//! The relaxed cost as surrogate: what REBAR uses.

use super::{Linearization, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Device, Parameter, Tensor, grad};

/// c(z) = η f(σ(z/λ)) with learned scale η and temperature λ (Tucker et al.
/// 2017). λ is kept positive as the exponential of its logarithm.
#[derive(Clone, Debug)]
pub struct RelaxedCost {
    scale: Parameter,
    log_temperature: Parameter,
}

impl RelaxedCost {
    /// A surrogate that starts at scale `eta` and the given temperature.
    pub fn new(eta: f32, temperature: f32, device: &Device) -> Self {
        Self {
            scale: Parameter::new(Tensor::full([], eta, device)),
            log_temperature: Parameter::new(Tensor::full([], temperature.ln(), device)),
        }
    }

    /// Scale η and temperature λ.
    ///
    /// # Errors
    /// If a device cannot be read.
    pub fn eta_and_temperature(&self) -> Result<(f64, f64)> {
        let eta = self.scale.get().peek_item()?;
        let temperature = self.log_temperature.get().peek_item()?.exp();
        Ok((eta.into(), temperature.into()))
    }

    /// η and λ, constants.
    pub(crate) fn scale_and_temperature(&self) -> (Tensor, Tensor) {
        let temperature = self.log_temperature.get().detach().exp();
        (self.scale.get().detach(), temperature)
    }

    /// Names the two parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            scale: self.scale.named(&format!("{name}.eta")),
            log_temperature: self
                .log_temperature
                .named(&format!("{name}.log_temperature")),
        }
    }
}

impl Surrogate for RelaxedCost {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let temperature = self.log_temperature.get().exp();
        let relaxed = around.squash(z, &temperature);
        Ok((around.cost)(&relaxed, &temperature)? * self.scale.get())
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.scale.clone(), self.log_temperature.clone()]
    }

    fn evaluations(&self) -> usize {
        1
    }

    fn relaxed_cost(&self) -> Option<&RelaxedCost> {
        Some(self)
    }

    /// One evaluation of f, which carries the tangent ∂/∂λ. f' = ∂f/∂λ is linear in s' = ∂s/∂λ, so
    /// that the reverse pass of f' alone gives both ∂f/∂s = ∂f'/∂s' and ∂f'/∂s.
    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let eta = self.scale.get().detach();
        let temperature = self.log_temperature.get().detach().exp();
        let z = z.detach();
        let (s, speed) = around.squash_rate(&z, &temperature)?;
        let (s, speed) = (s.leaf(), speed.leaf());
        let moving = temperature.with_tangent(&temperature.ones_like());
        let cost = (around.cost)(&s.with_tangent(&speed), &moving)?;
        let f = cost.check()?.detach();
        let rate = cost.tangent().unwrap_or_else(|| cost.zeros_like());
        let mut by_point = grad(&[(&rate, None)], &[&s, &speed])?;
        let (slope, rate_by_s) = (by_point.remove(1), by_point.remove(0));
        let gradient = around.squash_pull(&z, &temperature, &slope)?;
        let (value, by_z, rate) = (&f * &eta, &gradient * &eta, rate.detach());
        let train = move |along: &Tensor, weight: &Tensor| {
            let by_eta = gradient.dot_from(along, 0) - weight.dot_from(&f, 0);
            let (moved, bend) = around.squash_push(&z, &temperature, along, &slope)?;
            let by_temperature = rate_by_s.dot_from(&moved, 0) + bend - weight.dot_from(&rate, 0);
            Ok(vec![by_eta, by_temperature * temperature * eta].into())
        };
        Ok(Linearization {
            value,
            gradient: by_z,
            train: Box::new(train),
        })
    }
}

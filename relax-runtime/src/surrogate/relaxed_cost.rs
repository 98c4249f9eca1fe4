//! The relaxed cost as surrogate: what REBAR uses.

use super::{CostAt, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Device, Parameter, Tensor};

/// c(z) = η f(σ(z/λ)) with learned scale η and temperature λ (paper, section 3.1; Tucker et al.
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
    fn value(&self, z: &Tensor, around: Surroundings<'_>, cost: &mut CostAt<'_>) -> Result<Tensor> {
        let temperature = self.log_temperature.get().exp();
        let relaxed = around.relaxation.squash(z, &temperature);
        Ok(cost(&relaxed, &temperature)? * self.scale.get())
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.scale.clone(), self.log_temperature.clone()]
    }

    fn evaluations(&self) -> usize {
        1
    }
}

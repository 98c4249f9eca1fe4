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

    /// The derivatives by η and log λ, given `slope` = ∂f/∂s at s = σ(z/λ). The tangent of s along
    /// `along` is a constant of f's pass, which leaves one reverse pass to s alone.
    fn train_at(
        &self,
        (z, s, slope): (&Tensor, &Tensor, &Tensor),
        along: &Tensor,
        weight: &Tensor,
        around: Surroundings<'_>,
    ) -> Result<Vec<Tensor>> {
        let eta = self.scale.get().detach();
        let temperature = self.log_temperature.get().detach().exp();
        let leaf = temperature.leaf();
        let moved = around.relaxation.squash(&z.with_tangent(along), &leaf);
        let velocity = moved.tangent().unwrap_or_else(|| moved.zeros_like());

        let (s, direct) = (s.leaf(), temperature.leaf());
        let cost = (around.cost)(&s.with_tangent(&velocity.detach()), &direct)?;
        cost.check()?;
        let rate = cost.tangent().unwrap_or_else(|| cost.zeros_like());
        let by_eta = rate.detach().sum_all() - (weight * cost.detach()).sum_all();
        let weight = -weight;
        let outputs = [(&rate, None), (&cost.primal(), Some(&weight))];
        let [by_s, by_direct] = &grad(&outputs, &[&s, &direct])?[..] else {
            return Ok(Vec::new());
        };
        let outputs = [(&moved.primal(), Some(by_s)), (&velocity, Some(slope))];
        let by_temperature = grad(&outputs, &[&leaf])?.remove(0) + by_direct;
        Ok(vec![by_eta, by_temperature * temperature * eta])
    }
}

impl Surrogate for RelaxedCost {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let temperature = self.log_temperature.get().exp();
        let relaxed = around.relaxation.squash(z, &temperature);
        Ok((around.cost)(&relaxed, &temperature)? * self.scale.get())
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.scale.clone(), self.log_temperature.clone()]
    }

    fn evaluations(&self) -> usize {
        1
    }

    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let eta = self.scale.get().detach();
        let temperature = self.log_temperature.get().detach().exp();
        let z = z.detach();
        let leaf = z.leaf();
        let relaxed = around.relaxation.squash(&leaf, &temperature);
        let s = relaxed.detach().leaf();
        let cost = (around.cost)(&s, &temperature)?;
        let slope = grad(&[(&cost, None)], &[&s])?.remove(0);
        let gradient = grad(&[(&relaxed, Some(&slope))], &[&leaf])?.remove(0);
        let s = s.detach();
        Ok(Linearization {
            value: cost.check()?.detach() * &eta,
            gradient: gradient * &eta,
            train: Box::new(move |along, weight| {
                self.train_at((&z, &s, &slope), along, weight, around)
            }),
        })
    }
}

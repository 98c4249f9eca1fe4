//! The free-form surrogate: a network on the relaxed sample, for costs that are black boxes.

use super::{CostAt, Surrogate, Surroundings};
use crate::error::Result;
use crate::nn::{Activation, Linear, Mlp};
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Shape, Tensor};

/// r_ρ(z, h): a perceptron that looks at the relaxed sample z and at h, what came before the site
/// (its parameters θ and the site's context). It starts at zero.
#[derive(Clone, Debug)]
pub struct FreeForm {
    /// First layer, the part that meets h: constant along z, so no derivative passes through it.
    before: Linear,
    /// First layer, the part that meets z.
    first: Linear,
    activation: Activation,
    rest: Mlp,
}

impl FreeForm {
    /// A network for sites with `latent` numbers a row and `context` further ones, with the given
    /// hidden layers (at least one is made).
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(
        latent: usize,
        context: usize,
        hidden: &[usize],
        activation: Activation,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self> {
        const NARROWEST: usize = 10;
        let width = hidden.first().copied().unwrap_or(NARROWEST);
        let mut sizes = if hidden.is_empty() {
            vec![width]
        } else {
            hidden.to_vec()
        };
        sizes.push(1);
        Ok(Self {
            before: Linear::new(latent + context, width, stream, device)?,
            first: Linear::new(latent, width, stream, device)?,
            activation,
            rest: Mlp::new(&sizes, activation, stream, device)?.with_zero_output()?,
        })
    }

    /// Names the network's parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            before: self.before.named(&format!("{name}.before")),
            first: self.first.named(&format!("{name}.first")),
            rest: self.rest.named(&format!("{name}.rest")),
            ..self
        }
    }
}

/// `[rows.., event..]` as `[rows, numbers]`.
fn flat(x: &Tensor, plates: usize) -> Tensor {
    let shape = x.shape();
    let rows: usize = shape.iter().take(plates).product();
    let numbers: usize = shape.iter().skip(plates).product();
    x.reshape([rows, numbers])
}

impl Surrogate for FreeForm {
    fn value(&self, z: &Tensor, around: Surroundings<'_>, _: &mut CostAt<'_>) -> Result<Tensor> {
        let plates = around.plates;
        let theta = flat(&around.theta.detach(), plates);
        let before = match around.context {
            Some(context) => Tensor::concat(&[&theta, &flat(&context.detach(), plates)], 1),
            None => theta,
        };
        let hidden = self.first.forward(&flat(z, plates)) + self.before.forward(&before);
        let value = self.rest.forward(&self.activation.apply(&hidden));
        Ok(value.reshape(Shape::try_from(&z.shape()[..plates])?))
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.before.parameters();
        parameters.extend(self.first.parameters());
        parameters.extend(self.rest.parameters());
        parameters
    }

    fn evaluations(&self) -> usize {
        0
    }
}

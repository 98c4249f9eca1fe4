//! A multi-layer perceptron.

use super::Linear;
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::{Device, Element, Parameter, Tensor};

/// An elementwise non-linearity.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[-1.0, 2.0]);
/// assert_eq!(Activation::Relu.apply(&x).to_vec()?, [0.0, 2.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// x above 0 and eˣ − 1 below: smooth to the first order (Clevert, Unterthiner, Hochreiter 2016).
    Elu,
}

impl Activation {
    /// The activation of each element.
    pub fn apply(self, x: &Tensor) -> Tensor {
        self.of(x.clone())
    }

    /// The activation of each number.
    #[inline(always)]
    pub(crate) fn of<E: Element>(self, x: E) -> E {
        match self {
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Elu => x.relu() + (x.clamp(f32::NEG_INFINITY, 0.0).exp() + -1.0),
        }
    }

    /// The derivative at each number, in terms of the activation's own value.
    #[inline(always)]
    pub(crate) fn slope_of<E: Element>(self, value: E) -> E {
        match self {
            Self::Relu => value.above(0.0),
            Self::Tanh => (value.clone() * value).one_minus(),
            Self::Elu => value.clamp(f32::NEG_INFINITY, 0.0) + 1.0,
        }
    }

    /// The second derivative at each number, in terms of the activation's own value; `None` if it is zero.
    #[inline(always)]
    pub(crate) fn curvature_of<E: Element>(self, value: E) -> Option<E> {
        match self {
            Self::Relu => None,
            Self::Tanh => Some(value.clone() * -2.0 * self.slope_of(value)),
            Self::Elu => Some(value.above(0.0).one_minus() * self.slope_of(value)),
        }
    }

    /// The activation of a sum of constants.
    pub(crate) fn of_sum(self, a: &Tensor, b: &Tensor) -> Tensor {
        pointwise!([a, b], |[a, b]| self.of(a + b))
    }

    /// A constant times the derivative of each element, in terms of the activation's own value.
    pub(crate) fn times_slope(self, factor: &Tensor, value: &Tensor) -> Tensor {
        pointwise!([factor, value], |[factor, value]| {
            factor * self.slope_of(value)
        })
    }
}

/// Affine layers with an activation between them.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let mut stream = Key::new(1).stream("decoder");
/// let decoder = Mlp::new(&[2, 16, 4], Activation::Tanh, &mut stream, &Device::cpu())?;
/// let decoder = decoder.named("decoder");
/// let logits = decoder.forward(&Tensor::zeros([8, 2], &Device::cpu()));
/// assert_eq!(logits.shape().to_vec(), [8, 4]);
/// // Two weights and two biases, to be passed to `Trainer::layers`.
/// assert_eq!(decoder.parameters().len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// Layers of the given sizes, input first, output last.
    ///
    /// # Errors
    /// [`Error::Config`] if there are fewer than two sizes; otherwise if the device cannot hold the
    /// layers.
    pub fn new(
        sizes: &[usize],
        activation: Activation,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self> {
        if sizes.len() < 2 {
            return Err(Error::Config {
                setting: "layer sizes",
                problem: format!("are {sizes:?}; give at least those of the input and the output"),
            });
        }
        let layers = sizes
            .windows(2)
            .map(|pair| Linear::new(pair[0], pair[1], stream, device));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            activation,
        })
    }

    /// Names the parameters `name.0.weight`, `name.0.bias`, `name.1.weight`, ...
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let named = |(i, layer): (usize, Linear)| layer.named(&format!("{name}.{i}"));
        Self {
            layers: self.layers.into_iter().enumerate().map(named).collect(),
            ..self
        }
    }

    /// Applies the network: `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = self.activation.apply(&x);
            }
            x = layer.forward(&x);
        }
        x
    }

    /// All weights and biases, layer by layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.layers.iter().flat_map(Linear::parameters).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    #[test]
    fn a_network_without_layers_is_refused() {
        for sizes in [&[][..], &[3]] {
            let mut stream = Key::new(1).stream("test");
            let network = Mlp::new(sizes, Activation::Relu, &mut stream, &Device::cpu());
            let error = network.unwrap_err().to_string();
            assert!(error.contains("input and the output"), "{error}");
        }
    }
}

//! A multi-layer perceptron.

use super::Linear;
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::tensor::native::math;
use crate::tensor::{Device, Parameter, Tensor};

/// A non-linearity, element by element.
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
        match self {
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Elu => x.elu(1.0),
        }
    }

    /// The activation of one number.
    #[inline(always)]
    pub(crate) fn of(self, x: f32) -> f32 {
        match self {
            Self::Relu => math::relu(x),
            Self::Tanh => math::tanh(x),
            Self::Elu => math::relu(x) + (math::exp(math::clamp(x, f32::NEG_INFINITY, 0.0)) - 1.0),
        }
    }

    /// The derivative at one number, by the activation's own value.
    #[inline(always)]
    pub(crate) fn slope_of(self, value: f32) -> f32 {
        match self {
            Self::Relu => f32::from(value > 0.0),
            Self::Tanh => 1.0 - value * value,
            Self::Elu if value > 0.0 => 1.0,
            Self::Elu => 1.0 + value,
        }
    }

    /// The second derivative at one number, by the activation's own value.
    #[inline(always)]
    pub(crate) fn curvature_of(self, value: f32) -> f32 {
        match self {
            Self::Relu => 0.0,
            Self::Tanh => -2.0 * value * self.slope_of(value),
            Self::Elu if value > 0.0 => 0.0,
            Self::Elu => 1.0 + value,
        }
    }

    /// The activation of a sum of constants.
    pub(crate) fn of_sum(self, a: &Tensor, b: &Tensor) -> Tensor {
        match self {
            Self::Relu => {
                Tensor::pointwise([a, b], |[a, b]| math::relu(a + b), |[a, b]| (a + b).relu())
            }
            Self::Tanh | Self::Elu => self.apply(&(a + b)),
        }
    }

    /// A constant times the derivative of each element, by the activation's own value.
    pub(crate) fn times_slope(self, factor: &Tensor, value: &Tensor) -> Tensor {
        match self {
            Self::Relu => {
                let kept = |[factor, value]: [f32; 2]| if value > 0.0 { factor } else { 0.0 };
                Tensor::pointwise([factor, value], kept, |[factor, value]| {
                    factor * value.gt(0.0)
                })
            }
            Self::Tanh | Self::Elu => factor * self.slope(value),
        }
    }

    /// The derivative of each element, by the activation's own value.
    fn slope(self, value: &Tensor) -> Tensor {
        match self {
            Self::Relu => value.gt(0.0),
            Self::Tanh => 1.0 - value.square(),
            Self::Elu => 1.0 + value.clamp(f32::NEG_INFINITY, 0.0),
        }
    }

    /// The second derivative, by the activation's own value; nothing where it is zero.
    pub(crate) fn curvature(self, value: &Tensor) -> Option<Tensor> {
        match self {
            Self::Relu => None,
            Self::Tanh => Some(value * -2.0 * self.slope(value)),
            Self::Elu => Some(value.le(0.0) * self.slope(value)),
        }
    }
}

/// Affine layers with an activation between them.
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

    /// `[.., inputs]` to `[.., outputs]`.
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

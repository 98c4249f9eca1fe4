//! A multi-layer perceptron.

use super::Linear;
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Tensor};

/// A non-linearity, element by element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The activation of each element.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
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
    /// If the device cannot hold them.
    pub fn new(
        sizes: &[usize],
        activation: Activation,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self> {
        let layers = sizes
            .windows(2)
            .map(|pair| Linear::new(pair[0], pair[1], stream, device));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            activation,
        })
    }

    /// Starts the output at zero, whatever the input.
    ///
    /// # Errors
    /// If the device cannot hold the layer.
    pub fn with_zero_output(mut self) -> Result<Self> {
        if let Some(last) = self.layers.last_mut() {
            let shape = last.weight.shape();
            *last = Linear::zeros(shape[0], shape[1], &last.weight.get().device())?;
        }
        Ok(self)
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

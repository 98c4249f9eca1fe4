//! An affine layer.

use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Shape, Tensor};

/// An affine layer, x W + b.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let weight = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], [2, 2], &Device::cpu())?;
/// let layer = Linear::from_tensors(weight, Tensor::from_slice(&[10.0, 20.0]))?;
/// let x = Tensor::ones([1, 2], &Device::cpu());
/// assert_eq!(layer.forward(&x).to_vec()?, [14.0, 26.0]);
/// // Random weights for training; names are needed for checkpoints.
/// let mut stream = Key::new(1).stream("layers");
/// let first = Linear::new(2, 5, &mut stream, &Device::cpu())?.named("first");
/// assert_eq!(first.parameters()[0].name(), Some("first.weight"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    /// W, `[inputs, outputs]`.
    pub weight: Parameter,
    /// b, `[outputs]`.
    pub bias: Parameter,
}

impl Linear {
    /// A layer with weights uniform in ±√(6/(inputs + outputs)) (Glorot and Bengio, 2010) and zero
    /// bias.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(
        inputs: usize,
        outputs: usize,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self> {
        let bound = (6.0 / (inputs + outputs) as f32).sqrt();
        let uniform = stream.uniforms(Shape::from([inputs, outputs]), device)?;
        Self::from_tensors(
            (uniform * 2.0 - 1.0) * bound,
            Tensor::zeros([outputs], device),
        )
    }

    /// A layer whose weights and bias start at zero.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn zeros(inputs: usize, outputs: usize, device: &Device) -> Result<Self> {
        Self::from_tensors(
            Tensor::zeros([inputs, outputs], device),
            Tensor::zeros([outputs], device),
        )
    }

    /// A layer with given weights `[inputs, outputs]` and bias `[outputs]`.
    ///
    /// # Errors
    /// If either carries an error.
    pub fn from_tensors(weight: Tensor, bias: Tensor) -> Result<Self> {
        weight.check()?;
        bias.check()?;
        Ok(Self {
            weight: Parameter::new(weight),
            bias: Parameter::new(bias),
        })
    }

    /// Names the parameters `name.weight` and `name.bias`, under which optimizers save their state.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            weight: self.weight.named(&format!("{name}.weight")),
            bias: self.bias.named(&format!("{name}.bias")),
        }
    }

    /// Applies the layer: `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight.get(), &self.bias.get())
    }

    /// Weight and bias.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![self.weight.clone(), self.bias.clone()]
    }
}

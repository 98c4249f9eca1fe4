//! Initial values of parameters.

use crate::dist::Value;
use crate::error::Result;
use crate::tensor::Tensor;

/// A type that can be the initial value of a parameter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the first value of a parameter",
    label = "expected a number (`f64`), numbers, or a `Tensor`"
)]
pub trait IntoParam {
    /// The value as a tensor.
    ///
    /// # Errors
    /// If the value carries an error.
    fn into_param(self) -> Result<Tensor>;
}

impl IntoParam for f64 {
    fn into_param(self) -> Result<Tensor> {
        Ok(Tensor::scalar(self as f32))
    }
}

impl IntoParam for Tensor {
    fn into_param(self) -> Result<Tensor> {
        self.check()?;
        Ok(self)
    }
}

impl IntoParam for &Tensor {
    fn into_param(self) -> Result<Tensor> {
        self.clone().into_param()
    }
}

impl IntoParam for Vec<f64> {
    fn into_param(self) -> Result<Tensor> {
        Value::Vector(self).to_tensor()
    }
}

impl<const N: usize> IntoParam for [f64; N] {
    fn into_param(self) -> Result<Tensor> {
        self.to_vec().into_param()
    }
}

impl IntoParam for Result<Tensor> {
    fn into_param(self) -> Result<Tensor> {
        self?.into_param()
    }
}

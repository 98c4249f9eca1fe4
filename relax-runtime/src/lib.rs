//! Runtime of `relax`: tensors on dfdx, distributions, gradient estimators for discrete random
//! choices, and variational inference.

mod error;
pub mod tensor;

pub use error::{Error, Result};
pub use tensor::{Device, Parameter, Shape, Tensor, grad};

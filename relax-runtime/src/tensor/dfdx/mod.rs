//! The engine on dfdx: its memory, kernels and backward rules, on any of its devices.
//!
//! dfdx names the device in a tensor's type; [`Host`] ties each such type to a [`Device`] chosen at
//! run time. The code is the same for all of them, so what the tests show on dfdx's CPU holds
//! on a GPU, except for the kernels.

mod convert;
mod engine;
mod functions;
mod record;
mod recorder;

use std::rc::Rc;

use ::dfdx::tensor::{Cpu, HasErr, NoneTape, Tensor as Dfdx_};

pub use convert::Traced;
pub(super) use engine::Dfdx;
pub use recorder::Recorder;

use super::Device;
use super::storage::Data;
use crate::error::{Error, Result};

/// Numbers in row-major order. dfdx views such a buffer at any rank without a copy and keeps its
/// identity, so that all views share one gradient.
type Flat<D, T = NoneTape> = Dfdx_<(usize,), f32, D, T>;

/// [`Flat`] while dfdx records an operation on it.
type Taped<D> = Flat<D, Recorder<D>>;

/// dfdx's result on a device.
type Outcome<D, T> = Result<T, <D as HasErr>::Err>;

/// A tensor's numbers in dfdx's hands: one number in place of none, which a GPU cannot hold.
pub(super) struct Values<D: Host> {
    flat: Flat<D>,
    /// Whether a tensor of the graph has the same identity, and so the same gradient, while these
    /// numbers are a constant.
    shared: bool,
    pub(super) device: Device,
}

/// A device of dfdx.
pub(super) trait Host: ::dfdx::tensor_ops::Device<f32> {
    /// The device behind a [`Device`] of this type.
    fn open(device: &Device) -> Result<Self>;

    fn store(values: Rc<Values<Self>>) -> Data;

    /// The numbers, if they are on a device of this type.
    fn stored(data: &Data) -> Option<&Rc<Values<Self>>>;
}

impl Host for Cpu {
    fn open(_: &Device) -> Result<Self> {
        thread_local! {
            // One per thread: it owns no tensor, only dfdx's allocation cache and its unused random
            // generator.
            static CPU: Cpu = Cpu::default();
        }
        Ok(CPU.with(Cpu::clone))
    }

    fn store(values: Rc<Values<Self>>) -> Data {
        Data::Dfdx(values)
    }

    fn stored(data: &Data) -> Option<&Rc<Values<Self>>> {
        match data {
            Data::Dfdx(values) => Some(values),
            _ => None,
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
pub(super) use cuda::gpu;

/// dfdx's error on a device.
fn failed(device: &Device, error: impl std::fmt::Display) -> Error {
    Error::Backend {
        device: device.to_string(),
        message: error.to_string(),
    }
}

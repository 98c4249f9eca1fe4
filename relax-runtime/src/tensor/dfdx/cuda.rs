//! NVIDIA GPUs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dfdx::tensor::Cuda;

use super::{Host, Values};
use crate::error::{Error, Result};
use crate::tensor::device::{Device, Kind};
use crate::tensor::storage::Data;

/// The GPU with this index.
pub(in super::super) fn gpu(ordinal: usize) -> Result<Cuda> {
    // One handle per GPU and thread: kernels are loaded once, and operands share a stream.
    thread_local! {
        static GPUS: RefCell<BTreeMap<usize, Cuda>> = const { RefCell::new(BTreeMap::new()) };
    }
    if let Some(known) = GPUS.with_borrow(|gpus| gpus.get(&ordinal).cloned()) {
        return Ok(known);
    }
    let handle = Cuda::try_build(ordinal, 0).map_err(|error| Error::Backend {
        device: format!("cuda:{ordinal}"),
        message: error.to_string(),
    })?;
    GPUS.with_borrow_mut(|gpus| gpus.insert(ordinal, handle.clone()));
    Ok(handle)
}

impl Host for Cuda {
    fn open(device: &Device) -> Result<Self> {
        match device.0 {
            Kind::Cuda(ordinal) => gpu(ordinal),
            _ => gpu(0),
        }
    }

    fn store(values: Rc<Values<Self>>) -> Data {
        Data::Cuda(values)
    }

    fn stored(data: &Data) -> Option<&Rc<Values<Self>>> {
        match data {
            Data::Cuda(values) => Some(values),
            _ => None,
        }
    }
}

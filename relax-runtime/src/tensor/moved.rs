//! Moving tensors between devices, derivatives included.

use super::graph::{Backward, Gradient, Sinks};
use super::storage::Data;
use super::{Device, Inner, Tensor};
use crate::error::Result;

/// Returns the gradient of a moved tensor to the original device.
struct Back {
    from: Device,
}

impl Backward for Back {
    fn run(&self, gradient: &mut Gradient, sinks: &mut Sinks<'_>) -> Result<()> {
        let values = match sinks.read_own()? {
            Some(values) => values,
            None => gradient.to_vec(),
        };
        sinks.add_moved(0, values, &self.from)
    }
}

fn moved(x: &Inner, device: &Device) -> Result<Inner> {
    let values = dispatch!(read(x))?;
    let data = Data::upload(values, device)?;
    let from = x.device();
    Ok(Inner::derived(&[x], x.shape, data, || Back { from }))
}

impl Tensor {
    /// The same numbers on another device, with their derivatives; `self` if they are already
    /// there.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the device cannot hold the tensor.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.inner()?.device() == *device {
            return Ok(self.clone());
        }
        let out = self.moved_to(device);
        out.check()?;
        Ok(out)
    }

    fn moved_to(&self, device: &Device) -> Self {
        self.lifted(|x| moved(x, device), |t, _, _| t.moved_to(device))
    }

    /// Both tensors, if they are on one device or can be brought to one: as in PyTorch, a single
    /// number of shape `[]` on the CPU moves to the other operand's device.
    pub(crate) fn together(&self, other: &Tensor) -> Option<(Tensor, Tensor)> {
        let (Ok(a), Ok(b)) = (&self.0, &other.0) else {
            return None;
        };
        let (here, there) = (a.device(), b.device());
        let follows = |x: &Inner| x.shape.rank() == 0 && x.data.native().is_some();
        if here == there {
            Some((self.clone(), other.clone()))
        } else if follows(a) {
            Some((self.moved_to(&there), other.clone()))
        } else if follows(b) {
            Some((self.clone(), other.moved_to(&here)))
        } else {
            None
        }
    }
}

//! Where a tensor's numbers are, and from the result of an operation to a tensor of the graph.

use super::cpu::Buffer;
use super::graph::{Backward, Gradient, Node, OnCpu, Sinks};
use super::provenance::Provenance;
use super::{Inner, Shape, device};

/// A tensor's numbers in row-major order, on one of the devices.
#[derive(Clone)]
pub(super) enum Data {
    Cpu(Buffer),
    #[cfg(feature = "cuda")]
    Cuda(super::gpu::Flat),
}

impl Data {
    /// The numbers, if they are on the CPU.
    pub(super) fn on_cpu(&self) -> Option<&Buffer> {
        match self {
            Self::Cpu(buffer) => Some(buffer),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => None,
        }
    }
}

impl Inner {
    /// A constant without history.
    #[inline]
    pub(super) fn constant(shape: Shape, data: Data, device: device::Device) -> Self {
        Self {
            shape,
            data,
            device,
            node: None,
            #[cfg(feature = "cuda")]
            shares_identity: false,
            tangent: None,
            provenance: None,
        }
    }

    /// Zeros of the same shape on the same device.
    pub(super) fn zeros(&self) -> super::Tensor {
        super::Tensor::full(self.shape, 0.0, &self.device)
    }

    /// The result of an operation on `operands`; `backward` is asked for if one is tracked.
    #[inline]
    pub(super) fn derived<B: Backward + 'static>(
        operands: &[&Inner],
        shape: Shape,
        data: Data,
        backward: impl FnOnce() -> B,
    ) -> Self {
        let tracked = operands.iter().any(|x| x.node.is_some());
        let node = tracked.then(|| {
            let parents = operands.iter().map(|x| x.node.as_ref());
            Node::result(parents, shape.numel(), backward())
        });
        let sources = operands.iter().filter_map(|x| x.provenance.as_ref());
        Self {
            node,
            provenance: Provenance::union(sources),
            ..Self::constant(shape, data, operands[0].device.clone())
        }
    }
}

/// Records an operation on the CPU: `backward` gets the output's gradient and adds to its
/// operands' buffers.
pub(super) fn record_cpu(
    operands: &[&Inner],
    shape: Shape,
    values: impl Into<Buffer>,
    backward: impl FnOnce(&mut Gradient, &mut Sinks<'_>) + 'static,
) -> Inner {
    Inner::derived(operands, shape, Data::Cpu(values.into()), || {
        OnCpu::new(move |gradient: &mut Gradient, sinks: &mut Sinks<'_>| {
            backward(gradient, sinks);
            Ok(())
        })
    })
}

/// The same numbers in another shape, without a copy.
pub(super) fn reshaped_cpu(operand: &Inner, shape: Shape, values: &Buffer) -> Inner {
    record_cpu(&[operand], shape, values.clone(), |g, sinks| {
        sinks.pass_changed(0, g, |_| {});
    })
}

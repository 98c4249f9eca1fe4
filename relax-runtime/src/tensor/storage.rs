//! Which engine holds a tensor's numbers, and how the result of an operation becomes a tensor of the
//! graph.

#[cfg(feature = "dfdx")]
use std::rc::Rc;

use super::device::{Device, Kind};
#[cfg(feature = "dfdx")]
use super::dfdx::Values;
use super::engine::Engine;
use super::graph::{Backward, Node};
use super::native::Buffer;
use super::provenance::Provenance;
use super::{Inner, Shape, Tensor, lose};
use crate::error::Result;

/// A tensor's numbers in row-major order.
#[derive(Clone)]
pub(super) enum Data {
    Native(Buffer),
    #[cfg(feature = "dfdx")]
    Dfdx(Rc<Values<::dfdx::tensor::Cpu>>),
    #[cfg(feature = "cuda")]
    Cuda(Rc<Values<::dfdx::tensor::Cuda>>),
}

/// Evaluates `$call` with the type of the engine that `$value`, a [`Data`] or a device's [`Kind`], belongs
/// to: the one place that lists the engines.
macro_rules! engine {
    ($Enum:ident, $value:expr, $Engine:ident => $call:expr) => {
        match &$value {
            $Enum::Native { .. } => {
                type $Engine = $crate::tensor::native::Native;
                $call
            }
            #[cfg(feature = "dfdx")]
            $Enum::Dfdx { .. } => {
                type $Engine = $crate::tensor::dfdx::Dfdx<::dfdx::tensor::Cpu>;
                $call
            }
            #[cfg(feature = "cuda")]
            $Enum::Cuda { .. } => {
                type $Engine = $crate::tensor::dfdx::Dfdx<::dfdx::tensor::Cuda>;
                $call
            }
        }
    };
}

/// Runs an operation on the engine that its first operand belongs to.
macro_rules! dispatch {
    ($op:ident($first:expr $(, $rest:expr)*)) => {{
        use $crate::tensor::{engine::Engine, storage::Data};
        let first: &$crate::tensor::Inner = $first;
        #[cfg(test)]
        $crate::tensor::engine::note(stringify!($op), first);
        engine!(Data, first.data, E => E::$op(first $(, $rest)*))
    }};
}

impl Data {
    /// Hands the numbers over to the device.
    pub(super) fn upload(values: Vec<f32>, device: &Device) -> Result<Self> {
        engine!(Kind, device.0, E => E::upload(values, device))
    }

    /// `len` times the same number.
    pub(super) fn full(len: usize, value: f32, device: &Device) -> Result<Self> {
        engine!(Kind, device.0, E => E::full(len, value, device))
    }

    /// The numbers, if this project's own engine has them.
    #[inline]
    pub(super) fn native(&self) -> Option<&Buffer> {
        match self {
            Self::Native(buffer) => Some(buffer),
            #[cfg(feature = "dfdx")]
            _ => None,
        }
    }

    /// Where the numbers are.
    #[inline]
    pub(super) fn device(&self) -> Device {
        match self {
            Self::Native(_) => Device::cpu(),
            #[cfg(feature = "dfdx")]
            Self::Dfdx(values) => values.device.clone(),
            #[cfg(feature = "cuda")]
            Self::Cuda(values) => values.device.clone(),
        }
    }
}

impl Inner {
    /// A constant without history.
    #[inline]
    pub(super) fn constant(shape: Shape, data: Data) -> Self {
        Self {
            shape,
            data,
            node: None,
            tangent: None,
            provenance: None,
            cases: None,
        }
    }

    /// Where the numbers are.
    #[inline]
    pub(super) fn device(&self) -> Device {
        self.data.device()
    }

    /// Zeros of the same shape on the same device.
    pub(super) fn zeros(&self) -> Tensor {
        Tensor::full(self.shape, 0.0, &self.device())
    }

    /// The result of an operation on `operands`; `backward` is called if one of them is tracked.
    #[inline]
    pub(super) fn derived<B: Backward + 'static>(
        operands: &[&Inner],
        shape: Shape,
        data: Data,
        backward: impl FnOnce() -> B,
    ) -> Self {
        if operands.iter().any(|x| x.cases.is_some()) {
            lose();
        }
        let tracked = operands.iter().any(|x| x.node.is_some());
        let node = tracked.then(|| {
            let parents = operands.iter().map(|x| x.node.as_ref());
            let slot = engine!(Data, data, E => E::slot(&data));
            Node::result(parents, shape.numel(), slot, backward())
        });
        let sources = operands.iter().filter_map(|x| x.provenance.as_ref());
        Self {
            node,
            provenance: Provenance::union(sources),
            ..Self::constant(shape, data)
        }
    }
}

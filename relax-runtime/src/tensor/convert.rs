//! To and from typed dfdx tensors, which are all on the CPU: dfdx names the device in a tensor's
//! type, while ours is chosen at run time.

use dfdx::shapes::{HasShape, Shape as DfdxShape};
use dfdx::tensor::{Cpu, NoneTape, PutTape, Tensor as Dfdx};
use dfdx::tensor_ops::{ReshapeTo, TryMul};

use super::dispatch::{Backend, Data};
use super::graph::Recorder;
use super::{Device, Inner, Shape, Tensor};
use crate::error::{Error, Result};

/// A dfdx tensor on the CPU whose operations are recorded in a [`Tensor`]'s graph.
pub type Traced<S> = Dfdx<S, f32, Cpu, Recorder<Cpu>>;

impl Tensor {
    /// The numbers of a dfdx tensor as a constant, without a copy where they are contiguous.
    /// Poisoned if it has more than four axes.
    #[track_caller]
    pub fn from_dfdx<S: DfdxShape, T>(tensor: &Dfdx<S, f32, Cpu, T>) -> Self {
        let shape = match Shape::try_from(tensor.shape().concrete().as_ref()) {
            Ok(shape) => shape,
            Err(error) => return Self::poisoned(error),
        };
        let flat = tensor
            .retaped::<NoneTape>()
            .try_reshape_like(&(shape.numel(),));
        match flat.map_err(Cpu::error) {
            Ok(flat) => Self::new(Inner {
                shares_identity: true,
                ..Inner::constant(shape, Data::Cpu(flat), Device::cpu())
            }),
            Err(error) => Self::poisoned(error),
        }
    }

    /// The numbers as a dfdx tensor of a typed shape, compile-time or run-time axes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape differs; [`Error::Autodiff`] for a tensor on another device
    /// than the CPU; the error carried by a poisoned tensor.
    #[track_caller]
    pub fn to_dfdx<S: DfdxShape>(&self) -> Result<Dfdx<S, f32, Cpu>> {
        let shape = self.typed_shape::<S>("to_dfdx")?;
        let inner = self.inner()?;
        let flat = Cpu::flat(&inner.data).ok_or_else(|| not_on_cpu("to_dfdx", inner))?;
        flat.clone().try_reshape_like(&shape).map_err(Cpu::error)
    }

    /// Applies any dfdx computation, such as the `forward` of an `nn` module, to a tensor on the
    /// CPU, as one operation of the graph. [`grad`](super::grad) then reaches `self`; the module's
    /// own tensors are constants.
    ///
    /// Poisoned for a shape that is not `S`, a tensor on another device than the CPU, and a
    /// tensor with a tangent, since dfdx has no forward mode.
    #[track_caller]
    pub fn apply_module<S: DfdxShape, O: DfdxShape>(
        &self,
        module: impl FnOnce(Traced<S>) -> Traced<O>,
    ) -> Self {
        let shape = match self.typed_shape::<S>("apply_module") {
            Ok(shape) => shape,
            Err(error) => return Self::poisoned(error),
        };
        let apply = || {
            let inner = self.inner()?;
            if inner.tangent.is_some() {
                return Err(Error::Autodiff(
                    "apply_module: a dfdx module cannot carry a tangent; pass `primal()`".into(),
                ));
            }
            let flat = Cpu::flat(&inner.data).ok_or_else(|| not_on_cpu("apply_module", inner))?;
            let taped = flat.clone().put_tape(Recorder::new(inner.node.is_some()));
            let out = module(taped.try_reshape_like(&shape).map_err(Cpu::error)?);
            let out_shape = Shape::try_from(out.shape().concrete().as_ref())?;
            // The product gives the result an identity of its own even if the module returns
            // its input.
            let out = out
                .try_reshape_like(&(out_shape.numel(),))
                .and_then(|flat| flat.try_mul(1.0))
                .map_err(Cpu::error)?;
            Ok(Self::new(Inner::derived(&[inner], out_shape, out)))
        };
        apply().unwrap_or_else(Self::poisoned)
    }

    /// The tensor's shape as dfdx's `S`.
    #[track_caller]
    fn typed_shape<S: DfdxShape>(&self, op: &'static str) -> Result<S> {
        self.check()?;
        let mut axes = S::Concrete::default();
        if S::NUM_DIMS == self.rank() {
            for (i, &len) in self.shape().iter().enumerate() {
                axes[i] = len;
            }
            if let Some(shape) = S::from_concrete(&axes) {
                return Ok(shape);
            }
        }
        let wanted = std::any::type_name::<S>();
        Err(self.misfit(op, format!("needs a shape that fits `{wanted}`")))
    }
}

fn not_on_cpu(op: &str, inner: &Inner) -> Error {
    Error::Autodiff(format!(
        "{op}: the tensor is on {}; move it to the CPU",
        inner.device
    ))
}

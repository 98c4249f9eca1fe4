//! Conversion to and from typed dfdx tensors, which are all on the CPU: dfdx names the device in a tensor's
//! type, while this crate chooses it at run time.

use dfdx::shapes::{HasShape, Shape as DfdxShape};
use dfdx::tensor::{Cpu, Gradients, HasErr, PutTape, SplitTape, Tensor as Dfdx, TensorFromVec};
use dfdx::tensor_ops::TryMul;

use super::recorder::Recorder;
use super::{Host, failed};
use crate::error::{Error, Result};
use crate::tensor::graph::{Gradient, Once, Sinks};
use crate::tensor::storage::Data;
use crate::tensor::{Device, Inner, Shape, Tensor, native};

/// A dfdx tensor on the CPU whose operations are recorded in a [`Tensor`]'s graph.
pub type Traced<S> = Dfdx<S, f32, Cpu, Recorder<Cpu>>;

impl Tensor {
    /// The numbers of a dfdx tensor as a constant. Poisoned if it has more than four axes.
    #[track_caller]
    pub fn from_dfdx<S: DfdxShape, T>(tensor: &Dfdx<S, f32, Cpu, T>) -> Self {
        let shape = match Shape::try_from(tensor.shape().concrete().as_ref()) {
            Ok(shape) => shape,
            Err(error) => return Self::poisoned(error),
        };
        let values = tensor.as_vec();
        Self::new(Inner::constant(shape, Data::Native(values.into())))
    }

    /// The numbers as a dfdx tensor of a typed shape, with compile-time or run-time axes. Counts as a
    /// read of the random sites that they came from.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape differs; the error carried by a poisoned tensor.
    #[track_caller]
    pub fn to_dfdx<S: DfdxShape>(&self) -> Result<Dfdx<S, f32, Cpu>> {
        let shape = self.typed_shape::<S>("to_dfdx")?;
        let typed = typed(self.peek()?, shape)?;
        self.mark_read();
        Ok(typed)
    }

    /// Applies any dfdx computation on the CPU, such as the `forward` of an `nn` module, as one
    /// operation of the graph; numbers on another device come here, and the result goes back.
    /// [`grad`](crate::grad) then reaches `self`; the module's own tensors are constants.
    ///
    /// Poisoned for a shape that is not `S`, and for a tensor with a tangent, since dfdx has no
    /// forward mode.
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
            let here = self.to_device(&Device::cpu())?;
            let inner = here.inner()?;
            if inner.tangent.is_some() {
                return Err(Error::Autodiff(
                    "apply_module: a dfdx module cannot carry the tangent of a relaxed draw; ask for \
                     `estimator = \"relax-free-form\"` at the site that it depends on"
                        .into(),
                ));
            }
            let operand = typed(here.peek()?, shape)?;
            let tape = Recorder::new(inner.node.is_some());
            let out = module(operand.clone().put_tape(tape));
            let out_shape = Shape::try_from(out.shape().concrete().as_ref())?;
            // The product gives the result an identity of its own even if the module returns
            // its input.
            let (out, tape) = out.try_mul(1.0).map_err(backend)?.split_tape();
            let values = Data::Native(out.as_vec().into());
            let backward = || {
                Once::new(move |gradient: &mut Gradient, sinks: &mut Sinks<'_>| {
                    let Some(sink) = sinks.get(0) else {
                        return Ok(());
                    };
                    let run = || {
                        let mut gradients = Gradients::leaky();
                        gradients.get_or_alloc_mut(&out)?.copy_from_slice(gradient);
                        for op in tape.into_ops().into_iter().rev() {
                            op(&mut gradients)?;
                        }
                        native::add(sink, gradients.get_or_alloc_mut(&operand)?);
                        Ok(())
                    };
                    run().map_err(backend)
                })
            };
            let out = Self::new(Inner::derived(&[inner], out_shape, values, backward));
            out.to_device(&self.device())
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

/// Numbers as a dfdx tensor.
fn typed<S: DfdxShape>(values: Vec<f32>, shape: S) -> Result<Dfdx<S, f32, Cpu>> {
    let typed = Cpu::open(&Device::cpu())?.try_tensor_from_vec(values, shape);
    typed.map_err(backend)
}

fn backend(error: <Cpu as HasErr>::Err) -> Error {
    failed(&Device::cpu(), error)
}

//! Tensors on the GPU: dfdx's operations, recorded in the graph, and dfdx's table of gradients.

use std::cell::Cell;

use dfdx::tensor::{Gradients, HasErr, NoneTape, PutTape, SplitTape, Tensor as Dfdx};
use dfdx::tensor_ops::TryMul;

use super::device::Gpu;
use super::dispatch::Data;
use super::grad::{Outputs, Target};
use super::graph::{Backward, Gradient, Pass, Sinks};
use super::recorder::{Op, Recorder};
use super::{Inner, Shape, Tensor};
use crate::error::{Error, Result};

/// A tensor's numbers in row-major order. dfdx views such a buffer at any rank without a copy and
/// keeps its identity, so that all views share one gradient.
pub(super) type Flat<T = NoneTape> = Dfdx<(usize,), f32, Gpu, T>;

/// [`Flat`] while dfdx records an operation on it.
pub(super) type Taped = Flat<Recorder<Gpu>>;

pub(super) type Outcome<T> = Result<T, <Gpu as HasErr>::Err>;

pub(super) fn flat(data: &Data) -> Option<&Flat> {
    match data {
        Data::Cuda(flat) => Some(flat),
        Data::Cpu(_) => None,
    }
}

pub(super) fn error(error: <Gpu as HasErr>::Err) -> Error {
    Error::Backend {
        device: "cuda".into(),
        message: error.to_string(),
    }
}

/// The same numbers under a new identity, which has a gradient of its own.
pub(super) fn copy(flat: &Flat) -> Outcome<Flat> {
    flat.clone().try_mul(1.0)
}

/// The backward operations that dfdx has recorded.
struct OnGpu(Cell<Vec<Op<Gpu>>>);

impl Backward for OnGpu {
    fn run(&self, _: &mut Gradient, _: &mut Sinks<'_>) -> Result<()> {
        Err(Error::Autodiff(
            "an operation of a GPU ran on the CPU".into(),
        ))
    }

    fn take_ops(&self) -> Vec<Op<Gpu>> {
        self.0.take()
    }
}

impl Inner {
    /// The result of an operation that dfdx has recorded.
    pub(super) fn taped(operands: &[&Inner], shape: Shape, out: Taped) -> Self {
        let (flat, tape) = out.split_tape();
        Self::derived(operands, shape, Data::Cuda(flat), || {
            OnGpu(Cell::new(tape.into_ops()))
        })
    }

    /// Runs a dfdx operation of one operand.
    pub(super) fn record(
        &self,
        flat: &Flat,
        shape: Shape,
        run: impl FnOnce(Taped) -> Outcome<Taped>,
    ) -> Result<Self> {
        let taped = flat.clone().put_tape(Recorder::new(self.node.is_some()));
        let out = run(taped).map_err(error)?;
        Ok(Self::taped(&[self], shape, out))
    }

    /// Runs a dfdx operation of two operands, which must have different identities when one of
    /// them is tracked.
    pub(super) fn record_pair(
        &self,
        other: &Self,
        left: &Flat,
        shape: Shape,
        run: impl FnOnce(Taped, Flat) -> Outcome<Taped>,
    ) -> Result<Self> {
        let Some(right) = flat(&other.data) else {
            return Err(Error::Autodiff("operands on two devices".into()));
        };
        let recording = self.node.is_some() || other.node.is_some();
        let taped = left.clone().put_tape(Recorder::new(recording));
        let out = run(taped, right.clone()).map_err(error)?;
        Ok(Self::taped(&[self, other], shape, out))
    }
}

/// Seeds the outputs, runs the pass, and reads the gradient of each target.
pub(super) fn backpropagate(
    pass: &Pass<'_>,
    outputs: &Outputs<'_>,
    targets: &[Target<'_>],
) -> Result<Vec<Tensor>> {
    let mut gradients = Gradients::<f32, Gpu>::leaky();
    for (output, cotangent) in outputs {
        if let Some(output) = flat(&output.data) {
            seed(
                &mut gradients,
                output,
                cotangent.and_then(|c| flat(&c.data)),
            )
            .map_err(error)?;
        }
    }
    for (_, node) in pass.work() {
        for op in node.use_up().take_ops().into_iter().rev() {
            op(&mut gradients).map_err(error)?;
        }
    }
    let device = &outputs[0].0.device;
    (targets.iter())
        .filter_map(|target| Some((target.flat?, target.shape)))
        .map(|(of, shape)| {
            gradients.try_alloc_for(of).map_err(error)?;
            let gradient = Data::Cuda(gradients.get(of));
            Ok(Tensor::new(Inner::constant(
                shape,
                gradient,
                device.clone(),
            )))
        })
        .collect()
}

/// Adds a cotangent (ones without one) to the gradient of `output`. dfdx hides its device buffers,
/// so the cotangent enters through the backward rule of a product:
/// d⟨1, output · cotangent⟩/d output.
fn seed(
    gradients: &mut Gradients<f32, Gpu>,
    output: &Flat,
    cotangent: Option<&Flat>,
) -> Outcome<()> {
    let taped = output.clone().put_tape(Recorder::new(true));
    let product = match cotangent {
        Some(cotangent) => taped.try_mul(copy(cotangent)?)?,
        None => taped.try_mul(1.0)?,
    };
    let (product, tape) = product.split_tape();
    fill_with_ones(product.device(), gradients.get_or_alloc_mut(&product)?)?;
    for op in tape.into_ops().into_iter().rev() {
        op(gradients)?;
    }
    Ok(())
}

/// dfdx's trait for this is private, and reachable only through a bound.
fn fill_with_ones<D: dfdx::tensor_ops::Device<f32>>(
    device: &D,
    buffer: &mut <D as dfdx::tensor::Storage<f32>>::Vec,
) -> Result<(), <D as HasErr>::Err> {
    device.try_fill_with_ones(buffer)
}

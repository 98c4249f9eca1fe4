//! From a run-time device to dfdx's generics, and from a dfdx result to a tensor of the graph.

use dfdx::tensor::{Cpu, Gradients, HasErr, NoneTape, PutTape, SplitTape, Tensor as Dfdx};

#[cfg(feature = "cuda")]
use super::device::Gpu;
use super::graph::{Backward, Node, Op, Recorder};
use super::provenance::Provenance;
use super::{Inner, Shape, cpu, device};
use crate::error::{Error, Result};

/// A tensor's numbers in row-major order. dfdx views such a buffer at any rank without a copy and
/// keeps its identity, so that all views share one gradient.
pub(super) type Flat<D, T = NoneTape> = Dfdx<(usize,), f32, D, T>;

/// [`Flat`] while dfdx records an operation on it.
pub(super) type Taped<D> = Flat<D, Recorder<D>>;

/// A flat buffer on one of the devices.
#[derive(Clone)]
pub(super) enum Data {
    Cpu(Flat<Cpu>),
    #[cfg(feature = "cuda")]
    Cuda(Flat<Gpu>),
}

/// Runs an expression with `$flat` bound to the dfdx tensor of whichever device holds the data.
macro_rules! on_device {
    ($data:expr, $flat:ident => $body:expr) => {
        match $data {
            $crate::tensor::dispatch::Data::Cpu($flat) => $body,
            #[cfg(feature = "cuda")]
            $crate::tensor::dispatch::Data::Cuda($flat) => $body,
        }
    };
}

/// Runs an expression with the type `$D` bound to the dfdx device that holds the data.
macro_rules! on_backend {
    ($data:expr, $D:ident => $body:expr) => {
        match $data {
            $crate::tensor::dispatch::Data::Cpu(_) => {
                type $D = dfdx::tensor::Cpu;
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::tensor::dispatch::Data::Cuda(_) => {
                type $D = $crate::tensor::device::Gpu;
                $body
            }
        }
    };
}

/// A dfdx device as this module needs it.
pub(super) trait Backend: dfdx::tensor_ops::Device<f32> {
    fn wrap(flat: Flat<Self>) -> Data;
    fn flat(data: &Data) -> Option<&Flat<Self>>;
    fn recorded(ops: Vec<Op<Self>>) -> Backward;
    fn ops(backward: Backward) -> Option<Vec<Op<Self>>>;
    fn error(error: <Self as HasErr>::Err) -> Error;

    /// Adds a cotangent (ones without one) to the gradient of `output`.
    fn seed(
        gradients: &mut Gradients<f32, Self>,
        output: &Flat<Self>,
        cotangent: Option<&Flat<Self>>,
    ) -> Result<(), <Self as HasErr>::Err>;

    /// The gradient of `of`, zeros where nothing reached it; may leave the table's entry empty.
    fn gradient(
        gradients: &mut Gradients<f32, Self>,
        of: &Flat<Self>,
    ) -> Result<Flat<Self>, <Self as HasErr>::Err>;
}

impl Backend for Cpu {
    fn wrap(flat: Flat<Self>) -> Data {
        Data::Cpu(flat)
    }

    fn flat(data: &Data) -> Option<&Flat<Self>> {
        match data {
            Data::Cpu(flat) => Some(flat),
            #[cfg(feature = "cuda")]
            Data::Cuda(_) => None,
        }
    }

    fn recorded(ops: Vec<Op<Self>>) -> Backward {
        Backward::Cpu(ops)
    }

    fn ops(backward: Backward) -> Option<Vec<Op<Self>>> {
        match backward {
            Backward::Cpu(ops) => Some(ops),
            #[cfg(feature = "cuda")]
            Backward::Cuda(_) => None,
        }
    }

    fn error(error: <Self as HasErr>::Err) -> Error {
        Error::Backend {
            device: "cpu".into(),
            message: error.to_string(),
        }
    }

    fn seed(
        gradients: &mut Gradients<f32, Self>,
        output: &Flat<Self>,
        cotangent: Option<&Flat<Self>>,
    ) -> Result<(), <Self as HasErr>::Err> {
        let buffer = gradients.get_or_alloc_mut(output)?;
        match cotangent {
            Some(cotangent) => cpu::add(buffer, cpu::slice(cotangent)),
            None => buffer.iter_mut().for_each(|g| *g += 1.0),
        }
        Ok(())
    }

    fn gradient(
        gradients: &mut Gradients<f32, Self>,
        of: &Flat<Self>,
    ) -> Result<Flat<Self>, <Self as HasErr>::Err> {
        let values = std::mem::take(&mut **gradients.get_or_alloc_mut(of)?);
        Ok(cpu::flat(values))
    }
}

#[cfg(feature = "cuda")]
impl Backend for Gpu {
    fn wrap(flat: Flat<Self>) -> Data {
        Data::Cuda(flat)
    }

    fn flat(data: &Data) -> Option<&Flat<Self>> {
        match data {
            Data::Cuda(flat) => Some(flat),
            Data::Cpu(_) => None,
        }
    }

    fn recorded(ops: Vec<Op<Self>>) -> Backward {
        Backward::Cuda(ops)
    }

    fn ops(backward: Backward) -> Option<Vec<Op<Self>>> {
        match backward {
            Backward::Cuda(ops) => Some(ops),
            Backward::Cpu(_) => None,
        }
    }

    fn error(error: <Self as HasErr>::Err) -> Error {
        Error::Backend {
            device: "cuda".into(),
            message: error.to_string(),
        }
    }

    /// dfdx hides its device buffers, so the cotangent enters through the backward rule of a
    /// product: d⟨1, output · cotangent⟩/d output.
    fn seed(
        gradients: &mut Gradients<f32, Self>,
        output: &Flat<Self>,
        cotangent: Option<&Flat<Self>>,
    ) -> Result<(), <Self as HasErr>::Err> {
        use dfdx::tensor_ops::TryMul;
        let taped = output.clone().put_tape(Recorder::new(true));
        let product = match cotangent {
            Some(cotangent) => taped.try_mul(copy(cotangent)?)?,
            None => taped.try_mul(1.0)?,
        };
        let (product, tape) = product.split_tape();
        fill_with_ones(product.device(), gradients.get_or_alloc_mut(&product)?)?;
        for op in tape.into_ops().into_iter().rev() {
            op(gradients, &[true, false])?;
        }
        Ok(())
    }

    fn gradient(
        gradients: &mut Gradients<f32, Self>,
        of: &Flat<Self>,
    ) -> Result<Flat<Self>, <Self as HasErr>::Err> {
        gradients.try_alloc_for(of)?;
        Ok(gradients.get(of))
    }
}

/// dfdx's trait for this is private, and reachable only through a bound.
#[cfg(feature = "cuda")]
fn fill_with_ones<D: Backend>(
    device: &D,
    buffer: &mut <D as dfdx::tensor::Storage<f32>>::Vec,
) -> Result<(), <D as HasErr>::Err> {
    device.try_fill_with_ones(buffer)
}

/// The same numbers under a new identity, which has a gradient of its own.
#[cfg(feature = "cuda")]
pub(super) fn copy<D: Backend>(flat: &Flat<D>) -> Result<Flat<D>, <D as HasErr>::Err> {
    use dfdx::tensor_ops::TryMul;
    flat.clone().try_mul(1.0)
}

impl Inner {
    /// A constant without history.
    pub(super) fn constant(shape: Shape, data: Data, device: device::Device) -> Self {
        Self {
            shape,
            data,
            device,
            node: None,
            shares_identity: false,
            tangent: None,
            provenance: None,
        }
    }

    /// Zeros of the same shape on the same device.
    pub(super) fn zeros(&self) -> super::Tensor {
        super::Tensor::full(self.shape, 0.0, &self.device)
    }

    /// The result of an operation on `operands`, with the backward operations of its tape.
    pub(super) fn derived<D: Backend>(operands: &[&Inner], shape: Shape, out: Taped<D>) -> Self {
        let (flat, tape) = out.split_tape();
        let node = (operands.iter().any(|x| x.node.is_some())).then(|| {
            let parents = operands.iter().map(|x| x.node.clone()).collect();
            Node::result(parents, D::recorded(tape.into_ops()))
        });
        let sources = operands.iter().filter_map(|x| x.provenance.as_ref());
        Self {
            node,
            provenance: Provenance::union(sources),
            ..Self::constant(shape, D::wrap(flat), operands[0].device.clone())
        }
    }

    /// Runs a dfdx operation of one operand.
    pub(super) fn record<D: Backend>(
        &self,
        flat: &Flat<D>,
        shape: Shape,
        run: impl FnOnce(Taped<D>) -> Result<Taped<D>, <D as HasErr>::Err>,
    ) -> Result<Self> {
        let taped = flat.clone().put_tape(Recorder::new(self.node.is_some()));
        let out = run(taped).map_err(D::error)?;
        Ok(Self::derived(&[self], shape, out))
    }

    /// Runs a dfdx operation of two operands on the GPU, which must have different identities when one of
    /// them is tracked.
    #[cfg(feature = "cuda")]
    pub(super) fn record_pair<D: Backend>(
        &self,
        other: &Self,
        flat: &Flat<D>,
        shape: Shape,
        run: impl FnOnce(Taped<D>, Flat<D>) -> Result<Taped<D>, <D as HasErr>::Err>,
    ) -> Result<Self> {
        let Some(right) = D::flat(&other.data) else {
            return Err(Error::Autodiff("operands on two devices".into()));
        };
        let recording = self.node.is_some() || other.node.is_some();
        let taped = flat.clone().put_tape(Recorder::new(recording));
        let out = run(taped, right.clone()).map_err(D::error)?;
        Ok(Self::derived(&[self, other], shape, out))
    }
}

/// Gradient buffers of the operands of one of our own CPU operations.
pub(super) struct Sinks<'a> {
    gradients: &'a mut Gradients<f32, Cpu>,
    operands: &'a [Flat<Cpu>],
    needs: &'a [bool],
}

impl Sinks<'_> {
    /// The buffer to add the gradient of operand `i` to, or `None` where it is not needed.
    pub(super) fn get(&mut self, i: usize) -> Option<&mut [f32]> {
        if !self.needs[i] {
            return None;
        }
        let buffer = self.gradients.get_or_alloc_mut(&self.operands[i]).ok()?;
        Some(buffer.as_mut_slice())
    }
}

/// Records an operation of our own on the CPU: `backward` gets the output's gradient and adds to
/// its operands' buffers.
pub(super) fn record_cpu(
    operands: &[(&Inner, &Flat<Cpu>)],
    shape: Shape,
    values: Vec<f32>,
    backward: impl FnOnce(&[f32], &mut Sinks<'_>) + 'static,
) -> Inner {
    let recording = operands.iter().any(|(x, _)| x.node.is_some());
    let out = cpu::flat(values);
    let mut tape = Recorder::new(recording);
    if recording {
        let flats: Vec<Flat<Cpu>> = operands.iter().map(|(_, flat)| (*flat).clone()).collect();
        let output = out.clone();
        tape.push(Box::new(move |gradients, needs| {
            // Moved out for the call, because a table lends one buffer at a time.
            let gradient = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
            backward(
                &gradient,
                &mut Sinks {
                    gradients,
                    operands: &flats,
                    needs,
                },
            );
            **gradients.get_or_alloc_mut(&output)? = gradient;
            Ok(())
        }));
    }
    let inners: Vec<&Inner> = operands.iter().map(|(x, _)| *x).collect();
    Inner::derived(&inners, shape, out.put_tape(tape))
}

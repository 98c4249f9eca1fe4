//! Recording dfdx's operations in the graph, and dfdx's table of gradients.

use std::cell::Cell;
use std::rc::Rc;

use dfdx::tensor::{Gradients, PutTape, SplitTape};
use dfdx::tensor_ops::{TryAdd, TryMul};

use super::recorder::{Op, Recorder};
use super::{Flat, Host, Outcome, Taped, Values, failed};
use crate::error::{Error, Result};
use crate::tensor::graph::{Backward, Gradient, Sinks};
use crate::tensor::slot::{Slot, Tables};
use crate::tensor::storage::Data;
use crate::tensor::{Device, Inner, Shape};

/// The numbers of an operand.
pub(super) fn numbers<D: Host>(x: &Inner) -> Result<&Values<D>> {
    D::stored(&x.data)
        .map(Rc::as_ref)
        .ok_or_else(|| Error::Autodiff("operands of one operation are on two devices".into()))
}

/// Hands numbers over to the device.
pub(super) fn upload<D: Host>(mut values: Vec<f32>, device: &Device) -> Result<Flat<D>> {
    if values.is_empty() {
        values.push(0.0);
    }
    let len = (values.len(),);
    let flat = D::open(device)?.try_tensor_from_vec(values, len);
    flat.map_err(|error| failed(device, error))
}

pub(super) fn store<D: Host>(flat: Flat<D>, device: Device) -> Data {
    D::store(Rc::new(Values {
        flat,
        shared: false,
        device,
    }))
}

/// The same numbers under a new identity, with their own gradient.
pub(super) fn copy<D: Host>(flat: &Flat<D>) -> Outcome<D, Flat<D>> {
    flat.clone().try_mul(1.0)
}

/// The backward operations that dfdx has recorded, the first of them last to run.
struct Recorded<D: Host> {
    ops: Cell<Vec<Op<D>>>,
    device: Device,
}

impl<D: Host> Backward for Recorded<D> {
    fn run(&self, _: &mut Gradient, sinks: &mut Sinks<'_>) -> Result<()> {
        let table = sinks.tables.of(Gradients::<f32, D>::leaky);
        for op in self.ops.take().into_iter().rev() {
            op(table).map_err(|error| failed(&self.device, error))?;
        }
        Ok(())
    }
}

/// The gradient of these numbers in dfdx's table.
pub(super) struct Entry<D: Host>(pub(super) Rc<Values<D>>);

impl<D: Host> Slot for Entry<D> {
    /// dfdx hides its buffers, so the cotangent enters through the backward rule of a product:
    /// d⟨1, output · cotangent⟩/d output.
    fn add(&self, tables: &mut Tables, cotangent: Option<&Data>) -> Result<()> {
        let table = tables.of(Gradients::<f32, D>::leaky);
        let cotangent = cotangent.and_then(D::stored);
        let mut run = || {
            let taped = self.0.flat.clone().put_tape(Recorder::new(true));
            let product = match cotangent {
                Some(cotangent) => taped.try_mul(copy(&cotangent.flat)?)?,
                None => taped.try_mul(1.0)?,
            };
            let (product, tape) = product.split_tape();
            product
                .device()
                .try_fill_with_ones(table.get_or_alloc_mut(&product)?)?;
            for op in tape.into_ops().into_iter().rev() {
                op(table)?;
            }
            Ok(())
        };
        run().map_err(|error: D::Err| failed(&self.0.device, error))
    }

    fn read(&self, tables: &mut Tables) -> Result<Data> {
        let table = tables.of(Gradients::<f32, D>::leaky);
        let allocated = table.try_alloc_for(&self.0.flat);
        allocated.map_err(|error| failed(&self.0.device, error))?;
        Ok(store(table.get(&self.0.flat), self.0.device.clone()))
    }
}

/// The result of an operation that dfdx has run; `tape` has what it recorded.
fn derived<D: Host>(
    operands: &[&Inner],
    shape: Shape,
    flat: Flat<D>,
    tape: Recorder<D>,
    device: &Device,
) -> Inner {
    Inner::derived(operands, shape, store(flat, device.clone()), || Recorded {
        ops: Cell::new(tape.into_ops()),
        device: device.clone(),
    })
}

/// Zeros, in place of the result of an operation on empty operands, or of an empty result.
fn nothing<D: Host>(operands: &[&Inner], shape: Shape, device: &Device) -> Option<Result<Inner>> {
    let empty = |x: &&Inner| x.shape.numel() == 0;
    if shape.numel() > 0 && !operands.iter().any(empty) {
        return None;
    }
    let zeros = upload(vec![0.0; shape.numel()], device);
    let zeros = zeros.map(|flat| derived::<D>(operands, shape, flat, Recorder::new(false), device));
    Some(zeros)
}

/// Runs an operation of one operand that dfdx differentiates.
pub(super) fn unary<D: Host>(
    x: &Inner,
    shape: Shape,
    run: impl FnOnce(Taped<D>) -> Outcome<D, Taped<D>>,
) -> Result<Inner> {
    let values = numbers::<D>(x)?;
    let device = &values.device;
    if let Some(nothing) = nothing::<D>(&[x], shape, device) {
        return nothing;
    }
    let taped = values
        .flat
        .clone()
        .put_tape(Recorder::new(x.node.is_some()));
    let out = run(taped).map_err(|error| failed(device, error))?;
    let (flat, tape) = out.split_tape();
    Ok(derived(&[x], shape, flat, tape, device))
}

/// Runs an operation of two operands that dfdx differentiates. They get new identities where dfdx
/// would add two gradients in one buffer: for a constant that shares its own with a tensor of the
/// graph, or for one variable on both sides.
pub(super) fn pair<D: Host>(
    [x, y]: [&Inner; 2],
    shape: Shape,
    run: impl FnOnce(Taped<D>, Taped<D>) -> Outcome<D, Taped<D>>,
) -> Result<Inner> {
    let (left, right) = (numbers::<D>(x)?, numbers::<D>(y)?);
    let device = &left.device;
    if let Some(nothing) = nothing::<D>(&[x, y], shape, device) {
        return nothing;
    }
    let record = || {
        let recording = x.node.is_some() || y.node.is_some();
        let own = |x: &Inner, values: &Values<D>| match recording && x.node.is_none() {
            true if values.shared => copy(&values.flat),
            _ => Ok(values.flat.clone()),
        };
        let a = own(x, left)?.put_tape(Recorder::new(recording));
        let mut b = own(y, right)?.put_tape(Recorder::new(recording));
        if let (Some(first), Some(second)) = (&x.node, &y.node)
            && Rc::ptr_eq(first, second)
        {
            b = b.try_mul(1.0)?;
        }
        run(a, b)
    };
    let out = record().map_err(|error: D::Err| failed(device, error))?;
    let (flat, tape) = out.split_tape();
    Ok(derived(&[x, y], shape, flat, tape, device))
}

/// An operation on any number of operands: `run` gets them under new identities, with the
/// tape that it starts from.
pub(super) fn all<D: Host>(
    operands: &[&Inner],
    shape: Shape,
    run: impl FnOnce(Vec<Flat<D>>, Recorder<D>) -> Outcome<D, Taped<D>>,
) -> Result<Inner> {
    let parts = operands.iter().map(|x| Ok((*x, numbers::<D>(x)?)));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let device = &parts[0].1.device;
    let record = || {
        let mut tape = Recorder::new(operands.iter().any(|x| x.node.is_some()));
        let mut own = Vec::with_capacity(parts.len());
        for (_, values) in parts.iter().filter(|(x, _)| x.shape.numel() > 0) {
            let taped = values.flat.clone().put_tape(tape).try_mul(1.0)?;
            let (flat, next) = taped.split_tape();
            own.push(flat);
            tape = next;
        }
        run(own, tape)
    };
    if shape.numel() == 0 {
        let zeros = upload(Vec::new(), device)?;
        return Ok(derived::<D>(
            operands,
            shape,
            zeros,
            Recorder::new(false),
            device,
        ));
    }
    let out = record().map_err(|error: D::Err| failed(device, error))?;
    let (flat, tape) = out.split_tape();
    Ok(derived(operands, shape, flat, tape, device))
}

/// `value` as the result of an operation with elementwise derivatives with respect to each operand, where
/// dfdx's own operation gives wrong numbers, or has a different derivative. `slopes` is
/// called where an operand is tracked, and must not return an operand itself, whose identity the
/// products would then add to. The products and their sum serve only for their backward
/// rules and identity; the value then takes the place of theirs.
pub(super) fn with_slopes<D: Host, const N: usize>(
    operands: [&Inner; N],
    shape: Shape,
    run: impl FnOnce([Flat<D>; N]) -> Outcome<D, Flat<D>>,
    slopes: impl FnOnce([Flat<D>; N], &Flat<D>) -> Outcome<D, [Flat<D>; N]>,
) -> Result<Inner> {
    reduced(operands, shape, run, slopes, Ok)
}

/// As [`with_slopes`], where `reduce`, which is linear, follows the products.
pub(super) fn reduced<D: Host, const N: usize>(
    operands: [&Inner; N],
    shape: Shape,
    run: impl FnOnce([Flat<D>; N]) -> Outcome<D, Flat<D>>,
    slopes: impl FnOnce([Flat<D>; N], &Flat<D>) -> Outcome<D, [Flat<D>; N]>,
    reduce: impl FnOnce(Taped<D>) -> Outcome<D, Taped<D>>,
) -> Result<Inner> {
    let device = &operands[0].device();
    for x in operands {
        numbers::<D>(x)?;
    }
    if let Some(nothing) = nothing::<D>(&operands, shape, device) {
        return nothing;
    }
    let flats = || {
        operands.map(|x| match D::stored(&x.data) {
            Some(values) => values.flat.clone(),
            None => unreachable!("checked before"),
        })
    };
    let record = || {
        let value = run(flats())?;
        if operands.iter().all(|x| x.node.is_none()) {
            return Ok(value.put_tape(Recorder::new(false)));
        }
        let slopes = slopes(flats(), &value)?;
        let mut total: Option<Taped<D>> = None;
        let terms = operands.iter().zip(flats()).zip(slopes);
        for ((_, x), slope) in terms.filter(|((x, _), _)| x.node.is_some()) {
            let term = x.put_tape(Recorder::new(true)).try_mul(slope)?;
            total = Some(match total {
                Some(total) => total.try_add(term)?,
                None => term,
            });
        }
        let Some(total) = total else {
            return Ok(value.put_tape(Recorder::new(false)));
        };
        let (mut out, tape) = reduce(total)?.split_tape();
        out.try_fill_with_zeros()?;
        out.try_axpy(1.0, &value, 1.0)?;
        Ok(out.put_tape(tape))
    };
    let out = record().map_err(|error: D::Err| failed(device, error))?;
    let (flat, tape) = out.split_tape();
    Ok(derived(&operands, shape, flat, tape, device))
}

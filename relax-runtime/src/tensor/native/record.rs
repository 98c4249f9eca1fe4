//! Recording an operation of this engine, and elementwise functions of one and of two tensors.

use super::zip::Zip;
use super::{Buffer, map, slice};
use crate::error::{Error, Result};
use crate::tensor::graph::{Gradient, Once, Sinks};
use crate::tensor::storage::Data;
use crate::tensor::{Inner, Shape};

/// The numbers of an operand.
#[inline]
pub(super) fn numbers(x: &Inner) -> Result<&Buffer> {
    x.data.native().ok_or_else(strayed)
}

#[cold]
fn strayed() -> Error {
    Error::Autodiff("operands of one operation are on two devices".into())
}

/// Records an operation: `backward` gets the output's gradient and adds to its operands' buffers.
pub(in super::super) fn record(
    operands: &[&Inner],
    shape: Shape,
    values: impl Into<Buffer>,
    backward: impl FnOnce(&mut Gradient, &mut Sinks<'_>) + 'static,
) -> Inner {
    Inner::derived(operands, shape, Data::Native(values.into()), || {
        Once::new(move |gradient: &mut Gradient, sinks: &mut Sinks<'_>| {
            backward(gradient, sinks);
            Ok(())
        })
    })
}

/// A share of a gradient, passed on by a derivative: zero stays zero, even where the derivative is not finite.
#[inline(always)]
fn shared(g: f32, slope: f32) -> f32 {
    let product = g * slope;
    if g == 0.0 { 0.0 } else { product }
}

/// An elementwise function with its derivative as a function of argument and result.
pub(super) fn unary(
    x: &Inner,
    f: impl Fn(f32) -> f32 + Copy + Sync,
    df: impl Fn(f32, f32) -> f32 + Copy + Sync + 'static,
) -> Result<Inner> {
    let flat = numbers(x)?;
    let values = map(slice(flat), f);
    let saved = x.node.is_some().then(|| (flat.clone(), values.clone()));
    Ok(record(&[x], x.shape, values, move |g, sinks| {
        if let Some((x, y)) = &saved {
            let elements = [x, y].map(slice);
            sinks.pass(0, g, elements, move |g, [x, y]| shared(g, df(x, y)));
        }
    }))
}

/// An elementwise function with a constant derivative.
pub(super) fn linear(x: &Inner, f: impl Fn(f32) -> f32 + Copy + Sync, slope: f32) -> Result<Inner> {
    let values = map(slice(numbers(x)?), f);
    Ok(record(&[x], x.shape, values, move |g, sinks| match slope {
        1.0 => sinks.pass_changed(0, g, |_| {}),
        _ => sinks.pass(0, g, [], move |g, []| g * slope),
    }))
}

/// A derivative of a function of two numbers.
#[derive(Clone, Copy)]
pub(super) enum Slope<F> {
    Constant(f32),
    Of(F),
}

/// 1 everywhere.
pub(super) const ONE: Slope<fn(f32, f32) -> f32> = Slope::Constant(1.0);

/// −1 everywhere.
pub(super) const MINUS_ONE: Slope<fn(f32, f32) -> f32> = Slope::Constant(-1.0);

/// An elementwise function of two shapes that broadcast to `shape`, with its two derivatives.
pub(super) fn pair(
    [a, b]: [&Inner; 2],
    shape: Shape,
    f: impl Fn(f32, f32) -> f32 + Copy + Sync,
    dl: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync + 'static>,
    dr: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync + 'static>,
) -> Result<Inner> {
    let (left, right) = (numbers(a)?, numbers(b)?);
    let zip = Zip::new([a.shape.padded(), b.shape.padded()]);
    let values = zip.apply([left, right].map(slice), f);
    let saved = (left.clone(), right.clone());
    Ok(record(&[a, b], shape, values, move |g, sinks| {
        let operands = [slice(&saved.0), slice(&saved.1)];
        // The operand whose gradient may reuse the memory of the result's comes last.
        if zip.is_whole(1) && sinks.wants(1) {
            back(&zip, (0, false), (g, sinks), operands, dl);
            back(&zip, (1, true), (g, sinks), operands, dr);
        } else {
            back(&zip, (1, false), (g, sinks), operands, dr);
            back(&zip, (0, true), (g, sinks), operands, dl);
        }
    }))
}

/// Adds to the gradient of the operand on one side, which may be the last one to need `g`.
fn back(
    zip: &Zip,
    (side, last): (usize, bool),
    (g, sinks): (&mut Gradient, &mut Sinks<'_>),
    operands: [&[f32]; 2],
    slope: Slope<impl Fn(f32, f32) -> f32 + Copy + Sync>,
) {
    if !sinks.wants(side) {
        return;
    }
    match (slope, zip.is_whole(side)) {
        (Slope::Constant(1.0), true) if last => sinks.pass_changed(side, g, |_| {}),
        (Slope::Constant(slope), true) if last => sinks.pass(side, g, [], move |g, []| slope * g),
        (Slope::Constant(slope), true) => sinks.add(side, [g], move |[g]| slope * g),
        (Slope::Of(f), true) if last => sinks.pass_changed(side, g, |g| {
            zip.change(g, operands, move |g, x, y| shared(g, f(x, y)));
        }),
        (Slope::Of(f), true) => {
            // The other side is whole, too, or it would come first.
            let [x, y] = operands;
            sinks.add(side, [g, x, y], move |[g, x, y]| shared(g, f(x, y)));
        }
        (slope, false) => {
            let Some(sink) = sinks.get(side) else { return };
            match slope {
                Slope::Constant(slope) => zip.sum(sink, side, g, operands, slope),
                Slope::Of(f) => {
                    zip.reduce(sink, side, g, operands, move |g, x, y| shared(g, f(x, y)))
                }
            }
        }
    }
}

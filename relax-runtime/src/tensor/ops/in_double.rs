//! Functions of a few numbers, computed in `f64`, whose derivatives are asked for on the way back.

use super::super::native::record::record;
use super::super::native::{self, Buffer};
use super::super::{Inner, Shape, Tensor};

impl Tensor {
    /// `f` of the operands' elements, each of a shape of as many elements or a single number, with its derivative
    /// by the operand of a number. `None` for operands with tangents, in several cases, on a GPU, or that repeat
    /// along some of their axes only.
    pub(crate) fn each_in_double<const N: usize>(
        operands: [&Tensor; N],
        shape: Shape,
        f: impl Fn([f64; N]) -> f64,
        slope: impl Fn(usize, [f64; N]) -> f64 + 'static,
    ) -> Option<Tensor> {
        let len = shape.numel();
        let first = operands.first()?.0.as_ref().ok()?;
        let inners: [&Inner; N] = operands.map(|x| &**x.0.as_ref().unwrap_or(first));
        let fits = |x: &&Inner| {
            let has_numbers = x.data.native().is_some() && x.tangent.is_none() && x.cases.is_none();
            has_numbers && (x.shape == shape || x.shape.numel() == 1)
        };
        if !operands.iter().all(|x| x.0.is_ok()) || !inners.iter().all(fits) {
            return None;
        }
        let zero = || Buffer::full(1, 0.0);
        let numbers = inners.map(|x| x.data.native().map_or_else(zero, Buffer::clone));
        let values = Buffer::of_each(len, |i| f(at(&numbers, i)) as f32);
        Some(Tensor::new(record(
            &inners,
            shape,
            values,
            move |g, sinks| {
                for operand in 0..N {
                    let Some(sink) = sinks.get(operand) else {
                        continue;
                    };
                    for (i, g) in g.iter().enumerate() {
                        let slope = slope(operand, at(&numbers, i));
                        sink[place(sink.len(), i)] += finite(f64::from(*g) * slope);
                    }
                }
            },
        )))
    }
}

/// A part of a gradient, kept from overflow: infinite, it would be no number times a derivative of 0 further up.
fn finite(x: f64) -> f32 {
    const MOST: f64 = f32::MAX as f64 / 1024.0;
    match x.is_finite() {
        true => x.clamp(-MOST, MOST) as f32,
        false => x as f32,
    }
}

/// Where the number of a place is among so many.
fn place(len: usize, i: usize) -> usize {
    if len == 1 { 0 } else { i }
}

/// The operands' numbers at a place.
fn at<const N: usize>(numbers: &[Buffer; N], i: usize) -> [f64; N] {
    numbers.each_ref().map(|numbers| {
        let numbers = native::slice(numbers);
        f64::from(numbers[place(numbers.len(), i)])
    })
}

//! Functions of a few numbers, computed in `f64`, with their derivatives.

use super::super::native::record::record;
use super::super::native::{self, Buffer};
use super::super::{Inner, Shape, Tensor};

impl Tensor {
    /// `f` of the operands' elements, where each operand broadcasts to the given shape, with derivatives with
    /// respect to the operands that are differentiated. `None` for operands with tangents, in several cases, on a
    /// GPU, or that repeat along other axes than their first ones.
    pub(crate) fn each_in_double<const N: usize>(
        operands: [&Tensor; N],
        shape: Shape,
        f: impl Fn([f64; N]) -> f64,
        slope: impl Fn(usize, [f64; N]) -> f64,
    ) -> Option<Tensor> {
        let len = shape.numel();
        let first = operands.first()?.0.as_ref().ok()?;
        let inners: [&Inner; N] = operands.map(|x| &**x.0.as_ref().unwrap_or(first));
        let fits = |x: &&Inner| {
            let has_numbers = x.data.native().is_some() && x.tangent.is_none() && x.cases.is_none();
            has_numbers && ends(x.shape, shape)
        };
        if !operands.iter().all(|x| x.0.is_ok()) || !inners.iter().all(fits) {
            return None;
        }
        let zero = || Buffer::full(1, 0.0);
        let numbers = inners.map(|x| x.data.native().map_or_else(zero, Buffer::clone));
        let tracked = inners.map(|x| x.node.is_some());
        // In the backward pass they would have to be looked up once more, or be computed from the operands.
        let room = |tracked| Buffer::filled(if tracked { len } else { 0 }, |_| {});
        let mut slopes = tracked.map(room);
        let at = |x| {
            let slope = |operand: usize| tracked[operand].then(|| slope(operand, x));
            let slopes = std::array::from_fn(|operand| slope(operand).unwrap_or(0.0));
            (f(x), slopes)
        };
        let values = Buffer::filled(len, |out| {
            let (operands, mut known) = (numbers.each_ref().map(native::slice), Known::of(len));
            let mut slopes = slopes.each_mut().map(Buffer::as_mut_slice);
            let piece = piece_of(&operands, len);
            for (start, out) in (0..len).step_by(piece).zip(out.chunks_mut(piece)) {
                let parts = operands.map(|x| part_of(x, start, piece));
                for (i, out) in out.iter_mut().enumerate() {
                    let x = parts.map(|part| part[i.min(part.len() - 1)]);
                    let (value, by_operand) = known.get(x, at);
                    *out = value as f32;
                    for (slopes, by_operand) in slopes.iter_mut().zip(by_operand) {
                        if let Some(slope) = slopes.get_mut(start + i) {
                            *slope = finite(by_operand);
                        }
                    }
                }
            }
        });
        Some(Tensor::new(record(
            &inners,
            shape,
            values,
            move |g, sinks| {
                for (operand, slopes) in slopes.iter().map(native::slice).enumerate() {
                    let Some(sink) = sinks.get(operand) else {
                        continue;
                    };
                    let len = sink.len().max(1);
                    for (g, slopes) in g.chunks(len).zip(slopes.chunks(len)) {
                        for ((sink, &g), &slope) in sink.iter_mut().zip(g).zip(slopes) {
                            let part = finite(f64::from(g) * f64::from(slope));
                            *sink += if g == 0.0 { 0.0 } else { part };
                        }
                    }
                }
            },
        )))
    }
}

/// A part of a gradient, kept from overflow: infinity times a derivative of 0 further up would be NaN.
fn finite(x: f64) -> f32 {
    const MOST: f64 = f32::MAX as f64 / 1024.0;
    match x.is_finite() {
        true => x.clamp(-MOST, MOST) as f32,
        false => x as f32,
    }
}

/// How many consecutive elements of the result are made from consecutive elements of all operands: as many as the
/// shortest operand has that is not a single number.
fn piece_of<const N: usize>(operands: &[&[f32]; N], len: usize) -> usize {
    let lens = operands.iter().map(|x| x.len()).filter(|&len| len > 1);
    lens.min().unwrap_or(len).max(1)
}

/// An operand's elements for a piece of the result, or its only one.
fn part_of(x: &[f32], start: usize, piece: usize) -> &[f32] {
    let start = start % x.len().max(1);
    x.get(start..start + piece).unwrap_or(x)
}

/// Whether another shape ends with this one, apart from leading axes of length 1: its numbers repeat as a whole.
fn ends(own: Shape, whole: Shape) -> bool {
    let (own, whole) = (own.padded(), whole.padded());
    let front = own.iter().take_while(|&&len| len == 1).count();
    own[front..] == whole[front..]
}

/// Results by their arguments: where choices have few values the same numbers come again and again.
struct Known<const N: usize> {
    results: Option<Box<[Slot<N>; SLOTS]>>,
}

/// The bits of arguments, and the result: a value and its derivatives.
type Slot<const N: usize> = ([u32; N], (f64, [f64; N]));

const SLOTS: usize = 64;

impl<const N: usize> Known<N> {
    /// A table for `len` results; for few no table is kept.
    fn of(len: usize) -> Self {
        // Only a NaN has these bits, and its result is NaN.
        let nothing = ([u32::MAX; N], (f64::NAN, [f64::NAN; N]));
        Self {
            results: (len > SLOTS).then(|| Box::new([nothing; SLOTS])),
        }
    }

    /// The function at these numbers.
    #[inline]
    fn get(&mut self, x: [f32; N], f: impl Fn([f64; N]) -> (f64, [f64; N])) -> (f64, [f64; N]) {
        let Some(results) = &mut self.results else {
            return f(x.map(f64::from));
        };
        let key = x.map(f32::to_bits);
        let mixed = key.iter().fold(0_u32, |mixed, bits| {
            (mixed.rotate_left(5) ^ bits).wrapping_mul(0x9E37_79B9)
        });
        let slot = &mut results[(mixed >> 26) as usize];
        if slot.0 != key {
            *slot = (key, f(x.map(f64::from)));
        }
        slot.1
    }
}

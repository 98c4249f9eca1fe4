//! Functions of a few numbers, computed in `f64`, whose derivatives are asked for on the way back.

use super::super::native::record::record;
use super::super::native::{self, Buffer};
use super::super::{Inner, Shape, Tensor};

impl Tensor {
    /// `f` of the operands' elements, each of a shape that broadcasts to this one, with its derivative
    /// by the operand of a number. `None` for operands with tangents, in several cases, on a GPU, or that repeat
    /// along other axes than their first ones.
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
            has_numbers && ends(x.shape, shape)
        };
        if !operands.iter().all(|x| x.0.is_ok()) || !inners.iter().all(fits) {
            return None;
        }
        let zero = || Buffer::full(1, 0.0);
        let numbers = inners.map(|x| x.data.native().map_or_else(zero, Buffer::clone));
        let values = Buffer::filled(len, |out| {
            let (arguments, mut known) = (Walk::over(&numbers), Known::of(len));
            for (out, x) in out.iter_mut().zip(arguments) {
                *out = known.get(x, &f) as f32;
            }
        });
        Some(Tensor::new(record(
            &inners,
            shape,
            values,
            move |g, sinks| {
                for operand in 0..N {
                    let Some(sink) = sinks.get(operand) else {
                        continue;
                    };
                    let (arguments, mut known) = (Walk::over(&numbers), Known::of(len));
                    let slope = |x| slope(operand, x);
                    let places = (0..sink.len()).cycle();
                    for ((&g, x), place) in g.iter().zip(arguments).zip(places) {
                        if g != 0.0 {
                            sink[place] += finite(f64::from(g) * known.get(x, slope));
                        }
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

/// The operands' elements one by one, those of shorter ones again and again.
struct Walk<'a, const N: usize> {
    numbers: [&'a [f32]; N],
    at: [usize; N],
}

impl<'a, const N: usize> Walk<'a, N> {
    fn over(numbers: &'a [Buffer; N]) -> Self {
        Self {
            numbers: numbers.each_ref().map(native::slice),
            at: [0; N],
        }
    }
}

impl<const N: usize> Iterator for Walk<'_, N> {
    type Item = [f32; N];

    #[inline]
    fn next(&mut self) -> Option<[f32; N]> {
        let mut here = [0.0; N];
        for ((here, numbers), at) in here.iter_mut().zip(&self.numbers).zip(&mut self.at) {
            *here = *numbers.get(*at)?;
            *at += 1;
            if *at == numbers.len() {
                *at = 0;
            }
        }
        Some(here)
    }
}

/// Whether a shape is what another one ends with, after axes of length 1: its numbers repeat as a whole.
fn ends(own: Shape, whole: Shape) -> bool {
    let (own, whole) = (own.padded(), whole.padded());
    let front = own.iter().take_while(|&&len| len == 1).count();
    own[front..] == whole[front..]
}

/// Results by their arguments: where choices are among few values the same numbers come again and again.
struct Known<const N: usize> {
    results: Option<Box<[Slot<N>; SLOTS]>>,
}

/// The bits of arguments, and the result.
type Slot<const N: usize> = ([u32; N], f64);

const SLOTS: usize = 64;

impl<const N: usize> Known<N> {
    /// For so many results; few are not looked for.
    fn of(len: usize) -> Self {
        // No number has these bits but one that is none, as its result is.
        let nothing = ([u32::MAX; N], f64::NAN);
        Self {
            results: (len > SLOTS).then(|| Box::new([nothing; SLOTS])),
        }
    }

    /// The function of the numbers at a place.
    fn get(&mut self, x: [f32; N], f: impl Fn([f64; N]) -> f64) -> f64 {
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

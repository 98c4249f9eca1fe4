//! Functions of two arrays whose shapes broadcast, read by strides instead of copied.

use std::ops::Range;

use super::super::shape::MAX_RANK;
use super::pointwise::{self, FEW};
use super::rows::{sum, sum_of_blocks};
use super::starts::Starts;
use super::sums;
use super::threads::{fill, rows_a_share};
use super::{Buffer, memory};

/// Number of terms that are computed before they are added.
const BLOCK: usize = 256;

/// How a result's elements map to those of two operands.
#[derive(Clone, Copy)]
pub(in super::super) struct Zip {
    /// Axes of the result, with neighbors merged where both operands continue in the same way. Along the last
    /// one, a run, each operand is contiguous or repeats one number.
    shape: [usize; MAX_RANK],
    /// For each operand, the axes along which it repeats, one bit each.
    repeats: [u8; 2],
}

impl Zip {
    /// The map for operands of these shapes, which broadcast.
    pub(in super::super) fn new(shapes: [[usize; MAX_RANK]; 2]) -> Self {
        let (mut shape, mut repeats) = ([1; MAX_RANK], [0; 2]);
        if shapes[0] == shapes[1] {
            shape[MAX_RANK - 1] = shapes[0].iter().product();
            return Self { shape, repeats };
        }
        // The place of the axis being merged, and which operands repeat along it.
        let (mut k, mut here) = (MAX_RANK, [false; 2]);
        for axis in (0..MAX_RANK).rev() {
            let [a, b] = shapes.map(|shape| shape[axis]);
            let len = if a == 1 { b } else { a };
            if len == 1 {
                continue;
            }
            let repeated = [a, b].map(|own| own == 1);
            if k < MAX_RANK && repeated == here {
                shape[k] *= len;
                continue;
            }
            k -= 1;
            (shape[k], here) = (len, repeated);
            for (repeats, repeated) in repeats.iter_mut().zip(repeated) {
                *repeats |= u8::from(repeated) << k;
            }
        }
        Self { shape, repeats }
    }

    /// Whether an operand has as many elements as the result.
    #[inline]
    pub(in super::super) fn is_whole(&self, side: usize) -> bool {
        self.repeats[side] == 0
    }

    /// Strides of an operand, 0 where it repeats.
    fn strides(&self, side: usize) -> [usize; MAX_RANK] {
        let mut len = 1;
        let mut strides = [0; MAX_RANK];
        for axis in (0..MAX_RANK).rev() {
            if self.repeats[side] >> axis & 1 == 0 {
                strides[axis] = len;
                len *= self.shape[axis];
            }
        }
        strides
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.shape[MAX_RANK - 1]
    }

    fn runs(&self) -> usize {
        self.shape[..MAX_RANK - 1].iter().product()
    }

    /// Whether an operand repeats one number along a run.
    #[inline(always)]
    fn repeats(&self, side: usize) -> bool {
        self.repeats[side] >> (MAX_RANK - 1) & 1 == 1
    }

    /// The axes along which an operand repeats.
    fn repeated_axes(&self, side: usize) -> [bool; MAX_RANK] {
        std::array::from_fn(|axis| self.repeats[side] >> axis & 1 == 1)
    }

    /// Whether there are few elements, in one run: an element's place in an operand is then its own, or 0
    /// where the operand repeats.
    #[inline(always)]
    fn is_short(&self) -> bool {
        self.len() <= FEW && self.runs() == 1
    }

    /// The operands' elements at a place of a short run.
    #[inline(always)]
    fn at(&self, [x, y]: [&[f32]; 2], i: usize) -> [f32; 2] {
        let place = |side: usize| if self.repeats(side) { 0 } else { i };
        [x[place(0)], y[place(1)]]
    }

    /// Where these runs start in the operands.
    #[inline(always)]
    fn starts(&self, runs: Range<usize>) -> Starts<'_> {
        Starts::new(&self.shape, [self.strides(0), self.strides(1)], runs)
    }

    /// A loop shared between threads over the elements of one run, or over runs: calls `work` with parts of the map
    /// and of the operands, and the runs of the part of `out`.
    fn share(
        &self,
        out: &mut [f32],
        [x, y]: [&[f32]; 2],
        work: impl Fn(&mut [f32], &Self, Range<usize>, [&[f32]; 2]) + Sync,
    ) {
        if out.is_empty() {
            return;
        }
        if self.runs() > 1 {
            let (unit, least) = (self.len(), rows_a_share(self.len()));
            fill([(out, unit)], least, |runs, [out]| {
                work(out, self, runs, [x, y]);
            });
            return;
        }
        fill([(out, 1)], rows_a_share(1), |range, [out]| {
            let mut part = *self;
            part.shape[MAX_RANK - 1] = range.len();
            let of = |side: usize, x: &'_ [f32]| match self.repeats(side) {
                true => 0..x.len(),
                false => range.clone(),
            };
            work(out, &part, 0..1, [&x[of(0, x)], &y[of(1, y)]]);
        });
    }

    /// `f` of the operands.
    #[inline]
    pub(in super::super) fn apply(
        &self,
        operands: [&[f32]; 2],
        f: impl Fn(f32, f32) -> f32 + Copy + Sync,
    ) -> Buffer {
        if self.is_short() {
            let each = |i: usize| {
                let [x, y] = self.at(operands, i);
                f(x, y)
            };
            return Buffer::of_each(self.len(), each);
        }
        Buffer::filled(self.runs() * self.len(), |out| {
            self.share(out, operands, |out, zip, runs, operands| {
                change_runs(out, zip, runs, operands, move |_, x, y| f(x, y));
            });
        })
    }

    /// `values = f` of themselves, which have the result's shape, and of the operands.
    pub(in super::super) fn change(
        &self,
        values: &mut [f32],
        operands: [&[f32]; 2],
        f: impl Fn(f32, f32, f32) -> f32 + Copy + Sync,
    ) {
        if self.is_short() {
            for (i, value) in values.iter_mut().enumerate() {
                let [x, y] = self.at(operands, i);
                *value = f(*value, x, y);
            }
            return;
        }
        self.share(values, operands, |values, zip, runs, operands| {
            change_runs(values, zip, runs, operands, f);
        });
    }

    /// Adds `sign` times `g`, which has the result's shape, to `sink`, which has the shape of the
    /// operand on that side and repeats in it.
    pub(in super::super) fn sum(
        &self,
        sink: &mut [f32],
        side: usize,
        g: &[f32],
        operands: [&[f32]; 2],
        sign: f32,
    ) {
        let (runs, len) = (self.runs(), self.len());
        if g.is_empty() {
            return;
        }
        if g.len() <= sums::FEW * sink.len() && (!self.repeats(side) || sink.len() != runs) {
            return self.reduce(sink, side, g, operands, move |g, _, _| sign * g);
        }
        if self.repeats(side) && sink.len() == runs {
            fill([(sink, 1)], rows_a_share(len), |runs, [sink]| {
                sum_runs(sink, len, &g[runs.start * len..runs.end * len], sign);
            });
            return;
        }
        let mut total = memory::zeros(sink.len());
        sums::add_axes(&mut total, g, self.shape, self.repeated_axes(side));
        pointwise::add_pointwise(sink, [&total], move |[x]| sign * x);
        memory::give_numbers(total);
    }

    /// Adds `f` of `g`, which has the result's shape, and of the operands to `sink`, which has the shape
    /// of one of them: summed where it repeats.
    pub(in super::super) fn reduce(
        &self,
        sink: &mut [f32],
        side: usize,
        g: &[f32],
        operands: [&[f32]; 2],
        f: impl Fn(f32, f32, f32) -> f32 + Copy + Sync,
    ) {
        let (runs, len) = (self.runs(), self.len());
        if g.is_empty() {
            return;
        }
        if self.is_short() {
            let terms = g.iter().enumerate().map(|(i, &g)| {
                let [x, y] = self.at(operands, i);
                f(g, x, y)
            });
            match self.repeats(side) {
                true => sink[0] += terms.sum::<f32>(),
                false => sink
                    .iter_mut()
                    .zip(terms)
                    .for_each(|(sink, term)| *sink += term),
            }
            return;
        }
        // One number per run, or one row that all runs are added to, can be shared between threads.
        if self.repeats(side) && sink.len() == runs {
            fill([(sink, 1)], rows_a_share(len), |runs, [sink]| {
                let from = runs.start;
                reduce_runs((sink, from, side), self, (runs, 0..len), g, operands, f);
            });
        } else if !self.repeats(side) && sink.len() == len {
            fill([(sink, 1)], rows_a_share(runs), |columns, [sink]| {
                sums::in_blocks(sink, runs, |sink, runs| {
                    let part = (runs, columns.clone());
                    reduce_runs((sink, columns.start, side), self, part, g, operands, f);
                });
            });
        } else if g.len() > sums::FEW * sink.len() {
            let mut terms = memory::copy(g);
            self.change(&mut terms, operands, f);
            sums::add_axes(sink, &terms, self.shape, self.repeated_axes(side));
            memory::give(terms);
        } else {
            reduce_runs((sink, 0, side), self, (0..runs, 0..len), g, operands, f);
        }
    }
}

/// The loop over a part of a run; `out` has a number for each of `columns`.
macro_rules! run {
    ($zip:ident, $starts:ident, $columns:expr, $x:ident, $y:ident, $out:ident, |$o:pat_param, $l:ident, $r:ident| $body:expr) => {{
        let columns: Range<usize> = $columns;
        let [left, right] = $starts;
        let part = |start: usize| start + columns.start..start + columns.end;
        if $zip.repeats(0) {
            let $l = $x[left];
            for ($o, &$r) in $out.zip(&$y[part(right)]) {
                $body
            }
        } else if $zip.repeats(1) {
            let $r = $y[right];
            for ($o, &$l) in $out.zip(&$x[part(left)]) {
                $body
            }
        } else {
            for (($o, &$l), &$r) in $out.zip(&$x[part(left)]).zip(&$y[part(right)]) {
                $body
            }
        }
    }};
}

vectorised! {
    fn sum_runs(sink: &mut [f32], len: usize, g: &[f32], sign: f32) {
        for (sink, g) in sink.iter_mut().zip(g.chunks_exact(len)) {
            *sink += sign * sum_of_blocks(g);
        }
    }

    fn change_runs[F: Fn(f32, f32, f32) -> f32](
        out: &mut [f32],
        zip: &Zip,
        runs: Range<usize>,
        operands: [&[f32]; 2],
        f: F,
    ) {
        let ([x, y], len) = (operands, zip.len());
        let mut outs = out.chunks_exact_mut(len);
        // Not a `zip` of both, whose `next` would not be inlined into the loop.
        for starts in zip.starts(runs) {
            let Some(out) = outs.next() else { return };
            let out = out.iter_mut();
            run!(zip, starts, 0..len, x, y, out, |out, x, y| *out = f(*out, x, y));
        }
    }

    /// `sink` begins at an element of the operand on that side.
    fn reduce_runs[F: Fn(f32, f32, f32) -> f32](
        sink: (&mut [f32], usize, usize),
        zip: &Zip,
        part: (Range<usize>, Range<usize>),
        g: &[f32],
        operands: [&[f32]; 2],
        f: F,
    ) {
        let ((sink, from, side), (runs, columns)) = (sink, part);
        let ([x, y], len) = (operands, zip.len());
        let mut terms = [0.0; BLOCK];
        let mut rows = g.chunks_exact(len).skip(runs.start);
        for starts in zip.starts(runs) {
            let Some(g) = rows.next() else { return };
            if !zip.repeats(side) {
                let sink = &mut sink[starts[side] + columns.start - from..][..columns.len()];
                let out = sink.iter_mut().zip(&g[columns.clone()]);
                run!(zip, starts, columns.clone(), x, y, out, |(sink, &g), x, y| *sink +=
                    f(g, x, y));
                continue;
            }
            let mut double = 0.0;
            for start in columns.clone().step_by(BLOCK) {
                let block = start..columns.end.min(start + BLOCK);
                let g = &g[block.clone()];
                let terms = &mut terms[..g.len()];
                let out = terms.iter_mut().zip(g);
                run!(zip, starts, block.clone(), x, y, out, |(term, &g), x, y| *term = f(g, x, y));
                double += f64::from(sum(terms));
            }
            sink[starts[side] - from] += double as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::with_threads;
    use super::*;

    /// The place of a broadcast operand's element for the element `i` of the result.
    fn place(i: usize, shape: [usize; MAX_RANK], of: [usize; MAX_RANK]) -> usize {
        let (mut rest, mut stride, mut at) = (i, 1, 0);
        for axis in (0..MAX_RANK).rev() {
            let k = rest % shape[axis];
            rest /= shape[axis];
            if of[axis] > 1 {
                at += k * stride;
            }
            stride *= of[axis];
        }
        at
    }

    #[test]
    fn agrees_with_places_counted_one_by_one_whatever_the_thread_count() {
        for [a, b] in [
            [[1, 1, 1, 1], [1, 1, 1, 1]],
            [[1, 1, 3, 5], [1, 1, 3, 5]],
            [[1, 1, 1, 1], [1, 2, 3, 5]],
            [[1, 1, 30, 5], [1, 1, 1, 5]],
            [[1, 1, 30, 1], [1, 1, 30, 2_000]],
            [[1, 1, 30, 1], [1, 1, 1, 2_000]],
            [[1, 1, 1, 2_000], [1, 1, 30, 2_000]],
            [[1, 1, 1, 50_000], [1, 1, 1, 1]],
            [[2, 1, 3, 1], [1, 4, 1, 5]],
            [[2, 4, 1, 5], [2, 1, 3, 5]],
            [[2, 4, 3, 1], [2, 1, 1, 1]],
            [[1, 1, 0, 1], [1, 1, 1, 5]],
            [[1, 1, 50_000, 3], [1, 1, 1, 3]],
            [[40, 1, 500, 1], [1, 3, 1, 2]],
            [[1, 3, 1, 1], [300, 3, 20, 1]],
        ] {
            let shape = std::array::from_fn(|k| if a[k] == 1 { b[k] } else { a[k] });
            let numbers = |len: usize, by: usize| -> Vec<f32> {
                (0..len)
                    .map(|i| ((i * by) % 1_009) as f32 / 504.0)
                    .collect()
            };
            let len = shape.iter().product();
            let x = numbers(a.iter().product(), 7_919);
            let y = numbers(b.iter().product(), 104_729);
            let g = numbers(len, 31);
            let zip = Zip::new([a, b]);
            let pairs: Vec<(f32, f32)> = (0..len)
                .map(|i| (x[place(i, shape, a)], y[place(i, shape, b)]))
                .collect();
            for threads in [1, 3] {
                let found = with_threads(threads, || zip.apply([&x, &y], |x, y| x - 2.0 * y));
                let found = found.into_vec();
                let want: Vec<f32> = pairs.iter().map(|(x, y)| x - 2.0 * y).collect();
                assert_eq!(found, want, "{a:?} {b:?}");
                let mut found = g.clone();
                with_threads(threads, || {
                    zip.change(&mut found, [&x, &y], |g, x, y| g * x + y)
                });
                let want = pairs.iter().zip(&g).map(|((x, y), g)| g * x + y);
                assert_eq!(found, want.collect::<Vec<_>>(), "{a:?} {b:?}");
            }
            for (side, (of, len)) in [(a, x.len()), (b, y.len())].into_iter().enumerate() {
                let run = |threads: usize| {
                    let mut sink = vec![0.5; len];
                    with_threads(threads, || {
                        zip.reduce(&mut sink, side, &g, [&x, &y], |g, x, y| g * x + y);
                    });
                    sink
                };
                let found = run(1);
                assert!(found == run(3), "{a:?} {b:?}: threads change numbers");
                let mut want = vec![0.5; len];
                for (i, (x, y)) in pairs.iter().enumerate() {
                    want[place(i, shape, of)] += f64::from(g[i] * x + y);
                }
                for (found, want) in found.iter().zip(want) {
                    let error = (f64::from(*found) - want).abs();
                    assert!(
                        error <= 3e-6 * want.abs(),
                        "{a:?} {b:?}: {found} is not {want}"
                    );
                }
            }
        }
    }
}

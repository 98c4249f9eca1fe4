//! Layers of small networks in plain loops over slices.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::nn::{Activation, Linear};
use crate::tensor::native::rows::dot;
use crate::tensor::{Device, Shape, Tensor};

/// A layer between two levels, and where its parameters start: the weight, then the bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) inputs: usize,
    outputs: usize,
    start: usize,
    /// Numbers per row in all levels before the layer's inputs.
    below: usize,
}

/// A network's levels (z, the hidden layers, the value), with its parameters one after the other.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// From h to the first hidden level.
    pub(super) before: Layer,
    /// From each level to the next.
    pub(super) layers: SmallVec<[Layer; 3]>,
    /// The shape of each parameter: a weight and a bias per layer, `before` first.
    pub(super) shapes: Rc<[Shape]>,
    /// Total length of all parameters.
    pub(super) parameters: usize,
    /// Elements of all weights; 0 if a layer has none.
    weights: usize,
    /// Numbers per row in all levels.
    pub(super) width: usize,
}

impl Layout {
    /// Maximum number of products of an input and a weight for which plain loops are faster.
    pub(super) const LARGEST: usize = 2_048;

    pub(super) fn new(before: &Linear, layers: &[Linear]) -> Self {
        let mut start = 0;
        let mut next = |layer: &Linear, below| {
            let shape = layer.weight.shape();
            let layer = Layer {
                inputs: shape[0],
                outputs: shape[1],
                start,
                below,
            };
            start += (layer.inputs + 1) * layer.outputs;
            layer
        };
        let before_at = next(before, 0);
        let mut below = 0;
        let mut layers_at: SmallVec<[Layer; 3]> = SmallVec::new();
        for layer in layers {
            layers_at.push(next(layer, below));
            below += layers_at[layers_at.len() - 1].inputs;
        }
        let all = std::iter::once(before).chain(layers);
        let sizes = all.clone().map(|layer| layer.weight.shape().numel());
        Self {
            before: before_at,
            layers: layers_at,
            weights: match sizes.clone().min() {
                Some(0) => 0,
                _ => sizes.sum(),
            },
            shapes: all
                .flat_map(|layer| [layer.weight.shape(), layer.bias.shape()])
                .collect(),
            parameters: start,
            width: below + 1,
        }
    }

    /// The first and the last layer.
    pub(super) fn ends(&self) -> (Layer, Layer) {
        (self.layers[0], self.layers[self.layers.len() - 1])
    }

    /// The number of rows, if the network is small and its operands fit and are on the CPU.
    pub(super) fn rows(
        &self,
        z: &Tensor,
        theta: &Tensor,
        context: Option<&Tensor>,
        plates: usize,
    ) -> Option<usize> {
        let (rows, numbers) = size(z, plates);
        let theta = size(theta, plates);
        let context = context.map_or((rows, 0), |h| size(h, plates));
        let fits = numbers == self.layers[0].inputs
            && (theta.0, context.0) == (rows, rows)
            && theta.1 + context.1 == self.before.inputs;
        (fits && self.is_small(rows) && z.device() == Device::cpu()).then_some(rows)
    }

    /// Whether the network is small for this number of rows.
    pub(super) fn is_small(&self, rows: usize) -> bool {
        (1..=Self::LARGEST).contains(&(rows * self.weights))
    }
}

/// The number of rows, and that of numbers in each.
fn size(x: &Tensor, plates: usize) -> (usize, usize) {
    let shape = x.shape();
    (
        shape.iter().take(plates).product(),
        shape.iter().skip(plates).product(),
    )
}

/// Operations on one row.
impl Layer {
    #[inline(always)]
    fn weight<'p>(&self, parameters: &'p [f32]) -> &'p [f32] {
        &parameters[self.start..][..self.inputs * self.outputs]
    }

    #[inline(always)]
    fn bias<'p>(&self, parameters: &'p [f32]) -> &'p [f32] {
        &parameters[self.start + self.inputs * self.outputs..][..self.outputs]
    }

    /// Inputs and outputs among all levels.
    #[inline(always)]
    pub(super) fn both<'l>(&self, levels: &'l [f32]) -> (&'l [f32], &'l [f32]) {
        levels[self.below..][..self.inputs + self.outputs].split_at(self.inputs)
    }

    /// The same, to be written.
    #[inline(always)]
    pub(super) fn both_mut<'l>(&self, levels: &'l mut [f32]) -> (&'l mut [f32], &'l mut [f32]) {
        levels[self.below..][..self.inputs + self.outputs].split_at_mut(self.inputs)
    }

    /// `out += x W`.
    #[inline(always)]
    pub(super) fn add_product(&self, parameters: &[f32], x: &[f32], out: &mut [f32]) {
        let weight = self.weight(parameters);
        if let [out] = out {
            *out += dot(x, weight);
            return;
        }
        for (i, x) in x.iter().enumerate() {
            add_scaled(out, &weight[i * self.outputs..], *x);
        }
    }

    /// `out += x W + b`.
    #[inline(always)]
    pub(super) fn add_applied(&self, parameters: &[f32], x: &[f32], out: &mut [f32]) {
        let bias = self.bias(parameters);
        if let [x] = x {
            let weight = self.weight(parameters);
            at_each(out, [bias, weight], |out, [b, w]| out + b + x * w);
            return;
        }
        add_scaled(out, bias, 1.0);
        self.add_product(parameters, x, out);
    }

    /// `out = x Wᵀ`; `out` holds zeros.
    #[inline(always)]
    pub(super) fn transposed_product(&self, parameters: &[f32], x: &[f32], out: &mut [f32]) {
        let weight = self.weight(parameters);
        if let [x] = x {
            add_scaled(out, weight, *x);
            return;
        }
        for (i, out) in out.iter_mut().enumerate() {
            *out = dot(&weight[i * self.outputs..][..self.outputs], x);
        }
    }

    /// Adds aᵀ b to the gradient of the weight, and b to that of the bias.
    #[inline(always)]
    pub(super) fn add_outer(&self, gradient: &mut [f32], a: &[f32], b: &[f32]) {
        let (weight, bias) = self.gradients(gradient);
        add_scaled(bias, b, 1.0);
        if let [b] = b {
            add_scaled(weight, a, *b);
            return;
        }
        for (a, weight) in a.iter().zip(weight.chunks_exact_mut(self.outputs)) {
            add_scaled(weight, b, *a);
        }
    }

    /// Adds aᵀ b + cᵀ d to the gradient of the weight, and d to that of the bias.
    #[inline(always)]
    pub(super) fn add_outers(
        &self,
        gradient: &mut [f32],
        [a, c]: [&[f32]; 2],
        [b, d]: [&[f32]; 2],
    ) {
        let (weight, bias) = self.gradients(gradient);
        add_scaled(bias, d, 1.0);
        if let ([b], [d]) = (b, d) {
            at_each(weight, [a, c], |out, [a, c]| out + (b * a + d * c));
            return;
        }
        let rows = weight.chunks_exact_mut(self.outputs);
        for ((a, c), weight) in a.iter().zip(c).zip(rows) {
            at_each(weight, [b, d], |out, [b, d]| out + (a * b + c * d));
        }
    }

    /// Those of the weight and the bias among the gradients of all parameters.
    #[inline(always)]
    fn gradients<'g>(&self, gradient: &'g mut [f32]) -> (&'g mut [f32], &'g mut [f32]) {
        let weights = self.inputs * self.outputs;
        gradient[self.start..][..weights + self.outputs].split_at_mut(weights)
    }
}

/// Loops over this many numbers are vector operations without a remainder.
const LANES: usize = 8;

/// `out = f(out, x)` at each place.
#[inline(always)]
pub(super) fn at_each<const N: usize>(
    out: &mut [f32],
    x: [&[f32]; N],
    f: impl Fn(f32, [f32; N]) -> f32,
) {
    let mut blocks: [&[[f32; LANES]]; N] = [&[]; N];
    let mut rests: [&[f32]; N] = [&[]; N];
    for k in 0..N {
        (blocks[k], rests[k]) = x[k][..out.len()].as_chunks();
    }
    let (outs, rest) = out.as_chunks_mut::<LANES>();
    for (at, out) in outs.iter_mut().enumerate() {
        // Copies, so that nothing seems to depend on what is written.
        let mut block = *out;
        let mut of = [[0.0; LANES]; N];
        for k in 0..N {
            of[k] = blocks[k][at];
        }
        for i in 0..LANES {
            let mut x = [0.0; N];
            for k in 0..N {
                x[k] = of[k][i];
            }
            block[i] = f(block[i], x);
        }
        *out = block;
    }
    for (at, out) in rest.iter_mut().enumerate() {
        let mut x = [0.0; N];
        for k in 0..N {
            x[k] = rests[k][at];
        }
        *out = f(*out, x);
    }
}

/// The activation at each place.
#[inline(always)]
pub(super) fn activate(activation: Activation, out: &mut [f32]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    for out in blocks {
        let mut block = *out;
        for x in &mut block {
            *x = activation.of(*x);
        }
        *out = block;
    }
    let mut last = [0.0; LANES];
    for (last, x) in last.iter_mut().zip(&*rest) {
        *last = *x;
    }
    for x in &mut last {
        *x = activation.of(*x);
    }
    for (x, last) in rest.iter_mut().zip(last) {
        *x = last;
    }
}

/// `out += factor x`.
#[inline(always)]
fn add_scaled(out: &mut [f32], x: &[f32], factor: f32) {
    at_each(out, [x], |out, [x]| out + factor * x);
}

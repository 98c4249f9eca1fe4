//! The free-form network in plain loops, for sizes at which calling a tensor operation costs more
//! than its arithmetic.

use std::rc::Rc;

use smallvec::SmallVec;

use super::layers::{Layout, activate, at_each};
use super::{Linearization, VarianceGradient};
use crate::error::{Error, Result};
use crate::nn::Activation;
use crate::tensor::{Shape, Tensor};

/// Cuts a piece off a slice.
pub(crate) fn cut<'m>(memory: &mut &'m mut [f32], len: usize) -> &'m mut [f32] {
    let (piece, rest) = std::mem::take(memory).split_at_mut(len);
    *memory = rest;
    piece
}

/// The numbers of all rows.
struct Numbers<'m> {
    /// The gradient by each parameter.
    gradient: &'m mut [f32],
    parameters: &'m mut [f32],
    h: &'m mut [f32],
    levels: &'m mut [f32],
}

/// The numbers of one row, level by level.
struct Levels<'m> {
    /// What the network computes.
    values: &'m mut [f32],
    /// ∂c/∂(value).
    backs: &'m mut [f32],
    /// δ = ∂c/∂(value before the activation).
    deltas: &'m mut [f32],
    /// Tangents of values.
    tangents: &'m mut [f32],
    /// ∂²c along the tangent, by each hidden value before the activation.
    bends: &'m mut [f32],
    /// Cotangents of values before the activation.
    bars: &'m mut [f32],
}

impl<'m> Numbers<'m> {
    fn len(layout: &Layout, rows: usize) -> usize {
        2 * layout.parameters + rows * (layout.before.inputs + Levels::COUNT * layout.width)
    }

    fn new(layout: &Layout, rows: usize, mut memory: &'m mut [f32]) -> Self {
        Self {
            gradient: cut(&mut memory, layout.parameters),
            parameters: cut(&mut memory, layout.parameters),
            h: cut(&mut memory, rows * layout.before.inputs),
            levels: memory,
        }
    }

    /// h and the levels of a row.
    #[inline(always)]
    fn row(&mut self, layout: &Layout, row: usize) -> (&mut [f32], Levels<'_>) {
        let (h, width) = (layout.before.inputs, layout.width);
        let of_row = &mut self.levels[row * Levels::COUNT * width..][..Levels::COUNT * width];
        (&mut self.h[row * h..][..h], Levels::new(of_row, width))
    }
}

impl<'m> Levels<'m> {
    const COUNT: usize = 6;

    #[inline(always)]
    fn new(memory: &'m mut [f32], width: usize) -> Self {
        let (values, rest) = memory.split_at_mut(width);
        let (backs, rest) = rest.split_at_mut(width);
        let (deltas, rest) = rest.split_at_mut(width);
        let (tangents, rest) = rest.split_at_mut(width);
        let (bends, bars) = rest.split_at_mut(width);
        Self {
            values,
            backs,
            deltas,
            tangents,
            bends,
            bars,
        }
    }
}

vectorised! {
    /// The pass forward from h and z, and the pass back to z.
    fn linearize(layout: &Layout, activation: Activation, rows: usize, numbers: Numbers<'_>) {
        let mut numbers = numbers;
        let parameters = &*std::mem::take(&mut numbers.parameters);
        let (layers, last) = (&layout.layers[..], layout.layers.len() - 1);
        for row in 0..rows {
            let (h, Levels { values, backs, deltas, .. }) = numbers.row(layout, row);
            for (i, layer) in layers.iter().enumerate() {
                let (x, out) = layer.both_mut(values);
                layer.add_applied(parameters, x, out);
                if i == 0 {
                    layout.before.add_applied(parameters, h, out);
                }
                if i < last {
                    activate(activation, out);
                }
            }
            layers[last].both_mut(deltas).1.fill(1.0);
            for layer in layers.iter().rev() {
                let (delta, above) = layer.both_mut(deltas);
                let (back, _) = layer.both_mut(backs);
                layer.transposed_product(parameters, above, back);
                at_each(delta, [back, layer.both(values).0], |_, [back, out]| {
                    back * activation.slope_of(out)
                });
            }
        }
    }

    /// Derivatives of Σ ċ + ⟨c̄, c⟩ by the parameters, where ċ is the tangent along ż: with ȧ the
    /// tangent of a layer's input and h̄ the cotangent of its output, ȧᵀ δ + aᵀ h̄ for each weight.
    /// ż and c̄ are among `tangents` and `bars`.
    fn train(layout: &Layout, activation: Activation, rows: usize, numbers: Numbers<'_>) {
        let mut numbers = numbers;
        let parameters = &*std::mem::take(&mut numbers.parameters);
        let gradient = std::mem::take(&mut numbers.gradient);
        let (layers, last) = (&layout.layers[..], layout.layers.len() - 1);
        for row in 0..rows {
            let (h, Levels { values, backs, deltas, tangents, bends, bars }) =
                numbers.row(layout, row);
            for layer in &layers[..last] {
                let (x, moved) = layer.both_mut(tangents);
                layer.add_product(parameters, x, moved);
                let (_, bends) = layer.both_mut(bends);
                let (_, backs) = layer.both(backs);
                let (_, outs) = layer.both(values);
                at_each(bends, [backs, outs, moved], |_, [back, out, moved]| {
                    let curvature = activation.curvature_of(out);
                    curvature.map_or(0.0, |curvature| back * (curvature * moved))
                });
                at_each(moved, [outs], |moved, [out]| moved * activation.slope_of(out));
            }
            for layer in layers[1..].iter().rev() {
                let (bar, above) = layer.both_mut(bars);
                layer.transposed_product(parameters, above, bar);
                let ((outs, _), (bends, _)) = (layer.both(values), layer.both(bends));
                at_each(bar, [outs, bends], |bar, [out, bend]| {
                    bar * activation.slope_of(out) + bend
                });
            }
            for layer in layers {
                let inputs = [layer.both(tangents).0, layer.both(values).0];
                let outputs = [layer.both(deltas).1, layer.both(bars).1];
                layer.add_outers(gradient, inputs, outputs);
            }
            layout.before.add_outer(gradient, h, layers[0].both(bars).1);
        }
    }
}

/// A network at one z: value, ∂c/∂z, and what their derivatives by the parameters need.
pub(crate) struct PlainPass<'a> {
    layout: &'a Layout,
    activation: Activation,
    rows: usize,
    /// Holds all [`Numbers`].
    memory: Vec<f32>,
}

impl<'a> PlainPass<'a> {
    /// Runs a pass forward from z and what came before it, given in pieces, and a pass back to z, for all
    /// rows, with as many numbers as the layout says. `parameters` writes those of the network.
    pub(super) fn run(
        layout: &'a Layout,
        activation: Activation,
        parameters: impl FnOnce(&mut [f32]) -> Result<()>,
        rows: usize,
        before: &[&[f32]],
        z: &[f32],
    ) -> Result<Self> {
        let mut memory = vec![0.0; Numbers::len(layout, rows)];
        let mut numbers = Numbers::new(layout, rows, &mut memory);
        parameters(numbers.parameters)?;
        let mut from = 0;
        for piece in before {
            let len = piece.len() / rows;
            for row in 0..rows {
                let (h, _) = numbers.row(layout, row);
                h[from..][..len].copy_from_slice(&piece[row * len..][..len]);
            }
            from += len;
        }
        let first = layout.layers[0];
        for row in 0..rows {
            let (_, levels) = numbers.row(layout, row);
            let (start, _) = first.both_mut(levels.values);
            start.copy_from_slice(&z[row * first.inputs..][..first.inputs]);
        }
        linearize(layout, activation, rows, numbers);
        Ok(Self {
            layout,
            activation,
            rows,
            memory,
        })
    }

    /// Returns c(z) of a row, and writes ∂c/∂z to `slope`.
    pub(crate) fn value_and_slope(&mut self, row: usize, slope: &mut [f32]) -> f32 {
        let (first, last) = self.layout.ends();
        let mut numbers = Numbers::new(self.layout, self.rows, &mut self.memory);
        let (_, levels) = numbers.row(self.layout, row);
        slope.copy_from_slice(first.both(levels.backs).0);
        last.both(levels.values).1[0]
    }

    /// [`Linearization::variance_gradient`], for numbers of all rows.
    pub(crate) fn train(mut self, along: &[f32], weight: &[f32]) -> VarianceGradient {
        let Self { layout, rows, .. } = self;
        let mut numbers = Numbers::new(layout, rows, &mut self.memory);
        let (first, last) = layout.ends();
        for (row, weight) in weight.iter().enumerate() {
            let (_, levels) = numbers.row(layout, row);
            let (start, _) = first.both_mut(levels.tangents);
            start.copy_from_slice(&along[row * first.inputs..][..first.inputs]);
            last.both_mut(levels.bars).1[0] = -weight;
        }
        train(layout, self.activation, rows, numbers);
        self.memory.truncate(layout.parameters);
        VarianceGradient::of_numbers(self.memory, Rc::clone(&layout.shapes))
    }

    /// The pass at a z of this shape.
    pub(super) fn linearized(mut self, z: Shape, plates: usize) -> Linearization<'a> {
        let (first, _) = self.layout.ends();
        let mut value: SmallVec<[f32; 16]> = SmallVec::new();
        let mut gradient: SmallVec<[f32; 16]> = SmallVec::from_elem(0.0, z.numel());
        for (row, slope) in gradient.chunks_exact_mut(first.inputs).enumerate() {
            value.push(self.value_and_slope(row, slope));
        }
        let train = move |along: &Tensor, weight: &Tensor| {
            let (along, weight) = (along.check()?, weight.check()?);
            if (along.len(), weight.len()) != (z.numel(), self.rows) {
                return Err(Error::Autodiff(format!(
                    "a network for {} rows of {} numbers was given {} numbers and {} weights",
                    self.rows,
                    first.inputs,
                    along.len(),
                    weight.len()
                )));
            }
            along.with_values(|along| weight.with_values(|weight| self.train(along, weight)))?
        };
        Linearization {
            value: Tensor::of_numbers(&value, z.leading(plates)),
            gradient: Tensor::of_numbers(&gradient, z),
            train: Box::new(train),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FreeForm, Surrogate, Surroundings};
    use super::*;
    use crate::dist::BernoulliRelaxation;
    use crate::random::Key;
    use crate::tensor::{Device, Parameter};

    /// A network with the automatic derivatives that every surrogate has.
    #[derive(Debug)]
    struct Automatic<'a>(&'a FreeForm);

    impl Surrogate for Automatic<'_> {
        fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
            self.0.value(z, around)
        }
        fn parameters(&self) -> Vec<Parameter> {
            self.0.parameters()
        }
        fn evaluations(&self) -> usize {
            0
        }
    }

    #[test]
    fn closed_forms_of_every_size_agree_with_automatic_derivatives() -> Result<()> {
        for (activation, rows) in [
            (Activation::Relu, 3),
            (Activation::Tanh, 3),
            (Activation::Elu, 3),
            (Activation::Relu, 300),
            (Activation::Tanh, 300),
            (Activation::Elu, 300),
        ] {
            let (mut stream, device) = (Key::new(5).stream("test"), Device::cpu());
            let network = FreeForm::new(2, 1, &[4, 3], activation, &mut stream, &device)?;
            for parameter in network.parameters() {
                parameter.set(stream.normals(parameter.shape(), &device)?)?;
            }
            let mut normals = |shape: [usize; 2]| stream.normals(shape, &device);
            let (z, theta, h) = (
                normals([rows, 2])?,
                normals([rows, 2])?,
                normals([rows, 1])?,
            );
            let (along, weight) = (normals([rows, 2])?, normals([rows, 1])?.reshape(rows));
            let around = Surroundings {
                relaxation: Some(&BernoulliRelaxation),
                theta: &theta,
                context: Some(&h),
                plates: 1,
                cost: &|draw, _| Ok(draw.clone()),
            };
            let plain = rows * (3 * 4 + 2 * 4 + 4 * 3 + 3) <= Layout::LARGEST;
            assert_eq!(plain, rows == 3, "both ways are taken");
            let own = network.linearize(&z, around)?;
            let automatic = Automatic(&network);
            let other = automatic.linearize(&z, around)?;
            let close = |a: &Tensor, b: &Tensor| -> Result<()> {
                assert_eq!(a.shape(), b.shape());
                for (a, b) in a.to_vec()?.into_iter().zip(b.to_vec()?) {
                    assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
                }
                Ok(())
            };
            close(&own.value, &other.value)?;
            close(&own.gradient, &other.gradient)?;
            let own = own.variance_gradient(&along, &weight)?;
            let other = other.variance_gradient(&along, &weight)?;
            assert_eq!(own.len(), other.len());
            own.into_iter()
                .zip(other)
                .try_for_each(|(a, b)| close(&a, &b))?;
        }
        Ok(())
    }
}

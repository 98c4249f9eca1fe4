//! The free-form network in plain loops, for sizes at which calling a tensor operation costs more
//! than its arithmetic.

use smallvec::{SmallVec, smallvec};

use super::Linearization;
use crate::error::Result;
use crate::nn::{Activation, Linear};
use crate::tensor::{Device, Shape, Tensor};

/// Numbers of a network this small.
type Numbers = SmallVec<[f32; 16]>;

/// One thing a layer.
type PerLayer<T> = SmallVec<[T; 3]>;

/// A layer's parameters.
struct Layer {
    weight: Tensor,
    bias: Tensor,
    inputs: usize,
    outputs: usize,
}

impl Layer {
    fn new(layer: &Linear) -> Self {
        let (weight, bias) = (layer.weight.get(), layer.bias.get());
        let [inputs, outputs] = [weight.shape()[0], weight.shape()[1]];
        Self {
            weight,
            bias,
            inputs,
            outputs,
        }
    }

    /// `out += x W`, row by row.
    fn add_product(&self, x: &[f32], out: &mut [f32]) -> Result<()> {
        self.weight.with_values(|weight| {
            for (x, out) in x.chunks(self.inputs).zip(out.chunks_mut(self.outputs)) {
                if let [out] = out {
                    *out += dot(x, weight);
                    continue;
                }
                for (x, weight) in x.iter().zip(weight.chunks(self.outputs)) {
                    add_scaled(out, weight, *x);
                }
            }
        })
    }

    /// `x Wᵀ`, row by row.
    fn transposed_product(&self, x: &[f32]) -> Result<Numbers> {
        let mut out: Numbers = smallvec![0.0; x.len() / self.outputs * self.inputs];
        self.weight.with_values(|weight| {
            for (x, out) in x.chunks(self.outputs).zip(out.chunks_mut(self.inputs)) {
                if let [x] = x {
                    add_scaled(out, weight, *x);
                    continue;
                }
                for (out, weight) in out.iter_mut().zip(weight.chunks(self.outputs)) {
                    *out = dot(weight, x);
                }
            }
        })?;
        Ok(out)
    }

    /// `x W + b`, row by row.
    fn apply(&self, x: &[f32], rows: usize) -> Result<Numbers> {
        let mut out: Numbers = smallvec![0.0; rows * self.outputs];
        self.add_applied(x, &mut out)?;
        Ok(out)
    }

    /// `out += x W + b`, row by row.
    fn add_applied(&self, x: &[f32], out: &mut [f32]) -> Result<()> {
        self.bias.with_values(|bias| {
            out.chunks_mut(self.outputs)
                .for_each(|out| add_scaled(out, bias, 1.0));
        })?;
        self.add_product(x, out)
    }

    /// Weight and bias shaped tensors.
    fn gradients(&self, weight: Vec<f32>, bias: Vec<f32>) -> Result<[Tensor; 2]> {
        let device = self.weight.device();
        let shape = Shape::from([self.inputs, self.outputs]);
        Ok([
            Tensor::from_vec(weight, shape, &device)?,
            Tensor::from_vec(bias, self.outputs, &device)?,
        ])
    }
}

/// `out += factor x`.
fn add_scaled(out: &mut [f32], x: &[f32], factor: f32) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += factor * x;
    }
}

fn numbers(x: &Tensor) -> Result<Numbers> {
    x.with_values(Numbers::from_slice)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `out += aᵀ b`, where each has a row of numbers a row.
fn add_outer(out: &mut [f32], (a, inputs): (&[f32], usize), (b, outputs): (&[f32], usize)) {
    for (a, b) in a.chunks(inputs).zip(b.chunks(outputs)) {
        if let [b] = b {
            add_scaled(out, a, *b);
            continue;
        }
        for (a, out) in a.iter().zip(out.chunks_mut(outputs)) {
            add_scaled(out, b, *a);
        }
    }
}

/// A network at one z: value, ∂c/∂z, and what their derivatives by the parameters need.
pub(super) struct SmallPass {
    activation: Activation,
    rows: usize,
    /// What meets h, and h.
    before: (Layer, Numbers),
    layers: PerLayer<Layer>,
    /// Inputs a of each layer.
    inputs: PerLayer<Numbers>,
    /// δ = ∂c/∂(output) of each layer.
    deltas: PerLayer<Numbers>,
    /// c, a number a row.
    value: Numbers,
    /// ∂c/∂z.
    gradient: Numbers,
}

impl SmallPass {
    /// Most products of an input and a weight for which plain loops are the faster way.
    const LARGEST: usize = 2_048;

    /// Whether a network of these layers is small and fits `[rows, numbers]` tensors on the CPU.
    pub(super) fn suits((before, h): (&Linear, &Tensor), layers: &[Linear], z: &Tensor) -> bool {
        let weights = layers.iter().map(|layer| layer.weight.shape().numel());
        let weights = before.weight.shape().numel() + weights.sum::<usize>();
        let fits = |x: &Tensor, layer: &Linear| {
            x.rank() == 2 && x.rows() == z.rows() && x.shape()[1] == layer.weight.shape()[0]
        };
        let whole = |layer: &Linear| layer.weight.shape().numel() > 0;
        (1..=Self::LARGEST).contains(&(z.rows() * weights))
            && whole(before)
            && layers.iter().all(whole)
            && z.device() == Device::cpu()
            && fits(h, before)
            && layers.first().is_some_and(|layer| fits(z, layer))
    }

    /// A pass forward and a pass back to z, if [`suits`](Self::suits) says so.
    pub(super) fn run(
        activation: Activation,
        (before, h): (&Linear, &Tensor),
        layers: &[Linear],
        z: &Tensor,
    ) -> Result<Self> {
        let rows = z.rows();
        let (before, h) = (Layer::new(before), numbers(h)?);
        let layers: PerLayer<Layer> = layers.iter().map(Layer::new).collect();
        let last = layers.len() - 1;
        let mut inputs: PerLayer<Numbers> = smallvec![numbers(z)?];
        for (i, layer) in layers[..last].iter().enumerate() {
            let mut hidden = layer.apply(&inputs[i], rows)?;
            if i == 0 {
                before.add_applied(&h, &mut hidden)?;
            }
            hidden.iter_mut().for_each(|x| *x = activation.of(*x));
            inputs.push(hidden);
        }
        let value = layers[last].apply(&inputs[last], rows)?;
        let mut deltas: PerLayer<Numbers> = smallvec![Numbers::new(); layers.len()];
        deltas[last] = smallvec![1.0; rows];
        for i in (1..=last).rev() {
            let mut delta = layers[i].transposed_product(&deltas[i])?;
            for (delta, &out) in delta.iter_mut().zip(&inputs[i]) {
                *delta *= activation.slope_of(out);
            }
            deltas[i - 1] = delta;
        }
        let gradient = layers[0].transposed_product(&deltas[0])?;
        Ok(Self {
            activation,
            rows,
            before: (before, h),
            layers,
            inputs,
            deltas,
            value,
            gradient,
        })
    }

    /// The pass at a z of this shape.
    pub(super) fn linearized<'a>(self, z: Shape, plates: usize) -> Result<Linearization<'a>> {
        let device = Device::cpu();
        let value = Tensor::from_vec(self.value.to_vec(), Shape::try_from(&z[..plates])?, &device)?;
        Ok(Linearization {
            value,
            gradient: Tensor::from_vec(self.gradient.to_vec(), z, &device)?,
            train: Box::new(move |along, weight| {
                let mut cotangent = numbers(weight)?;
                cotangent.iter_mut().for_each(|x| *x = -*x);
                self.train(numbers(along)?, cotangent)
            }),
        })
    }

    /// Derivatives of Σ ċ + ⟨`cotangent`, c⟩ by the parameters, where ċ is the tangent along
    /// `along`: with ȧ the tangent of a layer's input and h̄ the cotangent of its output,
    /// (ȧᵀ δ + aᵀ h̄) for each weight.
    fn train(&self, along: Numbers, cotangent: Numbers) -> Result<Vec<Tensor>> {
        let (activation, last) = (self.activation, self.layers.len() - 1);
        let mut tangents: PerLayer<Numbers> = smallvec![along];
        // ∂²c along the tangent, by each hidden layer's output: δ times the slope's own tangent
        // over the slope.
        let mut bends: PerLayer<Numbers> = SmallVec::new();
        for (i, layer) in self.layers[..last].iter().enumerate() {
            let mut moved: Numbers = smallvec![0.0; self.rows * layer.outputs];
            layer.add_product(&tangents[i], &mut moved)?;
            let mut bend = self.layers[i + 1].transposed_product(&self.deltas[i + 1])?;
            for ((bend, moved), &out) in bend.iter_mut().zip(&mut moved).zip(&self.inputs[i + 1]) {
                *bend *= activation.curvature_of(out) * *moved;
                *moved *= activation.slope_of(out);
            }
            bends.push(bend);
            tangents.push(moved);
        }
        let mut gradients = Vec::with_capacity(2 * self.layers.len() + 2);
        let mut bar = cotangent;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            if i < last {
                let mut passed = self.layers[i + 1].transposed_product(&bar)?;
                let further = self.inputs[i + 1].iter().zip(&bends[i]);
                for (passed, (&out, bend)) in passed.iter_mut().zip(further) {
                    *passed = *passed * activation.slope_of(out) + bend;
                }
                bar = passed;
            }
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let mut weight = vec![0.0; inputs * outputs];
            add_outer(
                &mut weight,
                (&tangents[i], inputs),
                (&self.deltas[i], outputs),
            );
            add_outer(&mut weight, (&self.inputs[i], inputs), (&bar, outputs));
            gradients.extend(
                layer
                    .gradients(weight, column_sums(&bar, outputs))?
                    .into_iter()
                    .rev(),
            );
        }
        let (before, h) = &self.before;
        let (inputs, outputs) = (before.inputs, before.outputs);
        let mut weight = vec![0.0; inputs * outputs];
        add_outer(&mut weight, (h, inputs), (&bar, outputs));
        gradients.extend(
            before
                .gradients(weight, column_sums(&bar, outputs))?
                .into_iter()
                .rev(),
        );
        gradients.reverse();
        Ok(gradients)
    }
}

fn column_sums(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in rows.chunks(width) {
        add_scaled(&mut sums, row, 1.0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::{FreeForm, Surrogate, Surroundings};
    use super::*;
    use crate::dist::BernoulliRelaxation;
    use crate::random::Key;
    use crate::tensor::Parameter;

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
            (Activation::Relu, 300),
            (Activation::Tanh, 300),
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
            let small = rows * (3 * 4 + 2 * 4 + 4 * 3 + 3) <= SmallPass::LARGEST;
            assert_eq!(small, rows == 3, "both ways are taken");
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
            own.iter().zip(&other).try_for_each(|(a, b)| close(a, b))?;
        }
        Ok(())
    }
}

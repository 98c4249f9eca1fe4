//! The free-form surrogate: a network on the relaxed sample, for costs that are black boxes.

use std::rc::Rc;

use super::layers::Layout;
use super::plain::{PlainPass, cut};
use super::{Linearization, Surrogate, Surroundings, VarianceGradient};
use crate::error::Result;
use crate::nn::{Activation, Linear};
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Tensor, Together};

/// r_ρ(z, h): a perceptron that looks at the relaxed sample z and at h, what came before the site
/// (its parameters θ and the site's context). It starts at zero.
#[derive(Clone, Debug)]
pub struct FreeForm {
    /// First layer, the part that meets h: constant along z, so no derivative passes through it.
    before: Linear,
    /// The layers that z passes, the last of them to a single number.
    layers: Vec<Linear>,
    activation: Activation,
    layout: Layout,
    /// The parameters of a network that is small for a single row.
    together: Option<Rc<Together>>,
}

impl FreeForm {
    /// A network for sites with `latent` numbers per row and `context` further ones, with the given
    /// hidden layers (at least one is made).
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(
        latent: usize,
        context: usize,
        hidden: &[usize],
        activation: Activation,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self> {
        const NARROWEST: usize = 10;
        let hidden = if hidden.is_empty() {
            &[NARROWEST]
        } else {
            hidden
        };
        let mut sizes = vec![latent];
        sizes.extend_from_slice(hidden);
        let between = sizes
            .windows(2)
            .map(|pair| Linear::new(pair[0], pair[1], stream, device));
        let mut layers = between.collect::<Result<Vec<_>>>()?;
        layers.push(Linear::zeros(sizes[sizes.len() - 1], 1, device)?);
        let before = Linear::new(latent + context, hidden[0], stream, device)?;
        let mut network = Self {
            layout: Layout::new(&before, &layers),
            before,
            layers,
            activation,
            together: None,
        };
        if network.layout.is_small(1) && *device == Device::cpu() {
            network.together = Some(Together::of(&network.parameters()));
        }
        Ok(network)
    }

    /// Names the network's parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let named = |(i, layer): (usize, Linear)| layer.named(&format!("{name}.{i}"));
        Self {
            before: self.before.named(&format!("{name}.before")),
            layers: self.layers.into_iter().enumerate().map(named).collect(),
            ..self
        }
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        std::iter::once(&self.before).chain(&self.layers)
    }

    /// The number of rows, if the network is small for them, and its operands fit and are on the CPU.
    pub(crate) fn plain_rows(
        &self,
        z: &Tensor,
        theta: &Tensor,
        context: Option<&Tensor>,
        plates: usize,
    ) -> Option<usize> {
        self.layout.rows(z, theta, context, plates)
    }

    /// Value and derivatives at z in plain loops, where there are [`plain_rows`](Self::plain_rows).
    ///
    /// # Errors
    /// If an operand carries one.
    pub(crate) fn plain_pass(
        &self,
        rows: usize,
        z: &[f32],
        theta: &Tensor,
        context: Option<&Tensor>,
    ) -> Result<PlainPass<'_>> {
        let parameters = |numbers: &mut [f32]| self.copy_parameters(numbers);
        let run = |before: &[&[f32]]| {
            PlainPass::run(&self.layout, self.activation, parameters, rows, before, z)
        };
        theta.with_values(|theta| match context {
            Some(context) => context.with_values(|context| run(&[theta, context]))?,
            None => run(&[theta]),
        })?
    }

    /// Copies the numbers of all parameters, one after the other.
    fn copy_parameters(&self, mut numbers: &mut [f32]) -> Result<()> {
        let together = self.together.as_ref();
        let copied = together.and_then(|all| all.with_values(|all| numbers.copy_from_slice(all)));
        if copied.is_some() {
            return Ok(());
        }
        let layers = self.linears();
        let mut parameters = layers.flat_map(|layer| [&layer.weight, &layer.bias]);
        parameters.try_for_each(|parameter| {
            parameter.with_values(|values| {
                cut(&mut numbers, values.len()).copy_from_slice(values);
            })
        })
    }

    /// The memory that holds its parameters one after the other, if they are few.
    pub(crate) fn together(&self) -> Option<&Rc<Together>> {
        self.together.as_ref()
    }

    /// The derivatives where the last hidden units are off in every row: the value is the last bias, whatever z is,
    /// and only that bias learns.
    fn switched_off(&self, value: &Tensor, z: &Tensor, plates: usize) -> Linearization<'_> {
        let train = |_: &Tensor, weight: &Tensor| {
            let parameters = self.parameters();
            let mut gradients: Vec<Tensor> = parameters
                .iter()
                .map(|parameter| parameter.get().detach().zeros_like())
                .collect();
            if let Some(of_bias) = gradients.last_mut() {
                *of_bias = -weight.detach().sum_all().reshape(1);
            }
            Ok(VarianceGradient::from(gradients))
        };
        Linearization {
            value: value.reshape(z.shape().leading(plates)),
            gradient: z.detach().zeros_like(),
            train: Box::new(train),
        }
    }

    /// h, `[rows, numbers]`.
    fn surroundings(around: Surroundings<'_>) -> Tensor {
        let theta = flat(&around.theta.detach(), around.plates);
        match around.context {
            Some(context) => Tensor::concat(&[&theta, &flat(&context.detach(), around.plates)], 1),
            None => theta,
        }
    }
}

/// Whether all numbers are 0; not looked at where that would copy them from another device.
fn is_zero(x: &Tensor) -> Result<bool> {
    match x.device() == Device::cpu() {
        true => x.with_values(|x| x.iter().all(|&x| x == 0.0)),
        false => Ok(false),
    }
}

/// `[rows.., event..]` as `[rows, numbers]`.
fn flat(x: &Tensor, plates: usize) -> Tensor {
    let shape = x.shape();
    let rows: usize = shape.iter().take(plates).product();
    let numbers: usize = shape.iter().skip(plates).product();
    x.reshape([rows, numbers])
}

impl Surrogate for FreeForm {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let before = self.before.forward(&Self::surroundings(around));
        let mut x = flat(z, around.plates);
        for (i, layer) in self.layers.iter().enumerate() {
            x = match i {
                0 => layer.forward(&x) + &before,
                _ => layer.forward(&self.activation.apply(&x)),
            };
        }
        Ok(x.reshape(z.shape().leading(around.plates)))
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.linears().flat_map(Linear::parameters).collect()
    }

    fn evaluations(&self) -> usize {
        0
    }

    /// The closed form: one forward pass, one back to z; the parameters' derivatives reuse both.
    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let shape = z.shape();
        if let Some(rows) = self.plain_rows(z, around.theta, around.context, around.plates) {
            let pass = |z: &[f32]| self.plain_pass(rows, z, around.theta, around.context);
            return Ok(z.with_values(pass)??.linearized(shape, around.plates));
        }
        let before = Self::surroundings(around);
        let rows = flat(&z.detach(), around.plates);
        let from_before = constant(&self.before).apply(&before);
        let layers: Vec<Constant> = self.layers.iter().map(constant).collect();

        // Inputs of each layer, and δ = ∂c/∂(pre-activation) of each hidden one.
        let mut inputs = vec![rows];
        for (i, layer) in layers.iter().enumerate().take(layers.len() - 1) {
            let hidden = layer.apply(&inputs[i]);
            inputs.push(match i {
                0 => self.activation.of_sum(&hidden, &from_before),
                _ => self.activation.apply(&hidden),
            });
        }
        let last = layers.len() - 1;
        let value = layers[last].apply(&inputs[last]);
        if self.activation == Activation::Relu && is_zero(&inputs[last])? {
            return Ok(self.switched_off(&value, z, around.plates));
        }
        let mut deltas = vec![value.ones_like()];
        for i in (1..=last).rev() {
            let back = deltas[0].matmul_nt(&layers[i].weight);
            deltas.insert(0, self.activation.times_slope(&back, &inputs[i]));
        }
        let gradient = deltas[0].matmul_nt(&layers[0].weight).reshape(shape);
        let value = value.reshape(shape.leading(around.plates));
        value.check()?;
        gradient.check()?;
        let train = move |along: &Tensor, weight: &Tensor| {
            let weight = weight.detach().reshape([inputs[0].rows(), 1]);
            let pass = Backpropagated {
                layers: &layers,
                inputs: &inputs,
                deltas: &deltas,
                before: &before,
            };
            let by_each = pass.train(self.activation, &flat(along, around.plates), &-weight)?;
            Ok(VarianceGradient::from(by_each))
        };
        Ok(Linearization {
            value,
            gradient,
            train: Box::new(train),
        })
    }
}

/// A layer's weights, outside the autodiff graph.
struct Constant {
    weight: Tensor,
    bias: Tensor,
}

fn constant(layer: &Linear) -> Constant {
    Constant {
        weight: layer.weight.get().detach(),
        bias: layer.bias.get().detach(),
    }
}

impl Constant {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, &self.bias)
    }
}

/// What a forward and a backward pass leave behind.
struct Backpropagated<'a> {
    layers: &'a [Constant],
    /// Inputs a of each layer.
    inputs: &'a [Tensor],
    /// δ of each layer's output.
    deltas: &'a [Tensor],
    /// h.
    before: &'a Tensor,
}

impl Backpropagated<'_> {
    /// Derivatives of Σ ċ + `cotangent` c, where ċ is the tangent along `along`: with ȧ the tangent
    /// of a layer's input and h̄ the cotangent of its output, ȧᵀ δ + aᵀ h̄ for each weight.
    fn train(
        &self,
        activation: Activation,
        along: &Tensor,
        cotangent: &Tensor,
    ) -> Result<Vec<Tensor>> {
        let last = self.layers.len() - 1;
        let mut tangents = vec![along.detach()];
        let mut bends = Vec::new();
        for i in 0..last {
            let moved = tangents[i].matmul(&self.layers[i].weight);
            let out = &self.inputs[i + 1];
            let bend = activation.curvature_of(out.clone());
            tangents.push(activation.times_slope(&moved, out));
            bends.extend(bend.map(|curvature| curvature * moved));
        }
        let gradients = if bends.is_empty() {
            self.gradients_of_linear_pieces(&tangents, cotangent)
        } else {
            self.gradients(activation, &tangents, &bends, cotangent)
        };
        gradients.iter().try_for_each(|g| g.check().map(drop))?;
        Ok(gradients)
    }

    /// A piecewise linear network's h̄ is δ times the cotangent of the output, which leaves one
    /// product per layer: (ȧ + a c̄)ᵀ δ.
    fn gradients_of_linear_pieces(&self, tangents: &[Tensor], cotangent: &Tensor) -> Vec<Tensor> {
        let before = &self.deltas[0];
        let mut gradients = vec![
            self.before.matmul_tn(&(cotangent * before)),
            before.matmul_tn(cotangent).squeeze(1),
        ];
        for ((input, moved), delta) in self.inputs.iter().zip(tangents).zip(self.deltas) {
            let shares = [input, moved, &cotangent.broadcast_to(input.shape())];
            let left = pointwise!(shares, |[input, moved, share]| moved + input * share);
            gradients.push(left.matmul_tn(delta));
            gradients.push(delta.matmul_tn(cotangent).squeeze(1));
        }
        gradients
    }

    fn gradients(
        &self,
        activation: Activation,
        tangents: &[Tensor],
        bends: &[Tensor],
        cotangent: &Tensor,
    ) -> Vec<Tensor> {
        let last = self.layers.len() - 1;
        let mut gradients = Vec::new();
        let mut bar = cotangent.clone();
        for i in (0..=last).rev() {
            if i < last {
                let next = &self.layers[i + 1].weight;
                let back = activation.times_slope(&bar.matmul_nt(next), &self.inputs[i + 1]);
                bar = back + self.deltas[i + 1].matmul_nt(next) * &bends[i];
            }
            let weight = tangents[i].matmul_tn(&self.deltas[i]) + self.inputs[i].matmul_tn(&bar);
            gradients.push(bar.sum(0));
            gradients.push(weight);
        }
        gradients.push(bar.sum(0));
        gradients.push(self.before.matmul_tn(&bar));
        gradients.reverse();
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;
    use crate::tensor::grad;

    /// With units that are on, and with those of the last hidden layer off.
    #[test]
    fn the_closed_form_is_that_of_automatic_derivatives() -> Result<()> {
        const ROWS: usize = 40;
        let device = Device::cpu();
        for off in [false, true] {
            let mut stream = Key::new(5).stream("network");
            let network = FreeForm::new(3, 0, &[80, 70], Activation::Relu, &mut stream, &device)?;
            for parameter in network.parameters() {
                parameter.set(stream.normals(parameter.shape(), &device)? * 0.5)?;
            }
            if off {
                network.layers[1]
                    .bias
                    .set(Tensor::full(70, -1e3, &device))?;
            }
            let mut normals = |columns: usize| stream.normals([ROWS, columns], &device);
            let (z, theta, along) = (normals(3)?, normals(3)?, normals(3)?);
            let weight = normals(1)?.reshape(ROWS);
            let cost = |_: &Tensor, _: &Tensor| Ok(Tensor::zeros(ROWS, &device));
            let around = Surroundings {
                relaxation: None,
                theta: &theta,
                context: None,
                plates: 1,
                cost: &cost,
            };
            assert!(
                network.plain_rows(&z, &theta, None, 1).is_none(),
                "in tensors"
            );
            let leaf = z.leaf();
            let value = network.value(&leaf, around)?;
            let by_z = grad(&[(&value, None)], &[&leaf])?.remove(0);
            let by_each = Surrogate::train(&network, &z, &along, &weight, around)?;
            let found = network.linearize(&z, around)?;
            let mut pairs = vec![(found.value.clone(), value), (found.gradient.clone(), by_z)];
            let trained = found.variance_gradient(&along, &weight)?.tensors();
            assert_eq!(trained.len(), by_each.len());
            pairs.extend(trained.into_iter().zip(by_each));
            for (found, wanted) in pairs {
                assert_eq!(found.shape(), wanted.shape());
                for (found, wanted) in found.to_vec()?.into_iter().zip(wanted.to_vec()?) {
                    let size = 1.0 + wanted.abs();
                    assert!(
                        (found - wanted).abs() < 2e-4 * size,
                        "{off}: {found} {wanted}"
                    );
                }
            }
        }
        Ok(())
    }
}

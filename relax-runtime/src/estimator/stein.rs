//! The network behind RODEO's control variates, evaluated and differentiated in closed form: it is
//! needed at every neighbor of every draw.

use crate::error::Result;
use crate::nn::Linear;
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Tensor};

/// h(Δ, f), two numbers for an expansion's change Δ around a draw of cost f, and the weights α and
/// β of the two control variates: a network of one hidden layer, as in the authors' code.
#[derive(Clone, Debug)]
pub struct SteinNetwork {
    by_change: Linear,
    by_cost: Linear,
    output: Linear,
    pub(super) alpha: Parameter,
    pub(super) beta: Parameter,
}

impl SteinNetwork {
    /// A network with the given number of hidden units; α and β start at zero.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(hidden: usize, stream: &mut Stream, device: &Device) -> Result<Self> {
        let zero = || Parameter::new(Tensor::full([], 0.0, device));
        Ok(Self {
            by_change: Linear::new(1, hidden, stream, device)?,
            by_cost: Linear::new(1, hidden, stream, device)?,
            output: Linear::new(hidden, 2, stream, device)?,
            alpha: zero(),
            beta: zero(),
        })
    }

    /// Names the parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            by_change: self.by_change.named(&format!("{name}.change")),
            by_cost: self.by_cost.named(&format!("{name}.cost")),
            output: self.output.named(&format!("{name}.output")),
            alpha: self.alpha.named(&format!("{name}.alpha")),
            beta: self.beta.named(&format!("{name}.beta")),
        }
    }

    /// Weights and biases, α and β.
    pub fn parameters(&self) -> Vec<Parameter> {
        let layers = [&self.by_change, &self.by_cost, &self.output];
        let mut parameters: Vec<_> = layers.into_iter().flat_map(Linear::parameters).collect();
        parameters.extend([self.alpha.clone(), self.beta.clone()]);
        parameters
    }

    /// The network that [`parameters`](Self::parameters) came from.
    pub(super) fn of(parameters: &[Parameter]) -> Option<Self> {
        let [a, b, c, d, e, f, alpha, beta] = parameters else {
            return None;
        };
        let layer = |weight: &Parameter, bias: &Parameter| Linear {
            weight: weight.clone(),
            bias: bias.clone(),
        };
        Some(Self {
            by_change: layer(a, b),
            by_cost: layer(c, d),
            output: layer(e, f),
            alpha: alpha.clone(),
            beta: beta.clone(),
        })
    }

    /// Both outputs for changes `[rows, n]` around draws with costs `[rows, 1]`, as constants.
    pub(super) fn value(&self, changes: &Tensor, costs: &Tensor) -> Result<[Tensor; 2]> {
        let weights = self.weights()?;
        let n = changes.check()?.shape()[1];
        let costs = costs.peek()?;
        let values = changes.with_values(|changes| {
            let mut outputs = weights.output_bias.map(|bias| vec![bias; changes.len()]);
            let [first, second] = &mut outputs;
            let rows = changes.chunks_exact(n).zip(&costs);
            let sums = first.chunks_exact_mut(n).zip(second.chunks_exact_mut(n));
            for ((x, &cost), (first, second)) in rows.zip(sums) {
                for unit in weights.units(cost) {
                    for ((&x, first), second) in x.iter().zip(&mut *first).zip(&mut *second) {
                        let hidden = unit.activation(x);
                        *first += hidden * unit.output[0];
                        *second += hidden * unit.output[1];
                    }
                }
            }
            outputs
        })?;
        let tensor = |values| Tensor::from_vec(values, changes.shape(), &changes.device());
        let [first, second] = values;
        Ok([tensor(first)?, tensor(second)?])
    }

    /// Derivatives by the network's weights and biases for cotangents of both outputs.
    pub(super) fn pull(
        &self,
        changes: &Tensor,
        costs: &Tensor,
        cotangents: [&Tensor; 2],
    ) -> Result<Vec<Tensor>> {
        let weights = self.weights()?;
        let n = changes.check()?.shape()[1];
        let hidden = weights.change.len();
        let (costs, changes) = (costs.peek()?, changes.peek()?);
        let [first, second] = [cotangents[0].peek()?, cotangents[1].peek()?];
        let mut by_weight = [vec![0.0; hidden], vec![0.0; hidden], vec![0.0; hidden]];
        let mut by_output = vec![0.0; 2 * hidden];
        let rows = changes.chunks_exact(n).zip(&costs);
        let cotangents = first.chunks_exact(n).zip(second.chunks_exact(n));
        for ((x, &cost), (first, second)) in rows.zip(cotangents) {
            for (h, unit) in weights.units(cost).enumerate() {
                let [by_change, by_bias, by_first, by_second] = unit.pull(x, first, second);
                by_weight[0][h] += by_change;
                by_weight[1][h] += by_bias * cost;
                by_weight[2][h] += by_bias;
                by_output[2 * h] += by_first;
                by_output[2 * h + 1] += by_second;
            }
        }
        let device = self.alpha.get().device();
        let [change, cost, bias] = by_weight;
        let totals = [first.iter().sum(), second.iter().sum()];
        Ok(vec![
            Tensor::from_vec(change, [1, hidden], &device)?,
            Tensor::from_vec(bias.clone(), [hidden], &device)?,
            Tensor::from_vec(cost, [1, hidden], &device)?,
            Tensor::from_vec(bias, [hidden], &device)?,
            Tensor::from_vec(by_output, [hidden, 2], &device)?,
            Tensor::from_vec(totals.to_vec(), [2], &device)?,
        ])
    }

    /// The numbers of the layers.
    fn weights(&self) -> Result<Weights> {
        let numbers = |parameter: &Parameter| parameter.get().peek();
        let mut bias = numbers(&self.by_change.bias)?;
        let more = numbers(&self.by_cost.bias)?;
        bias.iter_mut()
            .zip(more)
            .for_each(|(bias, more)| *bias += more);
        let output_bias = numbers(&self.output.bias)?;
        Ok(Weights {
            change: numbers(&self.by_change.weight)?,
            cost: numbers(&self.by_cost.weight)?,
            bias,
            output: numbers(&self.output.weight)?,
            output_bias: [output_bias[0], output_bias[1]],
        })
    }
}

/// The layers' numbers.
struct Weights {
    change: Vec<f32>,
    cost: Vec<f32>,
    bias: Vec<f32>,
    /// Two for each hidden unit.
    output: Vec<f32>,
    output_bias: [f32; 2],
}

impl Weights {
    /// The hidden units for a row of a given cost.
    fn units(&self, cost: f32) -> impl Iterator<Item = Unit> {
        let inputs = self.change.iter().zip(&self.cost).zip(&self.bias);
        let outputs = self.output.chunks_exact(2);
        inputs
            .zip(outputs)
            .map(move |(((&slope, &by_cost), &bias), output)| Unit {
                slope,
                offset: bias + by_cost * cost,
                output: [output[0], output[1]],
            })
    }
}

/// A hidden unit as a function of the change.
struct Unit {
    slope: f32,
    offset: f32,
    output: [f32; 2],
}

impl Unit {
    /// Slope of the activation below zero.
    const LEAK: f32 = 0.3;

    fn activation(&self, x: f32) -> f32 {
        let sum = self.slope * x + self.offset;
        sum.max(Self::LEAK * sum)
    }

    /// Derivatives by slope, offset and both output weights, summed over the points of a row: in
    /// lanes, so that the loop is vectorized.
    fn pull(&self, x: &[f32], first: &[f32], second: &[f32]) -> [f32; 4] {
        const LANES: usize = 16;
        let mut lanes = [[0.0; LANES]; 4];
        let points = x
            .chunks(LANES)
            .zip(first.chunks(LANES))
            .zip(second.chunks(LANES));
        for ((x, first), second) in points {
            for (lane, ((&x, &first), &second)) in x.iter().zip(first).zip(second).enumerate() {
                let sum = self.slope * x + self.offset;
                let bend = if sum > 0.0 { 1.0 } else { Self::LEAK };
                let back = (first * self.output[0] + second * self.output[1]) * bend;
                lanes[0][lane] += back * x;
                lanes[1][lane] += back;
                lanes[2][lane] += first * sum * bend;
                lanes[3][lane] += second * sum * bend;
            }
        }
        lanes.map(|lane| lane.iter().sum())
    }
}

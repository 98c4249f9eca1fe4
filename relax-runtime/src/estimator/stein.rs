//! The network behind RODEO's control variates, evaluated and differentiated in closed form: it is
//! needed at every neighbor of every draw.

use super::hinges::{Hinges, Unit};
use crate::error::Result;
use crate::nn::Linear;
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Shape, Tensor};

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

    /// The network around draws with costs `[rows, 1]`.
    ///
    /// # Errors
    /// If the device cannot be read.
    pub(super) fn around(&self, costs: &Tensor) -> Result<Around> {
        let numbers = |parameter: &Parameter| -> Result<Vec<f64>> {
            Ok(parameter.get().peek()?.into_iter().map(f64::from).collect())
        };
        let (slopes, by_cost) = (
            numbers(&self.by_change.weight)?,
            numbers(&self.by_cost.weight)?,
        );
        let (bias, more) = (numbers(&self.by_change.bias)?, numbers(&self.by_cost.bias)?);
        let (weights, constants) = (numbers(&self.output.weight)?, numbers(&self.output.bias)?);
        let costs = costs.peek()?;
        let row = |&cost: &f32| {
            let units = (0..slopes.len()).map(|unit| Unit {
                slope: slopes[unit],
                offset: bias[unit] + more[unit] + by_cost[unit] * f64::from(cost),
                weights: [weights[2 * unit], weights[2 * unit + 1]],
            });
            Hinges::new(units.collect(), [constants[0], constants[1]])
        };
        Ok(Around {
            rows: costs.iter().map(row).collect(),
            costs,
            hidden: slopes.len(),
            device: self.alpha.get().device(),
        })
    }
}

/// The network around one draw, for each row a function of the change alone.
pub(super) struct Around {
    rows: Vec<Hinges>,
    costs: Vec<f32>,
    hidden: usize,
    device: Device,
}

impl Around {
    /// Both outputs for changes `[rows, n]`, as constants.
    ///
    /// # Errors
    /// If the changes failed or the device cannot hold the outputs.
    pub(super) fn value(&self, changes: &Tensor) -> Result<[Tensor; 2]> {
        let n = changes.check()?.shape()[1];
        let [first, second] = changes.with_values(|changes| {
            let mut outputs = [(); 2].map(|()| Vec::with_capacity(changes.len()));
            for (x, row) in changes.chunks_exact(n).zip(&self.rows) {
                for &x in x {
                    let values = row.value(x);
                    outputs[0].push(values[0]);
                    outputs[1].push(values[1]);
                }
            }
            outputs
        })?;
        let tensor = |values| Tensor::from_vec(values, changes.shape(), &self.device);
        Ok([tensor(first)?, tensor(second)?])
    }

    /// Derivatives by the network's weights and biases for cotangents of both outputs.
    ///
    /// # Errors
    /// If an argument failed or the device cannot hold the derivatives.
    pub(super) fn pull(&self, changes: &Tensor, cotangents: [&Tensor; 2]) -> Result<Vec<Tensor>> {
        let n = changes.check()?.shape()[1];
        let changes = changes.peek()?;
        let [first, second] = [cotangents[0].peek()?, cotangents[1].peek()?];
        let (mut by_change, mut by_cost) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
        let (mut by_bias, mut by_output) = (vec![0.0; self.hidden], vec![0.0; 2 * self.hidden]);
        let mut totals = [0.0; 2];
        let points = changes.chunks_exact(n);
        let cotangents = first.chunks_exact(n).zip(second.chunks_exact(n));
        let rows = self.rows.iter().zip(&self.costs);
        for (((row, &cost), x), (first, second)) in rows.zip(points).zip(cotangents) {
            let (units, constants) = row.pull(x, [first, second]);
            for (unit, by) in units.iter().enumerate() {
                by_change[unit] += by.slope;
                by_bias[unit] += by.offset;
                by_cost[unit] += by.offset * f64::from(cost);
                by_output[2 * unit] += by.weights[0];
                by_output[2 * unit + 1] += by.weights[1];
            }
            totals[0] += constants[0];
            totals[1] += constants[1];
        }
        let tensor = |values: &[f64], shape: Shape| {
            let values = values.iter().map(|&value| value as f32).collect();
            Tensor::from_vec(values, shape, &self.device)
        };
        let hidden = self.hidden;
        Ok(vec![
            tensor(&by_change, [1, hidden].into())?,
            tensor(&by_bias, [hidden].into())?,
            tensor(&by_cost, [1, hidden].into())?,
            tensor(&by_bias, [hidden].into())?,
            tensor(&by_output, [hidden, 2].into())?,
            tensor(&totals, [2].into())?,
        ])
    }
}

//! Past draws and their costs, and a network that is fitted to them.

use relax_runtime::prelude::*;
use relax_runtime::{Stream, grad};

/// All past draws of a site, and a network h that learns their costs in units of their spread.
#[derive(Debug)]
pub(crate) struct Memory {
    network: Mlp,
    /// Of which past draws are looked at again.
    stream: Stream,
    /// Numbers of a draw.
    width: usize,
    draws: Vec<f32>,
    costs: Vec<f32>,
    /// Of the costs, and of their squares.
    sums: [f64; 2],
}

impl Memory {
    /// Of draws of so many numbers; first weights follow from the stream.
    pub(crate) fn new(width: usize, hidden: &[usize], mut stream: Stream) -> Result<Self> {
        let mut sizes = vec![width];
        sizes.extend_from_slice(hidden);
        sizes.push(1);
        let network = Mlp::new(&sizes, Activation::Tanh, &mut stream, &Device::cpu())?;
        Ok(Self {
            network: network.named("replay"),
            stream,
            width,
            draws: Vec::new(),
            costs: Vec::new(),
            sums: [0.0; 2],
        })
    }

    /// What is fitted.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        self.network.parameters()
    }

    /// Mean and standard deviation of past costs.
    fn scale(&self) -> (f32, f32) {
        let count = self.costs.len().max(1) as f64;
        let [mean, square] = self.sums.map(|sum| sum / count);
        (mean as f32, (square - mean * mean).max(0.0).sqrt() as f32)
    }

    /// h of draws `[rows, width]`, a number a row.
    pub(crate) fn value(&self, b: &Tensor) -> Tensor {
        let (mean, scale) = self.scale();
        self.network.forward(b).squeeze(1) * scale + mean
    }

    /// h of one draw, a constant.
    pub(crate) fn value_of_one(&self, b: &Tensor) -> Tensor {
        self.value(&b.reshape([1, self.width])).squeeze(0).detach()
    }

    /// Takes in a draw and its cost.
    pub(crate) fn see(&mut self, b: &Tensor, cost: &Tensor) -> Result<()> {
        let cost = cost.item()?;
        self.draws.extend(b.to_vec()?);
        self.costs.push(cost);
        self.sums[0] += f64::from(cost);
        self.sums[1] += f64::from(cost).powi(2);
        Ok(())
    }

    /// The gradient of the mean squared error on so many past draws, picked at random.
    pub(crate) fn fit(&mut self, batch: usize) -> Result<Vec<Tensor>> {
        let (mean, scale) = self.scale();
        let leaves: Vec<Tensor> = self.parameters().iter().map(Parameter::get).collect();
        if scale == 0.0 {
            return Ok(leaves.iter().map(Tensor::zeros_like).collect());
        }
        let (mut b, mut f) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let at = self.stream.below(self.costs.len());
            b.extend_from_slice(&self.draws[at * self.width..(at + 1) * self.width]);
            f.push((self.costs[at] - mean) / scale);
        }
        let b = Tensor::from_vec(b, [batch, self.width], &Device::cpu())?;
        let error = self.network.forward(&b).squeeze(1) - Tensor::from_slice(&f);
        let leaves: Vec<&Tensor> = leaves.iter().collect();
        grad(&[(&error.square().mean_all(), None)], &leaves)
    }
}

//! What the agent does in a state: a law over actions, with parameters from a network.

use relax_runtime::Stream;
use relax_runtime::dist::{CategoricalRelaxation, Normal, Relaxation};
use relax_runtime::prelude::*;
use relax_runtime::tensor::grad_parameters;

use crate::environment::{Actions, Environment};

/// A network from observations to logits, or to the mean of a Gaussian whose scale is learned beside.
pub(crate) struct Policy {
    network: Mlp,
    log_scale: Option<Parameter>,
    observed: usize,
}

impl Policy {
    /// First weights.
    pub(crate) fn new<E: Environment>(
        hidden: &[usize],
        activation: Activation,
        stream: &mut Stream,
    ) -> Result<Self> {
        let (outputs, log_scale) = match E::ACTIONS {
            Actions::Discrete(n) => (n, None),
            Actions::Continuous => {
                let start = Parameter::new(Tensor::from_slice(&[0.0]));
                (1, Some(start.named("log_scale")))
            }
        };
        let sizes = [&[E::OBSERVED], hidden, &[outputs]].concat();
        let network = Mlp::new(&sizes, activation, stream, &Device::cpu())?.named("policy");
        Ok(Self {
            network,
            log_scale,
            observed: E::OBSERVED,
        })
    }

    /// How many numbers of noise an action takes.
    pub(crate) fn noise_numbers(actions: Actions) -> usize {
        match actions {
            Actions::Discrete(n) => n,
            Actions::Continuous => 1,
        }
    }

    /// Noise for one action.
    pub(crate) fn noise(&self, actions: Actions, stream: &mut Stream, into: &mut Vec<f32>) {
        let number = |stream: &mut Stream| match self.log_scale {
            None => stream.noise_number(),
            Some(_) => stream.normal() as f32,
        };
        into.extend((0..Self::noise_numbers(actions)).map(|_| number(stream)));
    }

    /// The law's parameters at observations `[n, observed]`, differentiable in the weights: logits
    /// `[n, actions]`, or mean and scale, `[n, 1]` each.
    pub(crate) fn theta(&self, observed: Vec<f32>) -> Result<Vec<Tensor>> {
        let rows = observed.len() / self.observed;
        let observed = Tensor::from_vec(observed, [rows, self.observed], &Device::cpu())?;
        let output = self.network.forward(&observed);
        Ok(match &self.log_scale {
            None => vec![output],
            Some(log_scale) => {
                let scale = log_scale.get().exp().broadcast_to(output.shape());
                vec![output, scale]
            }
        })
    }

    /// The actions that belong to noise, one a row.
    pub(crate) fn actions(theta: &[Tensor], noise: &Tensor) -> Result<Vec<f32>> {
        match theta {
            [logits] => {
                let z = CategoricalRelaxation.relaxed(&logits.detach(), noise);
                z.argmax(-1).to_vec()
            }
            [mean, scale] => (mean.detach() + scale.detach() * noise).to_vec(),
            _ => Ok(Vec::new()),
        }
    }

    /// The law of a continuous action.
    pub(crate) fn law(mean: &Tensor, scale: &Tensor) -> Result<Normal<Tensor>> {
        Normal::new(mean, scale)
    }

    /// Entropy of the law in each row, summed, differentiable.
    pub(crate) fn entropy(theta: &[Tensor]) -> Tensor {
        match theta {
            [logits] => -(logits.softmax(-1) * logits.log_softmax(-1)).sum_all(),
            _ => theta[theta.len() - 1].ln().sum_all(),
        }
    }

    /// All parameters.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.network.parameters();
        parameters.extend(self.log_scale.clone());
        parameters
    }

    /// The derivative by all parameters of Σ ⟨cotangent, output⟩, one after the other.
    pub(crate) fn pull(&self, outputs: &[(&Tensor, Option<&Tensor>)]) -> Result<Vec<f32>> {
        let mut flat = Vec::new();
        let found = grad_parameters(outputs)?;
        for parameter in self.parameters() {
            let own = found.iter().find(|(p, _)| p.key() == parameter.key());
            match own {
                Some((_, gradient)) => flat.extend(gradient.to_vec()?),
                None => flat.extend(vec![0.0; parameter.shape().numel()]),
            }
        }
        Ok(flat)
    }
}

//! The programs whose expected cost is differentiated: each transition ends with a coin that accepts.

use relax_runtime::prelude::*;

use crate::kernel::Proposal;
use crate::target::Target;

/// A sampler whose step sizes are learned.
#[derive(Clone, Copy)]
pub(crate) struct Sampler<'a> {
    pub(crate) target: &'a dyn Target,
    pub(crate) proposal: Proposal,
    /// ln of the step sizes, `[dims]`, or `[rows, dims]` for gradients row by row.
    pub(crate) log_steps: &'a Parameter,
}

impl Sampler<'_> {
    fn propose(&self, x: &Tensor, noise: &Tensor) -> (Tensor, Tensor) {
        let steps = self.log_steps.get().exp();
        self.proposal.propose(self.target, &steps, x, noise)
    }
}

/// E‖x_T‖² of a chain from the given states.
#[model]
pub(crate) fn chain(sampler: Sampler<'_>, start: &Tensor, transitions: usize) {
    let still = start.zeros_like();
    plate!(start.rows() => {
        let mut x = start.clone();
        for _ in 0..transitions {
            let noise = sample!(Normal(&still, 1.0));
            let (end, log_alpha) = sampler.propose(&x, &noise);
            let accept = sample!(Bernoulli(log_alpha.exp()));
            x = &x + accept.unsqueeze(1) * (end - &x);
        }
        cost!(x.square().sum_from(1));
    })
}

/// Less the squared jump of one transition from the given states, each coordinate times a weight.
#[model]
pub(crate) fn jump(sampler: Sampler<'_>, start: &Tensor, weights: &Tensor) {
    let still = start.zeros_like();
    plate!(start.rows() => {
        let noise = sample!(Normal(&still, 1.0));
        let (end, log_alpha) = sampler.propose(start, &noise);
        let accept = sample!(Bernoulli(log_alpha.exp()));
        cost!(-(accept * ((end - start).square() * weights).sum_from(1)));
    })
}

/// −E[x x′] of one transition of a chain that has forgotten its start on N(0, 1), which is E[jump²]/2 − 1.
#[model]
pub(crate) fn stationary(sampler: Sampler<'_>, rows: usize) {
    let still = Tensor::zeros([rows, 1], &Device::cpu());
    plate!(rows => {
        let x = sample!(Normal(&still, 1.0));
        let noise = sample!(Normal(&still, 1.0));
        let (end, log_alpha) = sampler.propose(&x, &noise);
        let accept = sample!(Bernoulli(log_alpha.exp()));
        cost!(-(x.squeeze(1) * (&x + accept.unsqueeze(1) * (end - &x)).squeeze(1)));
    })
}

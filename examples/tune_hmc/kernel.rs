//! Metropolis–Hastings transitions, differentiable in their step sizes.

use relax_runtime::prelude::*;

use crate::target::Target;

/// How a transition proposes the next state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proposal {
    /// x + step ∘ ξ with ξ standard normal.
    RandomWalk,
    /// So many leapfrog steps of Hamiltonian Monte Carlo from a standard normal momentum (Neal 2011,
    /// section 2.3; step sizes by coordinate are a diagonal mass matrix).
    Leapfrog(usize),
}

impl Proposal {
    /// Slopes that a transition evaluates, once that of its start is known; for a random walk
    /// densities.
    pub(crate) fn evaluations(self) -> usize {
        match self {
            Self::RandomWalk => 1,
            Self::Leapfrog(steps) => steps,
        }
    }

    /// The proposed states and ln of their acceptance probabilities min(1, r), from states and noise
    /// `[rows, dims]` with step sizes that broadcast to them.
    pub(crate) fn propose(
        self,
        target: &dyn Target,
        steps: &Tensor,
        x: &Tensor,
        noise: &Tensor,
    ) -> (Tensor, Tensor) {
        let (end, kinetic) = match self {
            Self::RandomWalk => (x + steps * noise, None),
            Self::Leapfrog(count) => {
                let half = steps * 0.5;
                let (mut x, mut momentum) = (x.clone(), noise + &half * target.slope(x));
                for left in (0..count).rev() {
                    x = &x + steps * &momentum;
                    let kick = if left == 0 { &half } else { steps };
                    momentum = momentum + kick * target.slope(&x);
                }
                let energies = (momentum.square() - noise.square()).sum_from(1) * 0.5;
                (x, Some(energies))
            }
        };
        let mut log_ratio = target.log_density(&end) - target.log_density(x);
        if let Some(energies) = kinetic {
            log_ratio = log_ratio - energies;
        }
        let certain = log_ratio.zeros_like();
        (end, log_ratio.minimum(&certain))
    }
}

/// Chains side by side.
pub(crate) struct Chains<'t> {
    target: &'t dyn Target,
    /// `[chains, dims]`.
    pub(crate) states: Tensor,
    stream: relax_runtime::Stream,
}

/// What a transition was like, as means over the chains.
pub(crate) struct Moved {
    /// Probability of acceptance.
    pub(crate) acceptance: f64,
    /// Expected squared jump given the proposals, by coordinate.
    pub(crate) jumps: Vec<f64>,
}

impl<'t> Chains<'t> {
    /// Chains that start at the given states.
    pub(crate) fn new(target: &'t dyn Target, states: Tensor, key: Key) -> Self {
        let stream = key.stream("chains");
        Self {
            target,
            states,
            stream,
        }
    }

    /// One transition of all chains.
    ///
    /// # Errors
    /// If an operation does not fit the states' shape.
    pub(crate) fn advance(&mut self, proposal: Proposal, steps: &Tensor) -> Result<Moved> {
        let shape = self.states.shape();
        let device = self.states.device();
        let noise = self.stream.normals(shape, &device)?;
        let steps = steps.detach();
        let (end, log_alpha) = proposal.propose(self.target, &steps, &self.states, &noise);
        let (ends, log_alpha, width) = (end.to_vec()?, log_alpha.to_vec()?, shape[1]);
        let mut states = self.states.to_vec()?;
        let mut moved = Moved {
            acceptance: 0.0,
            jumps: vec![0.0; width],
        };
        let share = 1.0 / log_alpha.len() as f64;
        let rows = states.chunks_mut(width).zip(ends.chunks(width));
        for ((state, end), log_alpha) in rows.zip(log_alpha) {
            // A trajectory that has left the numbers is rejected.
            let whole = !log_alpha.is_nan() && end.iter().all(|x| x.is_finite());
            let alpha = if whole { log_alpha.exp() } else { 0.0 };
            let accept = self.stream.uniform() < alpha;
            if alpha > 0.0 {
                moved.acceptance += share * f64::from(alpha);
                for ((jump, from), to) in moved.jumps.iter_mut().zip(&*state).zip(end) {
                    *jump += share * f64::from(alpha) * f64::from(to - from).powi(2);
                }
            }
            if accept {
                state.copy_from_slice(end);
            }
        }
        self.states = Tensor::from_vec(states, shape, &device)?;
        Ok(moved)
    }
}

//! How agents learn.

use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;

use crate::environment::Environment;
use crate::rollout::{Form, is_discrete};

/// Settings of a training.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) form: Form,
    /// Hidden layers of policy and critics.
    pub(crate) policy: Vec<usize>,
    pub(crate) critic: Vec<usize>,
    pub(crate) policy_activation: Activation,
    pub(crate) activation: Activation,
    /// Episodes an update; more of them where they have fewer steps than `steps`.
    pub(crate) episodes: usize,
    pub(crate) steps: usize,
    pub(crate) rate: f32,
    pub(crate) value_rate: f32,
    pub(crate) surrogate_rate: f32,
    /// Of the entropy of each action's law.
    pub(crate) entropy: f32,
    /// Steps of the critics an update.
    pub(crate) critic_steps: usize,
    /// RMSProp as published, else Adam.
    pub(crate) rms_prop: bool,
}

impl Settings {
    /// This project's: critics know the time left, costs are of size 1, and each batch is learned from
    /// several times.
    ///
    /// Where all episodes come out alike, as acrobot's do at first, what is left of the gradient is the noise of a value
    /// that is still being learned. Adam makes full steps of it, and in some hundreds of them the policy always does
    /// the same and finds nothing ever after. A little entropy outweighs that noise, and is outweighed by a signal.
    pub(crate) fn ours<E: Environment>() -> Self {
        const GAMMA: f64 = 0.99;
        let discrete = is_discrete::<E>();
        let critic_rate = if E::SLOW { 0.01 } else { 0.003 };
        Self {
            form: Form {
                gamma: GAMMA,
                unit: 1.0 - GAMMA,
                timed: true,
            },
            policy: vec![32],
            critic: vec![32, 32],
            policy_activation: Activation::Tanh,
            activation: Activation::Tanh,
            episodes: if discrete && !E::SLOW { 1 } else { 4 },
            steps: 0,
            rate: 0.01,
            value_rate: critic_rate,
            surrogate_rate: critic_rate,
            entropy: if E::SLOW { 0.003 } else { 0.0 },
            critic_steps: 5,
            rms_prop: false,
        }
    }

    /// Those of Grathwohl et al. 2018, appendix E, as far as they say; with tanh for ELU in the
    /// continuous case.
    pub(crate) fn published<E: Environment>() -> Self {
        let discrete = is_discrete::<E>();
        let form = Form {
            gamma: 0.99,
            unit: 1.0,
            timed: false,
        };
        let common = Self {
            form,
            rms_prop: true,
            rate: 0.01,
            value_rate: 0.01,
            surrogate_rate: 0.01,
            ..Self::ours::<E>()
        };
        match discrete {
            true => Self {
                policy: vec![10, 10],
                critic: vec![10, 10],
                policy_activation: Activation::Relu,
                activation: Activation::Relu,
                episodes: 1,
                entropy: 0.01,
                critic_steps: 1,
                ..common
            },
            false => Self {
                policy: vec![64, 64],
                critic: vec![64, 64],
                episodes: 1,
                steps: 2500,
                critic_steps: 25,
                rate: 0.003,
                ..common
            },
        }
    }

    /// The rule that follows gradients.
    pub(crate) fn optimizer(&self, rate: f32) -> Result<Optimizer> {
        match self.rms_prop {
            true => Optimizer::new(RmsProp::new(rate)),
            false => Optimizer::new(Adam::new(rate)),
        }
    }
}

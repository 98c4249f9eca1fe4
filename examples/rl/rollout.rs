//! Episodes of several environments side by side, which end at different times.

use relax_runtime::Stream;
use relax_runtime::prelude::*;

use crate::environment::{Actions, Environment};
use crate::policy::Policy;

/// What an episode has left, step after step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Episode {
    pub(crate) observed: Vec<f32>,
    /// The law's parameters as they were, each with its own numbers.
    pub(crate) theta: Vec<Vec<f32>>,
    pub(crate) noise: Vec<f32>,
    pub(crate) rewards: Vec<f32>,
}

impl Episode {
    pub(crate) fn steps(&self) -> usize {
        self.rewards.len()
    }

    pub(crate) fn reward(&self) -> f64 {
        self.rewards.iter().copied().map(f64::from).sum()
    }

    /// The sum of later rewards with their own, each weighted by `gamma` for every step that it lies ahead.
    pub(crate) fn returns(&self, gamma: f64) -> Vec<f32> {
        let mut ahead = 0.0;
        let backwards = self.rewards.iter().rev().map(|&reward| {
            ahead = f64::from(reward) + gamma * ahead;
            ahead as f32
        });
        let mut returns: Vec<f32> = backwards.collect();
        returns.reverse();
        returns
    }
}

/// An environment on its way, with its own random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Runner<E> {
    pub(crate) environment: E,
    noise: Stream,
    chance: Stream,
    /// Has ended.
    ended: bool,
    episode: Episode,
}

impl<E: Environment> Runner<E> {
    /// A new episode.
    pub(crate) fn start(key: Key) -> Self {
        let mut chance = key.stream("environment");
        let environment = E::start(&mut chance);
        Self::with(environment, key.stream("actions"), chance)
    }

    /// Goes on from a state.
    pub(crate) fn from(environment: E, key: Key) -> Self {
        Self::with(
            environment,
            key.stream("actions"),
            key.stream("environment"),
        )
    }

    fn with(environment: E, noise: Stream, chance: Stream) -> Self {
        Self {
            environment,
            noise,
            chance,
            ended: false,
            episode: Episode::default(),
        }
    }

    /// Takes a given action first, of which only the reward is kept.
    pub(crate) fn after(mut self, action: f32) -> Self {
        let transition = self.environment.step(action, &mut self.chance);
        self.ended = transition.ended;
        self.episode.rewards.push(transition.reward);
        self
    }
}

/// Runs all to their ends under a policy. Those that have ended are masked: the network sees the rows of the
/// others alone. `visit` sees each environment before each of its steps.
///
/// # Errors
/// If a weight of the policy is not a number any more.
pub(crate) fn finish<E: Environment>(
    policy: &Policy,
    mut runners: Vec<Runner<E>>,
    mut visit: impl FnMut(usize, &E),
) -> Result<Vec<Episode>> {
    let numbers = Policy::noise_numbers(E::ACTIONS);
    loop {
        let (mut observed, mut noise) = (Vec::new(), Vec::new());
        let mut alive: Vec<usize> = Vec::new();
        for (i, runner) in runners.iter_mut().enumerate() {
            if !runner.ended {
                alive.push(i);
                visit(i, &runner.environment);
                runner.environment.observe(&mut observed);
                policy.noise(E::ACTIONS, &mut runner.noise, &mut noise);
            }
        }
        if alive.is_empty() {
            return Ok(runners.into_iter().map(|runner| runner.episode).collect());
        }
        let theta = policy.theta(observed.clone())?;
        let shape = [alive.len(), numbers];
        let actions = Policy::actions(
            &theta,
            &Tensor::from_vec(noise.clone(), shape, &Device::cpu())?,
        )?;
        let theta = theta.iter().map(Tensor::to_vec);
        let theta = theta.collect::<Result<Vec<_>>>()?;
        for (row, &i) in alive.iter().enumerate() {
            let Runner {
                environment,
                chance,
                ended,
                episode,
                ..
            } = &mut runners[i];
            let own = |all: &[f32], width: usize| all[row * width..][..width].to_vec();
            episode.observed.extend(own(&observed, E::OBSERVED));
            episode.noise.extend(own(&noise, numbers));
            episode.theta.resize(theta.len(), Vec::new());
            for (all, theta) in episode.theta.iter_mut().zip(&theta) {
                all.extend(own(theta, numbers));
            }
            let transition = environment.step(actions[row], chance);
            episode.rewards.push(transition.reward);
            *ended = transition.ended;
        }
    }
}

/// The steps of some episodes, one after the other: rows of an estimate.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    pub(crate) episodes: usize,
    pub(crate) observed: Vec<f32>,
    /// What critics see, `[rows, n]`.
    pub(crate) context: Tensor,
    pub(crate) theta: Vec<Tensor>,
    pub(crate) noise: Tensor,
    /// What is to be minimised, a number a row: minus the return, in the unit of the settings.
    pub(crate) cost: Vec<f32>,
    /// The mean cost that the other episodes had at the same time, 0 for those that had ended.
    pub(crate) others: Vec<f32>,
}

/// How a batch is made of episodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) gamma: f64,
    /// What returns are multiplied by.
    pub(crate) unit: f64,
    /// Whether critics see the time that is left.
    pub(crate) timed: bool,
}

impl Batch {
    /// Puts episodes together.
    ///
    /// # Errors
    /// If no memory could hold them.
    pub(crate) fn new<E: Environment>(episodes: &[Episode], form: Form) -> Result<Self> {
        let device = Device::cpu();
        let rows = episodes.iter().map(Episode::steps).sum();
        let costs = episodes.iter().map(|episode| {
            let returns = episode.returns(form.gamma).into_iter();
            returns
                .map(|ahead| -(form.unit * f64::from(ahead)) as f32)
                .collect::<Vec<_>>()
        });
        let costs: Vec<_> = costs.collect();
        let mut totals = vec![0.0; costs.iter().map(Vec::len).max().unwrap_or(0)];
        for cost in &costs {
            let pairs = totals.iter_mut().zip(cost);
            pairs.for_each(|(total, cost)| *total += cost);
        }
        let rivals = (episodes.len().max(2) - 1) as f32;
        let others = costs.iter().flat_map(|cost| {
            let pairs = cost.iter().zip(&totals);
            pairs.map(|(cost, total)| (total - cost) / rivals)
        });
        let others = others.collect();
        let mut context = Vec::new();
        for episode in episodes {
            for (time, observed) in episode.observed.chunks(E::OBSERVED).enumerate() {
                Self::seen::<E>(observed, time, form, &mut context);
            }
        }
        let numbers = Policy::noise_numbers(E::ACTIONS);
        let joined = |part: &dyn Fn(&Episode) -> &[f32]| {
            let all: Vec<f32> = episodes.iter().flat_map(part).copied().collect();
            Tensor::from_vec(all, [rows, numbers], &device)
        };
        let laws = episodes.first().map_or(0, |episode| episode.theta.len());
        let theta = (0..laws).map(|i| joined(&|episode| &episode.theta[i]));
        Ok(Self {
            rows,
            episodes: episodes.len(),
            observed: episodes.iter().flat_map(|e| &e.observed).copied().collect(),
            context: Tensor::from_vec(context, [rows, Self::context_numbers::<E>(form)], &device)?,
            theta: theta.collect::<Result<_>>()?,
            noise: joined(&|episode| &episode.noise)?,
            cost: costs.concat(),
            others,
        })
    }

    /// What critics see of a state.
    pub(crate) fn seen<E: Environment>(
        observed: &[f32],
        time: usize,
        form: Form,
        into: &mut Vec<f32>,
    ) {
        into.extend_from_slice(observed);
        if form.timed {
            let left = 1.0 - time as f32 / E::LIMIT as f32;
            // How much discounted reward the time left allows, too: what values bend with.
            into.extend([
                left,
                1.0 - form.gamma.powf(f64::from(left) * E::LIMIT as f64) as f32,
            ]);
        }
    }

    pub(crate) fn context_numbers<E: Environment>(form: Form) -> usize {
        E::OBSERVED + if form.timed { 2 } else { 0 }
    }
}

/// Whether actions are indices.
pub(crate) fn is_discrete<E: Environment>() -> bool {
    matches!(E::ACTIONS, Actions::Discrete(_))
}

//! Training of a policy.

use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;

use crate::environment::Environment;
use crate::learner::{Learner, Method};
use crate::policy::Policy;
use crate::rollout::{Batch, Episode, Runner, finish};
use crate::settings::Settings;

/// Particles of keys that training has no more than.
const EPISODES: u64 = 1 << 20;

/// A policy on its way, and the estimator that moves it.
pub(crate) struct Training<E> {
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) learner: Learner,
    /// Estimators that see the same episodes, learn from them, and move nothing.
    pub(crate) others: Vec<Learner>,
    optimizer: Optimizer,
    key: Key,
    /// The sum of rewards of every episode so far.
    pub(crate) rewards: Vec<f64>,
    pub(crate) frames: usize,
    of: std::marker::PhantomData<E>,
}

impl<E: Environment> Training<E> {
    /// First weights; those of the policy are the same for every method.
    pub(crate) fn new(settings: Settings, method: Method, seed: u64) -> Result<Self> {
        let key = Key::new(seed);
        let policy = Policy::new::<E>(
            &settings.policy,
            settings.policy_activation,
            &mut key.stream("policy"),
        )?;
        Ok(Self {
            policy,
            learner: Learner::new::<E>(method, &settings, key)?,
            others: Vec::new(),
            optimizer: settings.optimizer(settings.rate)?,
            settings,
            key,
            rewards: Vec::new(),
            frames: 0,
            of: std::marker::PhantomData,
        })
    }

    /// Lets other methods look on.
    pub(crate) fn watched_by(mut self, methods: &[Method]) -> Result<Self> {
        let learners = methods
            .iter()
            .map(|&method| Learner::new::<E>(method, &self.settings, self.key));
        self.others = learners.collect::<Result<_>>()?;
        Ok(self)
    }

    /// Whether the last episodes were good enough.
    pub(crate) fn is_solved(&self) -> bool {
        let window = E::SOLVED.episodes;
        let last = self.rewards.len().checked_sub(window);
        let sum = last.map(|from| self.rewards[from..].iter().sum::<f64>());
        sum.is_some_and(|sum| sum > E::SOLVED.above * window as f64)
    }

    /// Mean reward of the last episodes.
    pub(crate) fn recent(&self) -> f64 {
        let from = self.rewards.len().saturating_sub(E::SOLVED.episodes);
        let recent = &self.rewards[from..];
        recent.iter().sum::<f64>() / recent.len().max(1) as f64
    }

    /// The keys of episodes: of training, or fresh ones.
    pub(crate) fn key(&self, fresh: bool, number: u64) -> Key {
        Key {
            step: self.rewards.len() as u64,
            particle: number + if fresh { EPISODES } else { 0 },
            ..self.key
        }
    }

    /// One update: episodes, the gradient, a step of the policy, then of all critics.
    ///
    /// # Errors
    /// If a number is none any more.
    pub(crate) fn update(&mut self) -> Result<()> {
        let (mut episodes, mut steps) = (Vec::new(), 0);
        while episodes.is_empty() || steps < self.settings.steps {
            let first = episodes.len() as u64;
            let numbers = first..first + self.settings.episodes as u64;
            let runners = numbers.map(|i| Runner::<E>::start(self.key(false, i)));
            let new = finish(&self.policy, runners.collect(), |_, _| {})?;
            steps += new.iter().map(Episode::steps).sum::<usize>();
            episodes.extend(new);
        }
        let batch = Batch::new::<E>(&episodes, self.settings.form)?;
        let signals = self.learner.estimate(&batch)?;
        let theta = self.policy.theta(batch.observed.clone())?;
        // The sum over steps is the gradient; its size is that of a mean over the longest episodes.
        let share = 1.0 / (batch.episodes * E::LIMIT) as f32;
        let cotangents: Vec<_> = signals.theta.iter().map(|g| g * share).collect();
        let chaos = Policy::entropy(&theta) * (-self.settings.entropy * share);
        let mut outputs: Vec<_> = theta.iter().zip(cotangents.iter().map(Some)).collect();
        if self.settings.entropy > 0.0 {
            outputs.push((&chaos, None));
        }
        self.optimizer
            .update(&relax_runtime::tensor::grad_parameters(&outputs)?)?;
        self.learner.learn(&batch, signals)?;
        for learner in &mut self.others {
            let signals = learner.estimate(&batch)?;
            learner.learn(&batch, signals)?;
        }
        self.rewards.extend(episodes.iter().map(Episode::reward));
        self.frames += steps;
        Ok(())
    }
}

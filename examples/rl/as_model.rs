//! The same as a program of the library's language: the environment runs inside the model.
//!
//! A plate of episodes takes its steps together, host code moves the environments, and every step's reward is a
//! `cost!`. Each time step is a separate site, and so has its own surrogate, which learns from the episodes that last
//! that long; the library leaves out of each site's cost what came before it.

use std::cell::Cell;
use std::time::Instant;

use relax_runtime::estimator::IntoEstimator;
use relax_runtime::prelude::*;

use crate::environment::{CartPole, Environment, Transition};
use crate::program::Outcome;

/// Episodes a step of the optimiser, and discount of a reward for each step that it lies ahead.
const EPISODES: usize = 4;
const GAMMA: f32 = 0.99;

/// Runs episodes from their starts to their ends, under `policy`; `reward` is told their mean reward.
#[model]
fn play(starts: &[CartPole], policy: &Mlp, reward: &Cell<f64>) {
    let mut environments = starts.to_vec();
    let mut standing = vec![true; starts.len()];
    // Nothing in cart-pole is left to chance but the start.
    let mut chance = Key::new(0).stream("environment");
    let mut total = 0.0;
    plate!(starts.len() => {
        for time in 0..CartPole::LIMIT {
            let mut observed = Vec::new();
            environments.iter().for_each(|environment| environment.observe(&mut observed));
            let shape = [starts.len(), CartPole::OBSERVED];
            let observed = Tensor::from_vec(observed, shape, &Device::cpu())?;
            let push = sample!(
                Bernoulli(logits = policy.forward(&observed).squeeze(-1)),
                context = &observed
            );
            // Episodes that have ended draw on, and nothing comes of it.
            let mut rewards = vec![0.0; starts.len()];
            for (i, action) in push.to_vec()?.into_iter().enumerate() {
                if standing[i] {
                    let Transition { reward, ended } = environments[i].step(action, &mut chance);
                    (rewards[i], standing[i]) = (reward, !ended);
                }
            }
            total += rewards.iter().copied().map(f64::from).sum::<f64>();
            cost!(Tensor::from_slice(&rewards) * -GAMMA.powi(time as i32));
            if !standing.contains(&true) {
                break;
            }
        }
    });
    reward.set(total / starts.len() as f64);
}

/// Trains so many updates by RELAX and by REINFORCE. Leave-one-out would run the rest of the episodes once more
/// for each of their steps.
///
/// # Errors
/// If a number is none any more.
pub(crate) fn run(seed: u64, updates: u64) -> Outcome<()> {
    println!("cart-pole as a #[model], {EPISODES} episodes per update\n");
    println!("estimator     mean reward of the last tenth     ms/update");
    train("relax", Relax::free_form(), seed, updates)?;
    train("reinforce", Reinforce::default(), seed, updates)
}

fn train(name: &str, estimator: impl IntoEstimator, seed: u64, updates: u64) -> Outcome<()> {
    const HIDDEN: usize = 32;
    let key = Key::new(seed);
    let sizes = [CartPole::OBSERVED, HIDDEN, 1];
    let mut weights = key.stream("policy");
    let policy = Mlp::new(&sizes, Activation::Tanh, &mut weights, &Device::cpu())?.named("policy");
    let mut trainer = Trainer::new(seed)
        .optimizer(Adam::new(0.01))
        .estimator(estimator);
    let start = Instant::now();
    let mut rewards = Vec::new();
    for step in 0..updates {
        let mut stream = Key { step, ..key }.stream("starts");
        let starts: Vec<_> = (0..EPISODES)
            .map(|_| CartPole::start(&mut stream))
            .collect();
        let reward = Cell::new(0.0);
        trainer.step(&ExpectedCost::new(&play(&starts, &policy, &reward)))?;
        rewards.push(reward.get());
    }
    let last = &rewards[rewards.len() - rewards.len().div_ceil(10)..];
    println!(
        "{name:12} {:>30.1} {:>13.1}",
        last.iter().sum::<f64>() / last.len() as f64,
        1e3 * start.elapsed().as_secs_f64() / updates as f64
    );
    Ok(())
}

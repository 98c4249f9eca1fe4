//! The parts of the variance on bandits, known from the rewards' law, beside estimates from noisy rewards.

use relax_runtime::Stream;
use relax_runtime::prelude::*;

use crate::environment::{Bandit, Environment};
use crate::learner::{Learner, Method};
use crate::mirage::{METHODS, Parts, gradients, take_apart};
use crate::moments::{Pair, Scores, mean_square};
use crate::policy::Policy;
use crate::program::Outcome;
use crate::rollout::{Batch, Form};
use crate::settings::Settings;
use crate::train::Training;

/// Independent estimates, whose spread gives the standard error.
const ROUNDS: u64 = 30;
/// Standard errors that are still chance.
const MOST: f64 = 5.0;

/// Compares the parts on a bandit with three actions and on one with a real number.
///
/// # Errors
/// If one is too far off to be chance.
pub(crate) fn run(seed: u64, states: usize) -> Outcome<()> {
    let worst = compare::<3>(seed, states)?.max(compare::<0>(seed, states)?);
    match worst < MOST {
        true => {
            println!("\nall within {MOST} standard errors");
            Ok(())
        }
        false => Err(format!("a part is {worst:.1} standard errors off").into()),
    }
}

/// The largest distance, in standard errors.
fn compare<const N: usize>(seed: u64, states: usize) -> Outcome<f64> {
    const UPDATES: usize = 40;
    let settings = Settings::ours::<Bandit<N>>();
    let settings = Settings {
        episodes: 8,
        policy: vec![4],
        form: Form {
            unit: 1.0,
            ..settings.form
        },
        ..settings
    };
    let others = [Method::Reinforce, Method::Relax, Method::RelaxValue];
    let training = Training::<Bandit<N>>::new(settings, Method::A2c, seed)?;
    let mut training = training.watched_by(&others)?;
    for _ in 0..UPDATES {
        training.update()?;
    }
    let learners = [
        &training.others[0],
        &training.learner,
        &training.others[1],
        &training.others[2],
    ];
    let known = (0..ROUNDS).map(|round| by_law(&training, &learners, round));
    let known: Vec<_> = known.collect::<Result<_>>()?;
    let found = (0..ROUNDS).map(|round| take_apart(&training, &learners, states.max(2), round));
    let found: Vec<_> = found.collect::<Result<_>>()?;
    println!(
        "\n{}\npart           by law   estimate  off, in s.e.",
        match N {
            0 => "a real number".to_owned(),
            _ => format!("{N} actions"),
        }
    );
    let mut worst = 0.0_f64;
    for (i, name) in Parts::names().into_iter().enumerate() {
        let ([known, own_error], [found, error]) = (mean(&known, i), mean(&found, i));
        let off = (found - known) / own_error.hypot(error);
        println!("{name:12} {known:>10.5} {found:>10.5} {off:>8.2}");
        worst = worst.max(off.abs());
    }
    Ok(worst)
}

/// Mean and standard error of one of the parts.
fn mean(rounds: &[Parts], part: usize) -> [f64; 2] {
    let all = || rounds.iter().map(|parts| parts.numbers()[part]);
    let n = rounds.len() as f64;
    let mean = all().sum::<f64>() / n;
    let squares = all().map(|x| (x - mean).powi(2)).sum::<f64>();
    [mean, (squares / (n * (n - 1.0))).sqrt()]
}

/// The parts from the law of the rewards. Only what a surrogate leaves of Σ_a takes draws, of its noise.
fn by_law<const N: usize>(
    training: &Training<Bandit<N>>,
    learners: &[&Learner],
    round: u64,
) -> Result<Parts> {
    let mut parts = Parts::default();
    let (mut square, mut sum) = (0.0, Vec::new());
    let mut stream = training.key(true, round).stream("law");
    for context in 0..2 {
        let environment = Bandit::<N>::in_context(context);
        let (mut observed, mut seen) = (Vec::new(), Vec::new());
        environment.observe(&mut observed);
        Batch::seen::<Bandit<N>>(&observed, 0, training.settings.form, &mut seen);
        let state = State::<N> {
            context,
            scores: Scores::at(&training.policy, &observed)?,
            theta: training.policy.theta(observed)?,
            seen,
        };
        let value = f64::from(learners[1].values(&state.seen_once()?)?[0]);
        let exact = state.exact([0.0, value])?;
        parts.future += 0.5 * exact.future;
        square += 0.5 * exact.square_of_mean;
        state.scores.add_to(&mut sum, &exact.mean);
        for (i, learner) in learners.iter().enumerate() {
            parts.choice[i] += 0.5
                * match METHODS[i] {
                    Method::Reinforce => exact.squares[0],
                    Method::A2c => exact.squares[1],
                    _ => state.drawn(&training.policy, learner, &mut stream)?,
                };
        }
    }
    parts.choice.iter_mut().for_each(|part| *part -= square);
    parts.state = square - sum.iter().map(|x| (0.5 * x).powi(2)).sum::<f64>();
    Ok(parts)
}

/// A context of the bandit, as the policy and its critics see it.
struct State<const N: usize> {
    context: usize,
    scores: Scores,
    theta: Vec<Tensor>,
    seen: Vec<f32>,
}

/// Expectations over the action.
struct Exact {
    future: f64,
    mean: Vec<f64>,
    square_of_mean: f64,
    /// E|(Q − φ) ∇ln π|² for two constants φ.
    squares: [f64; 2],
}

impl<const N: usize> State<N> {
    fn seen_once(&self) -> Result<Tensor> {
        Tensor::from_vec(self.seen.clone(), [1, self.seen.len()], &Device::cpu())
    }

    /// Actions with their weights and scores, by the law's parameters: all of them, or a fine grid of a
    /// Gaussian's.
    fn actions(&self) -> Result<Vec<(f32, f64, Vec<f64>)>> {
        const HALF: i32 = 4_000;
        const WIDTH: f64 = 8.0 / HALF as f64;
        Ok(match &self.theta[..] {
            [logits] => {
                let p = logits.softmax(-1).to_vec()?;
                let score = |action: usize| {
                    let units = p.iter().enumerate();
                    units.map(move |(k, &p)| f64::from(u8::from(k == action)) - f64::from(p))
                };
                let all = p.iter().enumerate();
                all.map(|(a, &p)| (a as f32, f64::from(p), score(a).collect()))
                    .collect()
            }
            theta => {
                let (mean, scale) = (f64::from(theta[0].item()?), f64::from(theta[1].item()?));
                let at = |i: i32| {
                    let x = WIDTH * f64::from(i);
                    let weight = WIDTH * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
                    let score = vec![x / scale, (x * x - 1.0) / scale];
                    ((mean + scale * x) as f32, weight, score)
                };
                (-HALF..=HALF).map(at).collect()
            }
        })
    }

    fn exact(&self, phi: [f64; 2]) -> Result<Exact> {
        let (mut future, mut mean, mut squares) = (0.0, Vec::new(), [0.0; 2]);
        for (action, weight, score) in self.actions()? {
            let length = weight * self.scores.inner(&score, &score);
            let q = -Bandit::<N>::mean(self.context, action);
            future += length * Bandit::<N>::deviation(action).powi(2);
            for (square, phi) in squares.iter_mut().zip(phi) {
                *square += length * (q - phi).powi(2);
            }
            mean.resize(score.len(), 0.0);
            for (mean, score) in mean.iter_mut().zip(score) {
                *mean += weight * q * score;
            }
        }
        Ok(Exact {
            future,
            square_of_mean: self.scores.inner(&mean, &mean),
            mean,
            squares,
        })
    }

    /// E|g|² of a learner's gradient where each draw costs what it does on average.
    fn drawn(&self, policy: &Policy, learner: &Learner, stream: &mut Stream) -> Result<f64> {
        const DRAWS: usize = 1_000;
        let actions = Bandit::<N>::ACTIONS;
        let shape = [DRAWS, Policy::noise_numbers(actions)];
        let mut noise = Vec::new();
        (0..DRAWS).for_each(|_| policy.noise(actions, stream, &mut noise));
        let noise = Tensor::from_vec(noise, shape, &Device::cpu())?;
        let parts = self.theta.iter();
        let theta: Vec<_> = parts
            .map(|part| part.detach().broadcast_to(shape))
            .collect();
        let drawn = Policy::actions(&theta, &noise)?;
        let costs: Vec<Pair> = drawn
            .iter()
            .map(|&a| [-Bandit::<N>::mean(self.context, a); 2])
            .collect();
        let found = gradients(learner, &self.seen, &theta, &noise, &costs)?;
        Ok(mean_square(&self.scores, &found))
    }
}

//! The parts of the variance along a training.

use relax_runtime::prelude::*;

use crate::compare::Plan;
use crate::environment::{Actions, Environment};
use crate::learner::{Learner, Method};
use crate::moments::{AllActions, Pair, Scores, mean_square, square_of_mean};
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::policy::Policy;
use crate::program::Outcome;
use crate::progress::Progress;
use crate::rollout::{Batch, Runner, finish};
use crate::settings::Settings;
use crate::train::Training;

/// What stands for φ: nothing, a value, a surrogate of the action, both. Without a method is φ = Q, which
/// leaves nothing of Σ_a.
pub(crate) const METHODS: [Method; 4] = [
    Method::Reinforce,
    Method::A2c,
    Method::Relax,
    Method::RelaxValue,
];

/// The variance of a step's gradient by the policy's weights, in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    /// Σ_τ.
    pub(crate) future: f64,
    /// Σ_a by each of the [`METHODS`].
    pub(crate) choice: [f64; METHODS.len()],
    /// Σ_s.
    pub(crate) state: f64,
}

impl Parts {
    pub(crate) fn numbers(&self) -> [f64; 2 + METHODS.len()] {
        let mut numbers = [self.future; 2 + METHODS.len()];
        numbers[1] = self.state;
        numbers[2..].copy_from_slice(&self.choice);
        numbers
    }

    pub(crate) fn names() -> [&'static str; 2 + METHODS.len()] {
        let mut names = ["future"; 2 + METHODS.len()];
        names[1] = "state";
        let methods = METHODS.map(Method::name);
        names[2..].copy_from_slice(&methods);
        names
    }
}

/// A state, and the returns of futures from it.
struct Tried<'a> {
    observed: &'a [f32],
    context: &'a [f32],
    /// Of the draws of a continuous law.
    noise: Vec<f32>,
    /// Minus the returns after each action of a discrete law, or after each draw of a continuous one.
    costs: Vec<Pair>,
    theta: Vec<Tensor>,
}

/// Sums over states.
#[derive(Default)]
struct Sums {
    states: f64,
    future: f64,
    choice: [f64; METHODS.len()],
    squares_of_means: f64,
    /// Σ of the means in the weights, and Σ of their squared lengths.
    mean: Vec<f64>,
    lengths: f64,
}

impl Sums {
    fn add(
        &mut self,
        scores: &Scores,
        future: f64,
        choice: [f64; METHODS.len()],
        of_mean: (f64, Vec<f64>),
    ) {
        let (square, mean) = of_mean;
        self.states += 1.0;
        self.future += future;
        let pairs = self.choice.iter_mut().zip(choice);
        pairs.for_each(|(sum, part)| *sum += part - square);
        self.squares_of_means += square;
        self.lengths += scores.inner(&mean, &mean);
        scores.add_to(&mut self.mean, &mean);
    }

    /// The parts, in squares of returns.
    fn parts(&self, unit: f64) -> Parts {
        let n = self.states;
        let scale = 1.0 / (n * unit * unit);
        let total: f64 = self.mean.iter().map(|x| x * x).sum();
        let overall = (total - self.lengths) / (n * (n - 1.0));
        Parts {
            future: scale * self.future,
            choice: self.choice.map(|sum| scale * sum),
            state: scale * self.squares_of_means - overall / (unit * unit),
        }
    }
}

/// Draws of a continuous action in a state, and of the noise behind a discrete one.
const CONTINUOUS: usize = 8;
const RELAXED: usize = 64;

/// Takes the variance apart at states that the policy comes by.
///
/// # Errors
/// If a number is none any more.
pub(crate) fn take_apart<E: Environment>(
    training: &Training<E>,
    learners: &[&Learner],
    states: usize,
    round: u64,
) -> Result<Parts> {
    const EPISODES: usize = 20;
    let form = training.settings.form;
    let mut pool: Vec<E> = Vec::new();
    let episodes = if E::LIMIT == 1 { states } else { EPISODES };
    let runners =
        (0..episodes as u64).map(|i| Runner::<E>::start(training.key(true, (round << 12) + i)));
    finish(&training.policy, runners.collect(), |_, environment| {
        pool.push(environment.clone());
    })?;
    let mut stream = training.key(true, round).stream("states");
    let chosen: Vec<E> = match E::LIMIT {
        1 => pool,
        _ => (0..states)
            .map(|_| pool[stream.below(pool.len())].clone())
            .collect(),
    };
    let futures = futures(training, &chosen, &mut stream, round)?;
    let mut sums = Sums::default();
    for (environment, (noise, returns)) in chosen.iter().zip(futures) {
        let (mut observed, mut context) = (Vec::new(), Vec::new());
        environment.observe(&mut observed);
        Batch::seen::<E>(&observed, environment.time(), form, &mut context);
        let tried = Tried {
            theta: training.policy.theta(observed.clone())?,
            observed: &observed,
            context: &context,
            noise,
            costs: returns
                .into_iter()
                .map(|pair| pair.map(|ahead| -form.unit * ahead))
                .collect(),
        };
        tried.add_to(&mut sums, &training.policy, learners, &mut stream)?;
    }
    Ok(sums.parts(form.unit))
}

/// For every state noise of actions and two returns each: of all actions where they are discrete.
fn futures<E: Environment>(
    training: &Training<E>,
    states: &[E],
    stream: &mut relax_runtime::Stream,
    round: u64,
) -> Result<Vec<(Vec<f32>, Vec<Pair>)>> {
    let policy = &training.policy;
    let (mut noises, mut runners) = (Vec::new(), Vec::new());
    for environment in states {
        let (mut observed, mut noise) = (Vec::new(), Vec::new());
        environment.observe(&mut observed);
        let actions = match E::ACTIONS {
            Actions::Discrete(n) => (0..n).map(|action| action as f32).collect(),
            Actions::Continuous => {
                (0..CONTINUOUS).for_each(|_| policy.noise(E::ACTIONS, stream, &mut noise));
                let theta = policy.theta(observed)?;
                let draws = Tensor::from_vec(noise.clone(), [CONTINUOUS, 1], &Device::cpu())?;
                Policy::actions(&theta, &draws)?
            }
        };
        for action in actions {
            for _ in 0..2 {
                let key = training.key(true, (round << 32) + (1 << 24) + runners.len() as u64);
                runners.push(Runner::from(environment.clone(), key).after(action));
            }
        }
        noises.push(noise);
    }
    let episodes = finish(policy, runners, |_, _| {})?;
    let returns = episodes
        .iter()
        .map(|episode| f64::from(episode.returns(training.settings.form.gamma)[0]));
    let returns: Vec<f64> = returns.collect();
    let each = returns.len() / states.len().max(1);
    let pairs = returns
        .chunks(each)
        .map(|of_state| of_state.as_chunks().0.to_vec());
    Ok(noises.into_iter().zip(pairs).collect())
}

impl Tried<'_> {
    fn add_to(
        &self,
        sums: &mut Sums,
        policy: &Policy,
        learners: &[&Learner],
        stream: &mut relax_runtime::Stream,
    ) -> Result<()> {
        let scores = Scores::at(policy, self.observed)?;
        match &self.theta[..] {
            [logits] => {
                let p = logits.softmax(-1).to_vec()?;
                let probabilities: Vec<f64> = p.into_iter().map(f64::from).collect();
                let all = AllActions {
                    scores: &scores,
                    probabilities: &probabilities,
                    costs: &self.costs,
                };
                let actions = Actions::Discrete(self.costs.len());
                let mut noise = Vec::new();
                for _ in 0..RELAXED {
                    policy.noise(actions, stream, &mut noise);
                }
                let shape = [RELAXED, self.costs.len()];
                let noise = Tensor::from_vec(noise, shape, &Device::cpu())?;
                let theta = [logits.detach().broadcast_to(shape)];
                let drawn = Policy::actions(&theta, &noise)?;
                let costs: Vec<Pair> = drawn.iter().map(|&a| self.costs[a as usize]).collect();
                let mut choice = [0.0; METHODS.len()];
                for (part, learner) in choice.iter_mut().zip(learners) {
                    *part = match learner.method {
                        Method::Relax | Method::RelaxValue => {
                            let draws = gradients(learner, self.context, &theta, &noise, &costs)?;
                            mean_square(&scores, &draws)
                        }
                        // Of the state alone: the sum over actions is exact.
                        _ => {
                            let value = learner.values(&seen(self.context, 1)?)?[0];
                            all.square(&vec![f64::from(value); self.costs.len()])
                        }
                    };
                }
                sums.add(&scores, all.future(), choice, all.mean());
            }
            theta => {
                let shape = [self.costs.len(), 1];
                let noise = Tensor::from_vec(self.noise.clone(), shape, &Device::cpu())?;
                let theta: Vec<Tensor> = theta
                    .iter()
                    .map(|part| part.detach().broadcast_to(shape))
                    .collect();
                let mut choice = [0.0; METHODS.len()];
                let mut of_mean = (0.0, Vec::new());
                let mut future = 0.0;
                for (part, learner) in choice.iter_mut().zip(learners) {
                    let draws = gradients(learner, self.context, &theta, &noise, &self.costs)?;
                    *part = mean_square(&scores, &draws);
                    // All have one mean; a value takes most of the noise off its estimate, and the
                    // difference of two futures off everything but the score.
                    if learner.method == Method::A2c {
                        of_mean = square_of_mean(&scores, &draws);
                        let apart = draws.iter().map(|[x, y]| {
                            let apart: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
                            0.5 * scores.inner(&apart, &apart)
                        });
                        future = apart.sum::<f64>() / draws.len() as f64;
                    }
                }
                sums.add(&scores, future, choice, of_mean);
            }
        }
        Ok(())
    }
}

/// The gradient by the law's parameters that a learner makes of draws in one state, with either future;
/// θ and noise `[draws, ..]`, costs a pair a draw.
///
/// # Errors
/// If a number is none any more.
pub(crate) fn gradients(
    learner: &Learner,
    context: &[f32],
    theta: &[Tensor],
    noise: &Tensor,
    costs: &[Pair],
) -> Result<Vec<[Vec<f64>; 2]>> {
    let rows = costs.len();
    let with = |future: usize| {
        let batch = Batch {
            rows,
            episodes: rows,
            observed: Vec::new(),
            context: seen(context, rows)?,
            theta: theta.to_vec(),
            noise: noise.clone(),
            cost: costs.iter().map(|pair| pair[future] as f32).collect(),
            others: vec![0.0; rows],
        };
        let signals = learner.estimate(&batch)?;
        let mut by_row = vec![Vec::new(); rows];
        for part in &signals.theta {
            let width = part.len() / rows;
            for (row, numbers) in by_row.iter_mut().zip(part.to_vec()?.chunks(width)) {
                row.extend(numbers.iter().copied().map(f64::from));
            }
        }
        Result::Ok(by_row)
    };
    let pairs = with(0)?.into_iter().zip(with(1)?);
    Ok(pairs.map(|(x, y)| [x, y]).collect())
}

/// What critics see, so many times.
fn seen(context: &[f32], rows: usize) -> Result<Tensor> {
    Tensor::from_vec(context.repeat(rows), [rows, context.len()], &Device::cpu())
}

/// Trains by A2C, with the other estimators looking on, and takes the variance apart on the way.
///
/// # Errors
/// If a number is none any more, or a file cannot be written.
pub(crate) fn run<E: Environment>(
    settings: &Settings,
    plan: &Plan,
    points: usize,
    states: usize,
) -> Outcome<()> {
    const EPISODES: usize = 250;
    let others = [Method::Reinforce, Method::Relax, Method::RelaxValue];
    let training = Training::<E>::new(settings.clone(), Method::A2c, plan.seeds.start)?;
    let mut training = training.watched_by(&others)?;
    let episodes = plan.episodes.min(EPISODES);
    println!(
        "\nparts of the variance of a step's gradient, in squared returns, along a training by A2C\n"
    );
    let names = Parts::names().map(|name| format!("{name:>12}"));
    println!("episodes  reward{}", names.concat());
    std::fs::create_dir_all(&plan.out)?;
    let mut table = csv::Writer::from_path(plan.out.join("mirage.csv"))?;
    table.write_record([&["episodes", "reward"], &Parts::names()[..]].concat())?;
    let mut progress = Progress::new("episodes", 0, episodes as u64)?;
    let mut curves = Parts::names().map(|name| Series {
        name: name.into(),
        points: Vec::new(),
    });
    for point in 0..=points {
        while training.rewards.len() < episodes * point / points {
            training.update()?;
            progress.at(training.rewards.len() as u64, || {
                format!("reward {:.1}", training.recent())
            });
        }
        let learners = [
            &training.others[0],
            &training.learner,
            &training.others[1],
            &training.others[2],
        ];
        let parts = take_apart(&training, &learners, states, point as u64)?;
        let done = training.rewards.len();
        let last = &training.rewards[done.saturating_sub(10)..];
        let reward = last.iter().fold(0.0, |sum, x| sum + x) / last.len().max(1) as f64;
        let cells = parts.numbers().map(|part| format!("{part:>12.3e}"));
        println!("{done:>8} {reward:>7.1}{}", cells.concat());
        let head = [done as f64, reward].map(|x| x.to_string());
        table.write_record([&head[..], &parts.numbers().map(|x| x.to_string())].concat())?;
        for (curve, part) in curves.iter_mut().zip(parts.numbers()) {
            curve.points.push((done as f64, part));
        }
    }
    drop(progress);
    table.flush()?;
    let chart = Chart {
        title: format!("{}: parts of the variance", E::NAME),
        x_label: "episode".into(),
        y_label: "by weights, squared returns".into(),
        y_scale: Scale::Log,
        series: curves.into(),
    };
    let path = plan.out.join("mirage.svg");
    save_charts(&path, &[chart])?;
    println!("\nplot: {}", path.display());
    Ok(())
}

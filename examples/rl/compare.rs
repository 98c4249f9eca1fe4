//! How many episodes each method takes.

use std::ops::Range;
use std::path::{Path, PathBuf};

use relax_runtime::prelude::*;

use crate::environment::Environment;
use crate::learner::Method;
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::program::Outcome;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::train::Training;

/// What is run.
pub(crate) struct Plan {
    pub(crate) methods: Vec<Method>,
    pub(crate) seeds: Range<u64>,
    /// Most episodes and steps of a run.
    pub(crate) episodes: usize,
    pub(crate) frames: usize,
    pub(crate) out: PathBuf,
}

/// One run to its end.
pub(crate) struct Run {
    /// After how many episodes it was solved.
    pub(crate) solved: Option<usize>,
    pub(crate) rewards: Vec<f64>,
    pub(crate) frames: usize,
    /// Mean reward of its last episodes, as many as have to be good.
    pub(crate) last: f64,
}

/// Trains until the problem is solved, or the plan's limits.
///
/// # Errors
/// If a number is none any more.
pub(crate) fn train<E: Environment>(
    settings: &Settings,
    method: Method,
    seed: u64,
    plan: &Plan,
    mut news: impl FnMut(&Training<E>),
) -> Result<Run> {
    let mut settings = settings.clone();
    // A baseline of other episodes needs some.
    if method == Method::Rloo {
        settings.episodes = settings.episodes.max(4);
    }
    let mut training = Training::<E>::new(settings, method, seed)?;
    let mut solved = false;
    while !solved && training.rewards.len() < plan.episodes && training.frames < plan.frames {
        training.update()?;
        solved = training.is_solved();
        news(&training);
    }
    Ok(Run {
        solved: solved.then_some(training.rewards.len()),
        last: training.recent(),
        rewards: training.rewards,
        frames: training.frames,
    })
}

/// Mean, median and quartiles of episodes to the solution; a run without one counts with its length.
pub(crate) struct Spread {
    pub(crate) solved: usize,
    pub(crate) mean: f64,
    pub(crate) quartiles: [f64; 3],
}

impl Spread {
    /// Of at least one run.
    pub(crate) fn of(runs: &[Run]) -> Self {
        let mut lengths: Vec<f64> = runs.iter().map(|run| run.rewards.len() as f64).collect();
        lengths.sort_by(f64::total_cmp);
        let last = lengths.len().saturating_sub(1);
        let quantile = |share: f64| {
            let at = share * last as f64;
            let (low, rest) = (at.floor() as usize, at.fract());
            lengths[low] * (1.0 - rest) + lengths[(low + 1).min(last)] * rest
        };
        Self {
            solved: runs.iter().filter(|run| run.solved.is_some()).count(),
            mean: lengths.iter().sum::<f64>() / lengths.len() as f64,
            quartiles: [0.25, 0.5, 0.75].map(quantile),
        }
    }
}

/// Trains by every method from every seed, and prints, saves and draws what comes of it.
///
/// # Errors
/// If a number is none any more, or a file cannot be written.
pub(crate) fn run<E: Environment>(settings: &Settings, plan: &Plan) -> Outcome<()> {
    println!(
        "{}: solved when the mean reward of {} episodes exceeds {}\n",
        E::NAME,
        E::SOLVED.episodes,
        E::SOLVED.above
    );
    println!("episodes to the solution\n");
    println!("method       solved    mean  quartile  median  quartile      frames  last reward");
    let each = plan.seeds.end - plan.seeds.start;
    let total = plan.methods.len() as u64 * each;
    let mut progress = Progress::new("runs", 0, total)?;
    let mut all = Vec::new();
    for (i, &method) in plan.methods.iter().enumerate() {
        let mut runs = Vec::new();
        for (k, seed) in plan.seeds.clone().enumerate() {
            runs.push(train::<E>(settings, method, seed, plan, |training| {
                progress.at(i as u64 * each + k as u64, || {
                    let (name, done) = (method.name(), training.rewards.len());
                    format!("{name} {done} episodes, reward {:.1}", training.recent())
                });
            })?);
        }
        let spread = Spread::of(&runs);
        let [low, median, high] = spread.quartiles;
        let frames: usize = runs.iter().map(|run| run.frames).sum();
        let last: f64 = runs.iter().map(|run| run.last).sum();
        println!(
            "{:12} {:>3}/{:<3} {:>7.0} {low:>9.0} {median:>7.0} {high:>9.0} {:>11.0} {:>12.1}",
            method.name(),
            spread.solved,
            runs.len(),
            spread.mean,
            frames as f64 / runs.len() as f64,
            last / runs.len() as f64
        );
        all.push((method, runs));
    }
    drop(progress);
    save::<E>(&plan.out, plan.seeds.start, &all)
}

/// Writes all rewards to a table, and their means over seeds to a chart.
fn save<E: Environment>(out: &Path, first: u64, all: &[(Method, Vec<Run>)]) -> Outcome<()> {
    std::fs::create_dir_all(out)?;
    let mut table = csv::Writer::from_path(out.join("rewards.csv"))?;
    table.write_record(["method", "seed", "episode", "reward"])?;
    for (method, runs) in all {
        for (seed, run) in (first..).zip(runs) {
            for (episode, reward) in run.rewards.iter().enumerate() {
                let numbers = [seed as f64, episode as f64, *reward].map(|x| x.to_string());
                table.write_record([&[method.name().to_owned()], &numbers[..]].concat())?;
            }
        }
    }
    table.flush()?;
    let series = all.iter().map(|(method, runs)| Series {
        name: method.name().into(),
        points: learning_curve(runs),
    });
    let chart = Chart {
        title: format!("{}: mean over seeds and 20 episodes", E::NAME),
        x_label: "episode".into(),
        y_label: "reward".into(),
        y_scale: Scale::Linear,
        series: series.collect(),
    };
    let path = out.join("rewards.svg");
    save_charts(&path, &[chart])?;
    println!("\nplot: {}", path.display());
    Ok(())
}

/// The mean reward of every 20 episodes; a run that has ended goes on with its last ones.
fn learning_curve(runs: &[Run]) -> Vec<(f64, f64)> {
    const WINDOW: usize = 20;
    let longest = runs.iter().map(|run| run.rewards.len()).max().unwrap_or(0);
    let mean_at = |end: usize| {
        let means = runs.iter().map(|run| {
            let end = end.min(run.rewards.len());
            let part = &run.rewards[end.saturating_sub(WINDOW)..end];
            part.iter().sum::<f64>() / part.len().max(1) as f64
        });
        (end as f64, means.sum::<f64>() / runs.len() as f64)
    };
    (1..=longest / WINDOW)
        .map(|i| mean_at(i * WINDOW))
        .collect()
}

//! Policy gradients with RELAX, and LAX where actions are real numbers, beside A2C, leave-one-out and REINFORCE.
//!
//! An episode draws its actions from noise that is kept, so each method makes its estimate from the same draws, with
//! the library's functions of explicit noise: one surrogate c(z, s) of the relaxed action and the state serves all
//! steps. Environments are plain structs that clone, which allows the variance to be split (`mirage`) into what comes
//! from the future, which no baseline touches; from the choice of the action, which is all that a surrogate of the
//! action can remove; and from the state.
//!
//! Sources: Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void" (ICLR 2018), section 5.3 and
//! appendix; Tucker et al., "The Mirage of Action-Dependent Baselines in Reinforcement Learning" (ICML 2018), section
//! 3.
//!
//! ```text
//! cargo run --release --example rl -- --env cartpole
//! cargo run --release --example rl -- --env cartpole --published --grid
//! cargo run --release --example rl -- --env pendulum
//! cargo run --release --example rl -- --env coins
//! cargo run --release --features lander --example rl -- --env lander
//! ```

mod as_model;
mod coins;
mod compare;
mod each_coin;
mod environment;
mod grid;
mod known;
mod learner;
mod mirage;
mod moments;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
mod policy;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod rollout;
mod settings;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

#[cfg(feature = "lander")]
use environment::Lander;
use environment::{Acrobot, CartPole, Environment, Pendulum};
use learner::Method;
use program::Outcome;
use settings::Settings;

/// Learns to act with several gradient estimators, and splits their variance into parts.
#[derive(Parser)]
struct Options {
    /// Environment; `bandit` and `coins` are problems with known variances.
    #[arg(long, value_enum, default_value = "cartpole")]
    env: Name,
    /// Estimators, separated by commas [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    method: Vec<Method>,
    /// Use the settings of the RELAX paper instead of this project's.
    #[arg(long)]
    published: bool,
    /// Run the paper's grid: three rates times three rates of the critic, each with all seeds.
    #[arg(long)]
    grid: bool,
    /// Run cart-pole as a program of the library's language, for this many updates; of the other options only `--seed`
    /// counts.
    #[arg(long, value_name = "UPDATES")]
    as_model: Option<u64>,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds of each method.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Maximum number of episodes of a run [default: depends on the problem].
    #[arg(long)]
    episodes: Option<usize>,
    /// Maximum number of environment steps of a run [default: depends on the problem].
    #[arg(long)]
    frames: Option<usize>,
    /// Learning rate of the policy.
    #[arg(long)]
    rate: Option<f32>,
    /// Learning rate of values and surrogates.
    #[arg(long)]
    critic_rate: Option<f32>,
    /// Weight of the entropy of an action.
    #[arg(long)]
    entropy: Option<f32>,
    /// Episodes per update.
    #[arg(long)]
    batch: Option<usize>,
    /// How many times the variance is split into parts along a run; 0 for none.
    #[arg(long, default_value_t = 5)]
    mirage: usize,
    /// Number of states used each time.
    #[arg(long, default_value_t = 200)]
    states: usize,
    /// Largest number of coins of `coins`.
    #[arg(long, default_value_t = 2000)]
    dimensions: usize,
    /// Folder for tables and plots.
    #[arg(long, default_value = "target/rl")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Cartpole,
    Acrobot,
    Pendulum,
    /// Of a build with `--features lander`.
    Lander,
    Bandit,
    Coins,
}

#[cfg(not(feature = "lander"))]
const NO_LANDER: &str = "this was built without the lunar lander; run it with \
    `cargo run --release --features lander --example rl -- --env lander`";

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    if options.seeds == 0 || options.batch == Some(0) || options.episodes == Some(0) {
        return Err("--seeds, --batch and --episodes must be at least 1".into());
    }
    if let Some(updates) = options.as_model {
        if !matches!(options.env, Name::Cartpole) {
            return Err("--as-model runs cart-pole alone; leave out --env".into());
        }
        return as_model::run(options.seed, updates.max(1));
    }
    match options.env {
        Name::Cartpole => act::<CartPole>(options, 3_000, 250_000),
        Name::Acrobot => act::<Acrobot>(options, 1_500, 600_000),
        Name::Pendulum => act::<Pendulum>(options, 3_000, 1_000_000),
        #[cfg(feature = "lander")]
        Name::Lander => act::<Lander>(options, 3_000, 1_000_000),
        #[cfg(not(feature = "lander"))]
        Name::Lander => Err(NO_LANDER.into()),
        Name::Bandit => known::run(options.seed, options.states),
        Name::Coins => coins::run(options.seed, options.dimensions, &options.out),
    }
}

fn act<E: Environment>(options: &Options, episodes: usize, frames: usize) -> Outcome<()> {
    let mut settings = match options.published {
        true => Settings::published::<E>(),
        false => Settings::ours::<E>(),
    };
    settings.rate = options.rate.unwrap_or(settings.rate);
    if let Some(rate) = options.critic_rate {
        (settings.value_rate, settings.surrogate_rate) = (rate, rate);
    }
    settings.entropy = options.entropy.unwrap_or(settings.entropy);
    settings.episodes = options.batch.unwrap_or(settings.episodes);
    let methods = match &options.method[..] {
        [] => Method::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    let plan = compare::Plan {
        methods,
        seeds: options.seed..options.seed + options.seeds,
        episodes: options.episodes.unwrap_or(episodes),
        frames: options.frames.unwrap_or(frames),
        out: options.out.join(E::NAME),
    };
    if options.grid {
        return grid::run::<E>(&settings, &plan);
    }
    compare::run::<E>(&settings, &plan)?;
    match options.mirage {
        0 => Ok(()),
        points => mirage::run::<E>(&settings, &plan, points, options.states.max(2)),
    }
}

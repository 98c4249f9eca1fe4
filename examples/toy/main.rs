//! The toy problem of the RELAX paper: minimise E[(b − t)²] over the logit θ of one coin b, without
//! looking inside the cost.
//!
//! At t = 0.499 the two sides of the coin cost nearly the same, so the gradient is tiny and an
//! estimator's noise is everything. REINFORCE, REBAR and RELAX are one formula with three
//! surrogates: none, the relaxed cost, and a free-form network. Trained side by side from θ = 0,
//! the variance of RELAX's gradient falls orders of magnitude below both others', and only RELAX
//! settles on the right side of the coin by more than luck.
//!
//! The program calls the estimators as plain functions, each random number given by hand, and ends
//! with the same problem as a `#[model]`, where all of that happens by itself.
//!
//! Source: Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void" (ICLR 2018),
//! section 5.1 and figure 1, with the settings that its authors published: θ and surrogate both
//! follow Adam at rate 0.01, one draw a step, a hidden layer of 10 units.
//!
//! ```text
//! cargo run --release --example toy
//! cargo run --release --example toy -- --t 0.45 --out plots
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Estimate, Noise, Problem, differentiable, relax};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Surrogate, Zero};

#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod plot;

use plot::{Chart, Scale, Series, save_charts};

/// Minimises E[(b − t)²] over a coin's logit with three gradient estimators.
#[derive(Parser)]
struct Flags {
    /// The target.
    #[arg(long, default_value_t = 0.499)]
    t: f32,
    /// Steps of training.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder to write toy.svg to.
    #[arg(long)]
    out: Option<PathBuf>,
}

const LEARNING_RATE: f32 = 0.01;
const HIDDEN: usize = 10;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = Device::cpu();
    let mut weights = Key::new(flags.seed).stream("weights");
    let network = FreeForm::new(1, 0, &[HIDDEN], Activation::Relu, &mut weights, &device)?;
    let mut learners = [
        Learner::new("REINFORCE", flags, Zero)?,
        Learner::new("REBAR", flags, RelaxedCost::new(1.0, 0.5, &device))?,
        Learner::new("RELAX", flags, network)?,
    ];
    println!("E[(b - t)^2] at t = {}", flags.t);
    println!("{}", header(&learners));
    let plotted = (flags.steps / 100).max(1);
    let printed = 10 * plotted;
    for step in 0..=flags.steps {
        if step % plotted == 0 {
            for learner in &mut learners {
                learner.measure(step)?;
            }
        }
        if step % printed == 0 {
            println!("{}", row(step, &learners));
        }
        for learner in &mut learners {
            learner.step(Key { step, ..Key::new(flags.seed) })?;
        }
    }
    Ok(())
}

/// One estimator on its way.
struct Learner {
    name: &'static str,
    target: f32,
    theta: Parameter,
    optimizer: Optimizer,
    surrogate: Box<dyn Surrogate>,
    surrogate_optimizer: Optimizer,
    history: Vec<Measurement>,
}

/// Where a learner stands.
#[derive(Clone, Copy, Default)]
struct Measurement {
    step: u64,
    theta: f64,
    loss: f64,
    variance: f64,
}

impl Learner {
    fn new(name: &'static str, flags: &Flags, surrogate: impl Surrogate + 'static) -> Result<Self> {
        Ok(Self {
            name,
            target: flags.t,
            theta: Parameter::new(Tensor::from_slice(&[0.0])),
            optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
            surrogate: Box::new(surrogate),
            surrogate_optimizer: Optimizer::new(Adam::new(LEARNING_RATE))?,
            history: Vec::new(),
        })
    }

    /// The estimate at θ, a row a draw, from a uniform number a draw.
    fn estimate(&self, theta: &Tensor, u: Tensor) -> Result<Estimate> {
        let noise = Noise { u, v: None };
        let problem = Problem::new(&BernoulliRelaxation, theta, &noise).rows();
        let mut cost = differentiable(|b| Ok((b - self.target).square()));
        relax(problem, &mut cost, &*self.surrogate)
    }

    /// Moves θ against the gradient of the cost, the surrogate against that of the variance.
    fn step(&mut self, key: Key) -> Result<()> {
        let u = key.stream("u").uniforms(Shape::from([1]), &Device::cpu())?;
        let estimate = self.estimate(&self.theta.get(), u)?;
        self.optimizer
            .update(&[(self.theta.clone(), estimate.gradient)])?;
        let surrogate = self.surrogate.parameters().into_iter();
        let gradients: Vec<_> = surrogate.zip(estimate.variance_gradient).collect();
        self.surrogate_optimizer.update(&gradients)
    }

    /// Notes θ, the exact loss, and the variance of the gradient at this θ and surrogate: the
    /// estimate is a function of one uniform number, so an even grid of them gives it exactly.
    fn measure(&mut self, step: u64) -> Result<()> {
        const GRID: usize = 10_000;
        let theta = self.theta.get();
        let grid: Vec<f32> = (0..GRID).map(|i| (i as f32 + 0.5) / GRID as f32).collect();
        let estimate =
            self.estimate(&theta.broadcast_to([GRID]), Tensor::from_slice(&grid))?;
        let gradients = estimate.gradient.to_vec()?;
        let mean = |f: &dyn Fn(f64) -> f64| {
            gradients.iter().map(|&g| f(f64::from(g))).sum::<f64>() / GRID as f64
        };
        let centre = mean(&|g| g);
        let theta = f64::from(theta.item()?);
        let (p, t) = (1.0 / (1.0 + (-theta).exp()), f64::from(self.target));
        self.history.push(Measurement {
            step,
            theta,
            loss: p * (1.0 - t).powi(2) + (1.0 - p) * t.powi(2),
            variance: mean(&|g| (g - centre).powi(2)),
        });
        Ok(())
    }
}

fn header(learners: &[Learner]) -> String {
    learners.iter().map(|l| l.name).collect::<Vec<_>>().join(" ")
}
fn row(step: u64, learners: &[Learner]) -> String {
    let mut s = format!("{step:6}");
    for l in learners { let m = l.history.last().unwrap(); write!(s, " | {:7.3} {:.6} {:7.2}", m.theta, m.loss, m.variance.ln()).unwrap(); }
    s
}

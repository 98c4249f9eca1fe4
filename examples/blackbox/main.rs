//! Costs that can only be evaluated, minimized by descent on their expectation.
//!
//! - `compare`: the gap to the optimum by evaluations, for descent with several gradient estimators, simulated
//!   annealing, CMA-ES and Bayesian optimization.
//! - `identity`: evolution strategies are a linear surrogate, fitted with the expected Gram matrix.
//! - `surrogates`: R² on fresh draws and variance, for surrogates that learn from the draw of each step and for
//!   surrogates fitted to all past draws.
//!
//! Problems: which couplings of an Ising grid to keep, and at which stages to prevent contamination (Baptista and
//! Poloczek, "Bayesian optimization of combinatorial structures", 2018), and functions f1, f8 and f10 of the black-box
//! optimization benchmark in 20 dimensions (Hansen, Finck, Ros, Auger 2009). Laws are independent coins, or normal
//! numbers whose scales or covariance are learned, too.
//!
//! ```text
//! cargo run --release --example blackbox
//! cargo run --release --example blackbox -- compare --problems ising4,f8 --seeds 20
//! ```

mod annealing;
mod bayes;
mod bbob;
mod cma;
mod compare;
mod contamination;
mod descent;
#[path = "../support/fitted.rs"]
mod fitted;
mod gaussian;
mod identity;
mod ising;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
mod problem;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod quadratic;
mod replay;
mod surrogates;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};

use bbob::{Bbob, Function};
use compare::Method;
use contamination::Contamination;
use ising::Ising;
use plot::save_charts;
use problem::BlackBox;
use program::Outcome;

/// Minimizes costs that can only be evaluated.
#[derive(Parser)]
pub(crate) struct Options {
    /// Parts to run [default: all].
    parts: Vec<Part>,
    /// Problems to minimize.
    #[arg(long, value_delimiter = ',', default_value = "ising3,ising4,f8")]
    problems: Vec<Problem>,
    /// Methods to compare [default: all].
    #[arg(long, value_delimiter = ',')]
    methods: Vec<Method>,
    /// Evaluations of the cost per run.
    #[arg(long, default_value_t = 5000)]
    evaluations: u64,
    /// Runs of each method.
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Rate of descent for all estimators, instead of one for each: Adam's rate for bits, the step length for reals.
    #[arg(long)]
    rate: Option<f32>,
    /// Use covariances of normal numbers with all estimators, not only with replay.
    #[arg(long)]
    covariances: bool,
    /// What a nat of entropy of the coins' law is worth at the start, in units of the cost; it falls to 0 in each
    /// half of the evaluations.
    #[arg(long, default_value_t = 0.0)]
    entropy: f64,
    /// Additional cost of each coupling that is kept, and of each stage that takes measures.
    #[arg(long, default_value_t = 1e-2)]
    lambda: f64,
    /// Seed of the problems: couplings, foods and places.
    #[arg(long, default_value_t = 1)]
    instance: u64,
    /// Find the optimum of the larger grid from the costs of all 2^24 choices, which takes about a minute.
    #[arg(long)]
    exhaustive: bool,
    /// First seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for tables and plots.
    #[arg(long, default_value = "target/blackbox")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Identity,
    Surrogates,
    Compare,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Problem {
    /// 12 couplings.
    Ising3,
    /// 24 couplings.
    Ising4,
    Contamination,
    F1,
    F8,
    F10,
}

impl Options {
    fn methods(&self) -> impl Iterator<Item = Method> {
        let all: &[Method] = match &self.methods[..] {
            [] => Method::value_variants(),
            some => some,
        };
        all.iter().copied()
    }

    fn build(&self, problem: Problem) -> Outcome<Box<dyn BlackBox>> {
        const DIMS: usize = 20;
        let Self {
            lambda, instance, ..
        } = *self;
        let bbob =
            |function| -> Box<dyn BlackBox> { Box::new(Bbob::new(function, DIMS, instance)) };
        Ok(match problem {
            Problem::Ising3 => Box::new(Ising::new(3, lambda, instance).enumerated()),
            Problem::Ising4 if self.exhaustive => {
                Box::new(Ising::new(4, lambda, instance).enumerated())
            }
            // By `--exhaustive`.
            Problem::Ising4 if (lambda, instance) == (1e-2, 1) => {
                Box::new(Ising::new(4, lambda, instance).with_optimum(0.184_585_79))
            }
            Problem::Ising4 => Box::new(Ising::new(4, lambda, instance)),
            Problem::Contamination => Box::new(Contamination::new(lambda, instance)?),
            Problem::F1 => bbob(Function::Sphere),
            Problem::F8 => bbob(Function::Rosenbrock),
            Problem::F10 => bbob(Function::Ellipsoid),
        })
    }

    fn problems(&self) -> Outcome<Vec<Box<dyn BlackBox>>> {
        let given = self.problems.iter();
        given.map(|&problem| self.build(problem)).collect()
    }
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    if options.evaluations < 30 || options.seeds == 0 {
        return Err("--evaluations must be at least 30, and --seeds at least 1".into());
    }
    std::fs::create_dir_all(&options.out)?;
    for part in Part::value_variants() {
        if !options.parts.is_empty() && !options.parts.contains(part) {
            continue;
        }
        let start = Instant::now();
        match part {
            Part::Identity => identity::show(options.seed)?,
            Part::Surrogates => {
                for problem in options.problems()? {
                    surrogates::show(&*problem, options)?;
                }
            }
            Part::Compare => {
                let mut charts = Vec::new();
                for problem in options.problems()? {
                    charts.push(compare::compare(&*problem, options)?);
                }
                save_charts(&options.out.join("compare.svg"), &charts)?;
            }
        }
        println!("  {:.1} s\n", start.elapsed().as_secs_f64());
    }
    Ok(())
}

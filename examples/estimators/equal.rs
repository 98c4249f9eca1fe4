//! Estimators at equal evaluations of the cost f.
//!
//! Prints a table for each problem:
//! - `f/step`: evaluations of f for a gradient, relaxed ones included.
//! - `bias`: of the mean gradient, in standard errors, at the worst logit, if the exact gradient is known by
//!   enumeration. A star marks estimators that are biased by construction.
//! - `variance`: of the gradient by a logit, averaged over rows and logits, over fresh draws, at weights that are the
//!   same for all: those that RLOO with four draws reaches when its evaluations are spent. The others have looked on,
//!   with their surrogates and baselines learning from the same steps.
//! - `x f/step`: that variance times the evaluations, which averaging over draws does not change.
//! - `own variance`: the same at the weights that the estimator itself has reached.
//! - ELBO, or the negative exact expected cost: what the estimator's own training reached with an equal number of
//!   evaluations, so with fewer steps if a step costs more.
//! - `ms/step`: median time of its steps.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use relax_runtime::Key;

use crate::coins::Coins;
use crate::digits::Digits;
use crate::lineup::{Entrant, lineup, named, reference};
use crate::measure::{Effort, share, train};
use crate::plot::save_charts;
use crate::program::Outcome;
use crate::table::{Findings, Line};
use crate::task::Task;
use crate::vae::{BERNOULLI, CATEGORICAL, Vae};

/// Steps that an estimator must be able to take to be compared.
const FEWEST_STEPS: usize = 50;

/// Settings of the comparison at equal evaluations.
#[derive(Args)]
#[group(id = "equal_settings")]
pub(crate) struct Options {
    /// Problems [default: all].
    #[arg(long, value_delimiter = ',')]
    problem: Vec<Problem>,
    /// Estimators, by their names in the table [default: all that are valid for the problem].
    #[arg(long, value_delimiter = ',')]
    estimators: Vec<String>,
    /// Evaluations of f per row that each estimator trains with [default: 20,000 on coins and 2,000
    /// on digits].
    #[arg(long)]
    evaluations: Option<usize>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with gray or binary idx .gz files [default: the digits that come with the program].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder for the plot.
    #[arg(long, default_value = "target/estimators")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Problem {
    /// One coin, the cost of the RELAX paper's toy problem at t = 0.499.
    Toy,
    /// Ten coins, costs of each and of each pair.
    Pairs,
    /// An autoencoder with 20 latents of 10 categories.
    Categorical,
    /// An autoencoder with 200 Bernoulli latents.
    Bernoulli,
}

/// Measures, prints the tables and draws the charts.
///
/// # Errors
/// Settings that make no sense, files that cannot be read or written, or whatever goes wrong in an
/// estimator.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    if options
        .evaluations
        .is_some_and(|evaluations| evaluations < FEWEST_STEPS)
    {
        return Err(format!("--evaluations must be at least {FEWEST_STEPS}").into());
    }
    let entrants = match &options.estimators[..] {
        [] => lineup()?,
        some => named(some)?,
    };
    let problems = match &options.problem[..] {
        [] => Problem::value_variants(),
        some => some,
    };
    let digits = Digits::open(options.data.as_deref())?;
    let mut charts = Vec::new();
    for problem in problems {
        let make = || -> relax_runtime::Result<Box<dyn Task>> {
            Ok(match problem {
                Problem::Toy => Box::new(Coins::toy()?),
                Problem::Pairs => Box::new(Coins::pairs()?),
                Problem::Categorical => Box::new(Vae::new(&CATEGORICAL, &digits, options.seed)?),
                Problem::Bernoulli => Box::new(Vae::new(&BERNOULLI, &digits, options.seed)?),
            })
        };
        let findings = compare(&make, &entrants, options)?;
        println!("{findings}");
        charts.extend(findings.charts());
    }
    let path = options.out.join("estimators.svg");
    save_charts(&path, &charts)?;
    println!("plot: {}", path.display());
    Ok(())
}

/// Measures everything on one problem.
fn compare(
    make: &dyn Fn() -> relax_runtime::Result<Box<dyn Task>>,
    entrants: &[Entrant],
    options: &Options,
) -> Outcome<Findings> {
    let task = make()?;
    let effort = Effort {
        evaluations: options.evaluations.unwrap_or(task.evaluations()),
        points: 5,
        draws: 20,
        seed: options.seed,
    };
    let entrants = suitable(&*task, entrants, effort)?;
    let shared = share(&*task, &reference()?, &entrants, effort)?;
    let mut lines = Vec::new();
    for (entrant, shared) in entrants.into_iter().zip(shared) {
        let own = train(&*make()?, &entrant, effort)?;
        lines.push(Line {
            entrant,
            shared,
            own,
        });
    }
    Ok(Findings {
        title: task.title(),
        value_name: task.value_name(),
        lines,
    })
}

/// The estimators that are valid for a task, and can take some steps with the evaluations there are.
fn suitable(task: &dyn Task, entrants: &[Entrant], effort: Effort) -> Outcome<Vec<Entrant>> {
    let x = task.batch(Key::new(0), 1)?;
    let mut suitable = Vec::new();
    task.with_objective(&x, None, &mut |objective| {
        for entrant in entrants {
            let cost = entrant.evaluations(objective)?;
            if cost.is_some_and(|cost| cost * FEWEST_STEPS <= effort.evaluations) {
                suitable.push(entrant.clone());
            }
        }
        Ok(())
    })?;
    Ok(suitable)
}

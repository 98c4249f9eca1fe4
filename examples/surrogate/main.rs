//! What surrogates learn, beside the best possible ones.
//!
//! The variance of a RELAX estimate is a functional of its surrogate c, so the best c follows by calculus of
//! variations, and a network that is trained long enough at fixed parameters should reach it. For one coin it is a
//! constant, not a relaxation of the cost, and the variance is zero. For two coins the best surrogate of both has
//! kinks, and cannot bring the variance down to the floor, which a surrogate for each coin reaches. For LAX on x² it is
//! x² + 2σ², the solution of Stein's equation. All variances are exact expectations, by sums and quadrature;
//! docs/surrogate.md derives the optima.
//!
//! Source: Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void" (ICLR 2018), figures 1 and 2,
//! whose toy cost is (b − t)²; Duvenaud's talk of the same name asks for the calculus of variations.
//!
//! ```text
//! cargo run --release --example surrogate
//! ```

mod coins;
mod elements;
mod learn;
mod pair;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw other pictures")]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod record;
mod single;
mod stein;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use relax_runtime::prelude::*;

use learn::Recipe;
use plot::{Chart, HEIGHT, Scale, Series, WIDTH, save};
use program::Outcome;
use progress::Progress;
use record::{Panel, Record};

/// Trains surrogates at fixed parameters, and compares them with the best ones.
#[derive(Parser)]
struct Options {
    /// Steps of learning: surrogates are measured after a hundredth, a tenth, and all of them.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for plots and CSV files.
    #[arg(long, default_value = "target/surrogate")]
    out: PathBuf,
}

/// As in the authors' program for their toy problem, and what brings the variance down further: a rate
/// that falls, several draws a step.
const COIN: [Recipe; 2] = [
    Recipe {
        name: "10 ReLU, Adam .01, 1 draw",
        activation: Activation::Relu,
        hidden: 10,
        rates: [0.01, 0.01],
        batch: 1,
    },
    Recipe {
        name: "10 tanh, .03 to 1e-6, 32 draws",
        activation: Activation::Tanh,
        hidden: 10,
        rates: [0.03, 1e-6],
        batch: 32,
    },
];
/// For numbers without bounds a wider network.
const NORMAL: Recipe = Recipe {
    name: "32 tanh, .03 to 1e-5, 64 draws",
    activation: Activation::Tanh,
    hidden: 32,
    rates: [0.03, 1e-5],
    batch: 64,
};

/// After how many steps surrogates are looked at.
fn stages(steps: u64) -> [u64; 3] {
    [steps / 100, steps / 10, steps]
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let settings = (options.steps, options.seed);
    if options.steps < 100 {
        return Err("--steps must be at least 100".into());
    }
    println!(
        "exact variances of gradient estimates, and as a multiple of REINFORCE's, with surrogates \
         learned at fixed parameters"
    );
    let mut record = Record::default();
    let mut progress = Progress::new("problems", 0, 9)?;
    let mut coins = Vec::new();
    for theta in [-2.0, 0.0, 1.0] {
        for target in [0.499, 0.45] {
            progress.at(coins.len() as u64, || format!("t = {target}"));
            coins.push(single::run(target, theta, &COIN, settings, &mut record)?);
        }
    }
    progress.at(6, || "two coins".into());
    let pair = pair::run(&COIN[1], settings, &mut record)?;
    progress.at(7, || "LAX".into());
    let normal = [
        stein::run(0.0, &NORMAL, settings, &mut record)?,
        stein::run(1.0, &NORMAL, settings, &mut record)?,
    ];
    drop(progress);

    println!();
    let pictures: [(&str, &[Panel]); 3] = [
        ("coin.svg", &coins),
        ("pair.svg", &pair),
        ("lax.svg", &normal),
    ];
    for (name, panels) in pictures {
        draw(&options.out.join(name), panels)?;
        println!("plot: {}", options.out.join(name).display());
    }
    let panels: Vec<&Panel> = pictures.iter().flat_map(|(_, panels)| *panels).collect();
    record.save(&options.out, &panels)
}

/// Draws panels in two columns.
fn draw(path: &Path, panels: &[Panel]) -> Outcome<()> {
    let rows = panels.len().div_ceil(2);
    let charts = panels.iter().map(|panel| Chart {
        title: panel.problem.clone(),
        x_label: panel.x_label.into(),
        y_label: "c".into(),
        y_scale: Scale::Linear,
        series: panel
            .curves
            .iter()
            .map(|curve| Series {
                name: curve.name.clone(),
                points: curve.points.clone(),
            })
            .collect(),
    });
    let charts: Vec<Chart> = charts.collect();
    save(path, (2 * WIDTH, rows as u32 * HEIGHT), |area| {
        let parts = area.split_evenly((rows, 2));
        let mut pairs = charts.iter().zip(&parts);
        pairs.try_for_each(|(chart, part)| chart.draw(part))
    })?;
    Ok(())
}

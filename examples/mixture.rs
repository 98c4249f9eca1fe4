//! A Gaussian mixture: one categorical latent per datum, in a plate, and learned means and weights.
//!
//! The component of a datum is a one-hot tensor, and is drawn: the plan gives the site RELAX with a network as
//! surrogate. The automatic guide keeps the probabilities of every datum's component. Given the means these are
//! independent in the true posterior, so the ELBO can reach the exact log-likelihood, which is computed by summing the
//! components out.
//!
//! The data are drawn from known means and weights.
//!
//! ```text
//! cargo run --release --example mixture
//! ```

#[path = "support/program.rs"]
mod program;

use std::process::ExitCode;

use clap::Parser;
use relax_runtime::prelude::*;

use program::Outcome;

const COMPONENTS: usize = 3;
/// The truth behind the data.
const MEANS: [f64; COMPONENTS] = [-3.0, 0.0, 2.5];
const WEIGHTS: [f64; COMPONENTS] = [0.3, 0.5, 0.2];
/// Standard deviation of every component, known to the model.
const SCALE: f64 = 0.7;

/// The process that the data come from: one datum after another, in host numbers.
#[model]
fn world(data: usize) -> Vec<f32> {
    let mut x = Vec::new();
    for _ in 0..data {
        let component = sample!(Categorical(WEIGHTS));
        let datum = sample!(Normal(MEANS[component], SCALE));
        x.push(datum as f32);
    }
    x
}

/// The model: the same, with means and weights to be learned and all data at once.
#[model]
fn mixture(x: &Tensor) {
    let means = param!([-1.0, 0.0, 1.0]);
    let weights = param!([0.0; COMPONENTS]);
    plate!(x.rows() => {
        let component = sample!(OneHotCategorical(logits = weights.reshape([1, COMPONENTS])));
        observe!(Normal(component.matmul(&means), SCALE), x);
    })
}

/// Fits a Gaussian mixture to data from known components.
#[derive(Parser)]
struct Options {
    /// Number of data.
    #[arg(long, default_value_t = 300)]
    data: usize,
    /// Optimization steps.
    #[arg(long, default_value_t = 2_000)]
    steps: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let x = Simulation::seeded(options.seed)
        .run(&world(options.data))?
        .output;
    // Without `draw_all`, the components are summed out row by row.
    let fit = Svi::new(&mixture(&Tensor::from_slice(&x)))
        .draw_all()
        .optimizer(Adam::new(0.05))
        .steps(options.steps)
        .seed(options.seed)
        .run()?;

    let means: Vec<f64> = fit.param("means")?.into_iter().map(f64::from).collect();
    let weights = softmax(&fit.param("weights")?);
    println!("component    mean  (truth)  weight  (truth)");
    for k in 0..COMPONENTS {
        println!(
            "{k:>9}{:>8.2}{:>9.2}{:>8.2}{:>9.2}",
            means[k], MEANS[k], weights[k], WEIGHTS[k]
        );
    }
    println!(
        "\nELBO {:.1}, exact log-likelihood {:.1} at the learned parameters, {:.1} at the truth",
        fit.posterior().log_evidence().elbo,
        log_likelihood(&x, &means, &weights),
        log_likelihood(&x, &MEANS, &WEIGHTS),
    );
    println!("\n{}", fit.plan());
    Ok(())
}

/// ln p(x) with the components summed out.
fn log_likelihood(x: &[f32], means: &[f64], weights: &[f64]) -> f64 {
    let density = |x: f64, mean: f64| {
        (-0.5 * ((x - mean) / SCALE).powi(2)).exp() / (SCALE * std::f64::consts::TAU.sqrt())
    };
    let likelihood = |&x: &f32| {
        let components = means.iter().zip(weights);
        components
            .map(|(&mean, weight)| weight * density(f64::from(x), mean))
            .sum::<f64>()
    };
    x.iter().map(|x| likelihood(x).ln()).sum()
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exponentials: Vec<f64> = logits.iter().map(|&x| f64::from(x).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|x| x / sum).collect()
}

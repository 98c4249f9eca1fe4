//! Did it rain, given that the lawn is wet? A model in plain Rust control flow: its posterior by RELAX variational
//! inference, beside the exact one.
//!
//! Rain and sprinkler explain each other away: given wet grass, one makes the other less likely. A mean-field guide
//! cannot express that, so it settles on one explanation (which one depends on the seed), and its ELBO stays below the
//! log-evidence. The automatic guide finds out that the sprinkler depends on the rain, and a guide written as a
//! `#[model]` states it. The ELBOs of both reach the log-evidence, which is possible only if guide and exact posterior
//! are the same.
//!
//! The model's choices are host values that drive an `if` and a `match`, so the cost cannot be evaluated at relaxed
//! draws: the plan gives every site RELAX with a free-form surrogate.
//!
//! `check` generates a test that the gradients of model and guide are unbiased.
//!
//! ```text
//! cargo run --release --example sprinkler
//! cargo test --example sprinkler
//! ```

#[path = "support/program.rs"]
mod program;

use std::process::ExitCode;

use clap::Parser;
use relax_runtime::infer::{Draws, MeanFieldGuide, exact_gradient};
use relax_runtime::prelude::*;

use program::Outcome;

#[model(check(true, guide = by_hand()))]
fn sprinkler(wet: bool) {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        (false, false) => 0.001,
    };
    observe!(Bernoulli(p), wet);
}

/// A guide with the model's sites, in which the sprinkler depends on the rain.
#[model]
fn by_hand() {
    let rain_logit = param!(0.0);
    let if_rain = param!(0.0);
    let if_dry = param!(0.0);
    let rain = sample!(Bernoulli(logits = rain_logit));
    let logit = if rain.to_bool()? { if_rain } else { if_dry };
    let _sprinkler = sample!(Bernoulli(logits = logit));
}

/// Infers whether it rained, with three guides.
#[derive(Parser)]
struct Options {
    /// Optimization steps of each guide.
    #[arg(long, default_value_t = 4_000)]
    steps: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let (model, guide) = (sprinkler(true), by_hand());
    let exact = exact_posterior(&model)?;
    let train = |svi: Svi<'_>| {
        svi.steps(options.steps)
            .seed(options.seed)
            .optimizer(Adam::new(0.05))
            .posterior_draws(20_000)
            .run()
    };
    let mean_field = train(Svi::new(&model).guide(&MeanFieldGuide))?;
    // Without `draw_all`, such a small model's choices are summed out.
    let automatic = train(Svi::new(&model).draw_all())?;
    let by_hand = train(Svi::new(&model).guide(&guide))?;

    println!("given that the grass is wet:\n");
    println!(
        "{:22}{:>8}{:>12}{:>12}{:>12}",
        "", "exact", "mean-field", "automatic", "by hand"
    );
    let row = |name: &str, numbers: [f64; 4]| {
        let [exact, mean_field, automatic, by_hand] = numbers;
        println!("{name:22}{exact:>8.3}{mean_field:>12.3}{automatic:>12.3}{by_hand:>12.3}");
    };
    for site in ["rain", "sprinkler"] {
        row(
            &format!("P({site})"),
            [
                exact.mean(site)?,
                mean_field.posterior().mean(site)?,
                automatic.posterior().mean(site)?,
                by_hand.posterior().mean(site)?,
            ],
        );
    }
    row(
        "P(rain and sprinkler)",
        [
            both(&exact)?,
            both(mean_field.posterior())?,
            both(automatic.posterior())?,
            both(by_hand.posterior())?,
        ],
    );
    row(
        "log-evidence, ELBO",
        [
            exact.log_evidence,
            -exact_gradient(
                &Elbo::new(&model).guide(&MeanFieldGuide),
                mean_field.params(),
            )?
            .0,
            -exact_gradient(&Elbo::new(&model), automatic.params())?.0,
            -exact_gradient(&Elbo::new(&model).guide(&guide), by_hand.params())?.0,
        ],
    );
    println!("\nplan of the automatic guide:\n{}", automatic.plan());
    Ok(())
}

/// P(rain and sprinkler | wet), by whole draws.
fn both(draws: &Draws) -> Result<f64> {
    draws.probability(|draw| {
        let on = |site| draw.number(site).is_ok_and(|value| value == 1.0);
        on("rain") && on("sprinkler")
    })
}

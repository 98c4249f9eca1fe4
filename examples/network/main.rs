//! A Bayesian network from a file, with some variables known: the probabilities of the others, at default settings.
//!
//! The model is a textbook loop: each variable is drawn from the row of its table that its parents' values select. The
//! default settings sum choices out where that is cheap. Choices that are not summed out are drawn from the automatic
//! guide, which finds what depends on what once there is evidence.
//!
//! ```text
//! cargo run --release --example network
//! cargo run --release --example network -- FILE.bif --given xray=yes,dysp=yes
//! ```

mod bif;
mod model;
#[path = "../support/program.rs"]
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use bif::Network;
use clap::Parser;
use model::network;
use program::Outcome;
use relax_runtime::prelude::*;

/// "Asia" (Lauritzen and Spiegelhalter 1988): visits, smoke and the diseases behind a cough.
const ASIA: &str = include_str!("asia.bif");

/// Computes the probabilities of a Bayesian network's variables, given some of them.
#[derive(Parser)]
struct Options {
    /// A network in BIF format [default: the small network "Asia"].
    file: Option<PathBuf>,
    /// What is known, as `variable=value` [default: `xray=yes,dysp=yes` for "Asia", nothing for others].
    #[arg(long, value_delimiter = ',')]
    given: Vec<String>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let net = match &options.file {
        Some(path) => Network::read(path)?,
        None => Network::parse(ASIA)?,
    };
    let mut facts = options.given.clone();
    if facts.is_empty() && options.file.is_none() {
        facts = ["xray=yes", "dysp=yes"].map(String::from).into();
    }
    let mut given = vec![None; net.variables.len()];
    for fact in &facts {
        let (name, value) = fact
            .split_once('=')
            .ok_or(format!("`{fact}` is not `variable=value`"))?;
        let place = net
            .place(name)
            .ok_or(format!("the network has no variable `{name}`"))?;
        let values = &net.variables[place].values;
        let at = values.iter().position(|known| known == value);
        let unknown = || {
            format!(
                "`{name}` cannot be `{value}`; expected one of {}",
                values.join(", ")
            )
        };
        given[place] = Some(at.ok_or_else(unknown)?);
    }
    let model = network(&net, &given);
    let fit = Svi::new(&model)
        .seed(options.seed)
        .posterior_draws(4_000)
        .run()?;
    println!(
        "given {}:\n",
        if facts.is_empty() {
            "nothing".into()
        } else {
            facts.join(", ")
        }
    );
    for (variable, given) in net.variables.iter().zip(&given) {
        if given.is_some() {
            continue;
        }
        let means = fit.posterior().means(&variable.name)?;
        let pairs = variable.values.iter().zip(means);
        let all: Vec<String> = pairs.map(|(value, p)| format!("{value} {p:.3}")).collect();
        println!("{:14}{}", variable.name, all.join("  "));
    }
    let evidence = fit.posterior().log_evidence();
    println!(
        "\nELBO {:.3}, bound of all draws {:.3}; {}",
        evidence.elbo,
        evidence.bound,
        fit.ending()
    );
    Ok(())
}

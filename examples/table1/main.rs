//! Table 1 of "Backpropagation through the Void" (Grathwohl, Choi, Wu, Roeder, Duvenaud, ICLR 2018): the
//! highest training ELBO of discrete autoencoders on MNIST and Omniglot, by gradient estimator.
//!
//! ```text
//! cargo run --release --example table1
//! cargo run --release --example table1 -- --data DIR --rows mnist-l1,omniglot-l2 \
//!     --estimators rebar,relax --steps 2000000 --out FOLDER --resume
//! cargo run --release --example table1 -- --data DIR --published \
//!     --estimators rebar-published,relax-published-coupled,relax-published-independent
//! ```
//!
//! Without `--data` the digits that come with the programs stand for MNIST. With it, `DIR` holds the folders
//! `mnist_fixed_binarized` and `omniglot_fixed_binarized` of idx `.gz` files.
//!
//! `--published` takes optimiser, surrogates' surroundings and pre-training of the public code: Adam at a
//! constant rate with β₂ = 0.99999, surrogates that see the image, 1,000 steps of the surrogate before the
//! model's first. Without it they are ours: a rate that falls, weights that decay and are averaged over the last steps,
//! surrogates that see the logits alone, no pre-training. `published.rs` has REBAR and RELAX as published; `docs/table1.md` has results.
//!
//! Each run has a folder in `--out`; the table at the end is of all runs there, whenever they were made.

#[path = "../support/autoencoder.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod autoencoder;
#[path = "../support/compute.rs"]
mod compute;
#[path = "../support/data.rs"]
#[allow(dead_code, reason = "shared with programs that need grey images, too")]
mod data;
mod entrants;
#[path = "../support/files.rs"]
mod files;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod published;
mod record;
mod report;
mod rows;
mod run;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::ArgPredicate;

use compute::Compute;
use data::Dataset;
use entrants::{Entrant, PUBLISHED_BETA2, USUAL_BETA2};
use program::Outcome;
use record::{Record, Settings};
use rows::Row;
use run::Goal;

/// The system's allocator gives large blocks back to the kernel after every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains the autoencoders of table 1 of "Backpropagation through the Void".
#[derive(Parser)]
struct Options {
    /// Folder with mnist_fixed_binarized and omniglot_fixed_binarized; without it, the digits that come
    /// with the program stand for MNIST.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Rows of the table.
    #[arg(long, value_delimiter = ',', default_value = "mnist-l1")]
    rows: Vec<Row>,
    /// concrete (biased), nvil, muprop, rebar, relax, rodeo, disarm, rloo, rebar-published,
    /// relax-published-coupled, relax-published-independent; without any, the first five, and as published the last
    /// three.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "concrete,nvil,muprop,rebar,relax",
        default_value_if(
            "published",
            ArgPredicate::Equals("true".into()),
            "rebar-published,relax-published-coupled,relax-published-independent"
        )
    )]
    estimators: Vec<String>,
    /// Optimisation steps of each run.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Ends a run as soon as its validation ELBO is so high, in nats an image.
    #[arg(long, allow_negative_numbers = true)]
    until: Option<f64>,
    /// Images a step.
    #[arg(long, default_value_t = 24)]
    batch: usize,
    /// Adam's first rate; without it 0.004, where layers are not linear 0.001, with --iterates 0.002, as published
    /// 0.0001.
    #[arg(long)]
    learning_rate: Option<f32>,
    /// Adam's β₂; without it 0.99999, with --iterates 0.999.
    #[arg(long, conflicts_with = "published", allow_negative_numbers = true)]
    beta2: Option<f32>,
    /// What each step takes off all weights, as a fraction of the rate; without it 0.01, for MNIST with two
    /// layers 0.003, with --iterates and as published 0.
    #[arg(long, conflicts_with = "published", allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// Optimiser, surrogates' surroundings and pre-training as published.
    #[arg(long)]
    published: bool,
    /// Evaluates models at their last weights, not at averages of the last ones; as published, too.
    #[arg(long)]
    iterates: bool,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for runs, table and charts.
    #[arg(long, default_value = "target/table1")]
    out: PathBuf,
    /// Goes on with runs that are in the folder.
    #[arg(long)]
    resume: bool,
    /// Trains nothing, and makes the table and the charts of the runs in the folder.
    #[arg(long)]
    table: bool,
    /// Steps after which the next end of an epoch is saved.
    #[arg(long, default_value_t = 10_000)]
    checkpoint_every: u64,
    /// Importance-weighted draws an image for the bounds at the end.
    #[arg(long, default_value_t = 100)]
    draws: usize,
    #[command(flatten)]
    compute: Compute,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    if !options.table {
        options.train_all()?;
    }
    println!("{}", report::report(&options.out)?);
    println!("table, charts: {}", options.out.display());
    Ok(())
}

impl Options {
    /// Adam's first rate in a row, its β₂, and the decay of the weights.
    fn rates(&self, row: Row) -> [f32; 3] {
        let [rate, beta2, weight_decay] = match (self.published, self.iterates) {
            (true, _) => [1e-4, PUBLISHED_BETA2, 0.0],
            (false, true) => [2e-3, USUAL_BETA2, 0.0],
            (false, false) => [row.rate(), PUBLISHED_BETA2, row.weight_decay()],
        };
        [
            self.learning_rate.unwrap_or(rate),
            self.beta2.unwrap_or(beta2),
            self.weight_decay.unwrap_or(weight_decay),
        ]
    }

    /// All runs that are asked for.
    fn train_all(&self) -> Outcome<()> {
        let counts = [
            ("--steps", self.steps),
            ("--batch", self.batch as u64),
            ("--checkpoint-every", self.checkpoint_every),
            ("--draws", self.draws as u64),
        ];
        if let Some((option, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{option} is 0; give at least 1").into());
        }
        let of_row = |&row: &Row| -> Outcome<(Row, Vec<Entrant>)> {
            let [rate, ..] = self.rates(row);
            if !(rate.is_finite() && rate > 0.0) {
                return Err(format!("--learning-rate is {rate}; give a positive number").into());
            }
            let named = self.estimators.iter();
            let entrants = named.map(|name| Entrant::named(name, rate));
            Ok((row, entrants.collect::<Outcome<_>>()?))
        };
        let rows = self.rows.iter().map(of_row);
        let rows: Vec<_> = rows.collect::<Outcome<_>>()?;
        let goal = Goal {
            steps: self.steps,
            until: self.until,
            checkpoint_every: self.checkpoint_every,
            draws: self.draws,
            device: self.compute.device()?,
        };
        for (row, entrants) in rows {
            let dataset = row.load(self.data.as_deref())?;
            if self.batch > dataset.train.count() {
                return Err(format!(
                    "--batch is {}, but there are only {} images to train on",
                    self.batch,
                    dataset.train.count()
                )
                .into());
            }
            println!("{}: {dataset}", row.name());
            for entrant in &entrants {
                self.train(row, entrant, &dataset, &goal)?;
            }
        }
        Ok(())
    }

    /// One run, or the rest of it.
    fn train(&self, row: Row, entrant: &Entrant, dataset: &Dataset, goal: &Goal) -> Outcome<()> {
        let [rate, beta2, weight_decay] = self.rates(row);
        let settings = Settings {
            row,
            estimator: entrant.name.into(),
            biased: entrant.estimator.biased(),
            published: self.published,
            seed: self.seed,
            rate,
            beta2: Some(beta2),
            weight_decay,
            averaged: !(self.published || self.iterates),
            batch: self.batch,
            data: dataset.to_string(),
        };
        settings.optimizer(settings.rate)?;
        let folder = self.out.join(settings.folder());
        fs::create_dir_all(&folder)
            .map_err(|error| format!("--out {}: {error}", folder.display()))?;
        let mut record = match Record::read(&folder)? {
            Some(record) if record.settings != settings => {
                return Err(format!(
                    "{} has a run with other settings; name another folder with --out, or remove it.\n\
                     there: {:?}\nhere:  {settings:?}",
                    folder.display(),
                    record.settings
                )
                .into());
            }
            Some(record) if !self.resume => {
                return Err(format!(
                    "{} has a run of {} steps; go on with --resume, name another folder with --out, or \
                     remove it",
                    folder.display(),
                    record.steps
                )
                .into());
            }
            Some(record) => record,
            None => Record::new(settings),
        };
        run::train(&mut record, &folder, entrant, dataset, goal)?;
        if let (Some(best), Some(bounds)) = (record.best(), &record.bounds) {
            println!(
                "{} {}: {} steps, best validation ELBO {:.2} with train ELBO {:.2}, {}-sample bound {:.2}",
                row.name(),
                entrant.name,
                record.steps,
                best.validation,
                best.train,
                bounds.draws,
                bounds.validation
            );
        }
        Ok(())
    }
}

//! The toy problem of the RELAX paper: minimise E[(b − t)²] over the logit θ of a single coin b.
//!
//! At t = 0.499 both sides of the coin cost nearly the same, so the gradient is tiny and its estimate is nearly all
//! noise. REINFORCE, REBAR and RELAX are one formula with three surrogates: none, the relaxed cost, and a free-form
//! network. First they train side by side from θ = 0, on the same random numbers. A second table compares their
//! variances at RELAX's θ with those of REINFORCE with the expected cost as its baseline, and of estimators from two
//! draws, each with two evaluations of the cost. One coin is special: with the best constant baseline, (1 − p) f(1) + p
//! f(0), REINFORCE gives the same number for both sides, and has no variance at all.
//!
//! Source: Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void" (ICLR 2018), section 5.1 and
//! figure 1. Nothing is tuned: as in the authors' program, θ and surrogate follow Adam at rate 0.01 with one draw per
//! step, and the network has one hidden layer of 10 units.
//!
//! The estimators are called as plain functions here, with every random number given; the end of the program has the
//! same problem as a `#[model]`, where the library does the rest.
//!
//! ```text
//! cargo run --release --example toy
//! cargo run --release --example toy -- --t 0.45
//! ```

mod learner;
#[path = "../support/plot.rs"]
#[allow(dead_code, reason = "shared with programs that draw pictures, too")]
mod plot;
#[path = "../support/program.rs"]
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Zero};

use learner::{Coin, LEARNING_RATE, Learner, Measurement};
use plot::{Chart, Scale, Series, save_charts};
use program::Outcome;

/// Minimizes the expected cost of a coin with three gradient estimators, side by side.
#[derive(Parser)]
struct Options {
    /// The target t of the cost (b - t)^2.
    #[arg(long, default_value_t = 0.499)]
    t: f32,
    /// Optimization steps.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the plot.
    #[arg(long, default_value = "target/toy")]
    out: PathBuf,
}

/// Rows of a table on the way.
const PRINTED: u64 = 10;

/// The measurements of all learners at one step.
type Row = (u64, Vec<Measurement>);

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let (t, seed) = (options.t, options.seed);
    if options.steps == 0 || !t.is_finite() {
        return Err("--steps must be at least 1, and --t a finite number".into());
    }
    let device = Device::cpu();
    let mut weights = Key::new(seed).stream("network");
    let network = FreeForm::new(1, 0, &[10], Activation::Relu, &mut weights, &device)?;
    let rebar = || Learner::new("REBAR", t, RelaxedCost::new(1.0, 0.5, &device));
    let mut learners = [
        Learner::new("REINFORCE", t, Zero)?,
        rebar()?,
        Learner::new("RELAX", t, network)?,
    ];
    let mut matched = Matched {
        coin: Coin { target: t },
        rebar: rebar()?,
        rows: Vec::new(),
    };

    println!("E[(b - t)^2] at t = {t}: theta, exact loss, and log-variance of the gradient\n");
    let rows = train(&mut learners, &mut matched, options)?;
    matched.print(options.steps);

    // The same as a program: the plan chooses the estimator, and past costs serve as a baseline.
    let trained = Minimize::new(&coin(t))
        .optimizer(Adam::new(LEARNING_RATE))
        .steps(options.steps)
        .seed(seed)
        .run()?;
    println!(
        "\nThe same as a #[model]: theta {:.2}",
        trained.param("theta")?[0]
    );
    println!("{}", trained.plan());

    let path = options.out.join("toy.svg");
    save_charts(&path, &charts(&learners, &rows))?;
    println!("\nplot: {}", path.display());
    Ok(())
}

#[model]
fn coin(t: f32) {
    let theta = param!(0.0);
    let b = sample!(Bernoulli(logits = theta));
    cost!((b - t).square());
}

/// Trains all learners on the same random numbers; prints and returns where they stood on the way.
/// The last one is looked on by others.
fn train(learners: &mut [Learner; 3], on: &mut Matched, options: &Options) -> Outcome<Vec<Row>> {
    const MEASURED: u64 = 100;
    let every = |parts: u64| options.steps.div_ceil(parts);
    print_header(learners);
    let mut rows = Vec::new();
    for step in 0..=options.steps {
        let last = step == options.steps;
        if step % every(MEASURED) == 0 || last {
            let row = learners.iter().map(Learner::measure);
            rows.push((step, row.collect::<Result<_>>()?));
            on.measure(step, &learners[2])?;
        }
        if let Some(row) = rows.last()
            && (step % every(PRINTED) == 0 || last)
        {
            print_row(row);
        }
        let key = Key {
            step,
            ..Key::new(options.seed)
        };
        on.rebar.look_on(&learners[2].theta(), key)?;
        for learner in learners.iter_mut() {
            learner.step(key)?;
        }
    }
    Ok(rows)
}

/// The logarithm, or a word where rounding is all that there is.
fn log(variance: f64) -> String {
    const ROUNDING: f64 = 1e-15;
    match variance < ROUNDING {
        true => format!("{:>10}", "none"),
        false => format!("{:>10.1}", variance.ln()),
    }
}

fn print_header(learners: &[Learner]) {
    let names = learners
        .iter()
        .map(|learner| format!("{:>20}{:8}", learner.name, ""));
    let columns = learners
        .iter()
        .map(|_| "   theta      loss   log-var".to_owned());
    println!("{:6}{}", "", names.collect::<String>().trim_end());
    println!("{:>6}{}", "step", columns.collect::<String>());
}

fn print_row((step, row): &Row) {
    let cell = |at: &Measurement| {
        format!(
            "{:>8.2}{:>10.5}{:>10.1}",
            at.theta,
            at.loss,
            at.variance.ln()
        )
    };
    println!("{step:>6}{}", row.iter().map(cell).collect::<String>());
}

/// Estimators that have looked on while RELAX trained, and their variances at its θ.
struct Matched {
    coin: Coin,
    rebar: Learner,
    /// By step, in the order of [`NAMES`](Self::NAMES).
    rows: Vec<(u64, [f64; 6])>,
}

impl Matched {
    const NAMES: [&str; 6] = [
        "REINFORCE",
        "less E[f]",
        "REBAR",
        "RLOO, 2",
        "DisARM",
        "RELAX",
    ];

    fn measure(&mut self, step: u64, relax: &Learner) -> Outcome<()> {
        let theta = relax.theta();
        let reinforce = Learner::new("", self.coin.target, Zero)?;
        let variances = [
            reinforce.variance_at(&theta)?,
            self.coin.mean_as_baseline(&theta)?,
            self.rebar.variance_at(&theta)?,
            self.coin.rloo(&theta)?,
            self.coin.disarm(&theta)?,
            relax.variance_at(&theta)?,
        ];
        self.rows.push((step, variances));
        Ok(())
    }

    /// Prints log-variances on the way, and by what factors RELAX's variance lies below the others', at
    /// the median over the second half of training.
    fn print(&self, steps: u64) {
        println!("\nlog-variances at RELAX's theta\n");
        let names = Self::NAMES.iter().map(|name| format!("{name:>10}"));
        println!("{:>6}{}", "step", names.collect::<String>());
        let printed = |step: u64| step.is_multiple_of(steps.div_ceil(PRINTED)) || step == steps;
        for (step, variances) in self.rows.iter().filter(|(step, _)| printed(*step)) {
            let cells = variances.iter().map(|&variance| log(variance));
            println!("{step:>6}{}", cells.collect::<String>());
        }
        println!(
            "\nmedian of variance over RELAX's, second half of training, orders of magnitude:"
        );
        let half = &self.rows[self.rows.len() / 2..];
        let (relax, others) = (Self::NAMES.len() - 1, &Self::NAMES[..Self::NAMES.len() - 1]);
        for (i, name) in others.iter().enumerate() {
            let mut orders: Vec<f64> = half
                .iter()
                .map(|(_, v)| (v[i] / v[relax]).log10())
                .collect();
            orders.sort_by(f64::total_cmp);
            println!("{name:>10} {:>5.1}", orders[orders.len() / 2]);
        }
    }
}

fn charts(learners: &[Learner], rows: &[Row]) -> [Chart; 2] {
    let chart = |title: &str, y_label: &str, y_scale, of: fn(&Measurement) -> f64| Chart {
        title: title.into(),
        x_label: "step".into(),
        y_label: y_label.into(),
        y_scale,
        series: learners
            .iter()
            .enumerate()
            .map(|(i, learner)| Series {
                name: learner.name.into(),
                points: rows
                    .iter()
                    .map(|(step, row)| (*step as f64, of(&row[i])))
                    .collect(),
            })
            .collect(),
    };
    [
        chart("Loss", "E[(b - t)^2]", Scale::Linear, |at| at.loss),
        chart("Variance of the gradient", "by theta", Scale::Log, |at| {
            at.variance
        }),
    ]
}

//! Hard attention: where to look in a cluttered scene.
//!
//! A digit lies somewhere on a ground of 40x40 pixels, among pieces of others. A network sees a coarse view of
//! 10x10 and chooses one of 49 places; there a glimpse of 12x12 pixels is cut out by host code, and a second
//! network says which digit it is. The cost, its cross-entropy, is a black box in the place, but there are only
//! 49: a sum over all of them gives the exact gradient, at 49 evaluations a step, and tells what each
//! estimator's noise costs.
//!
//! Source of the task: Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual Attention" (NIPS 2014),
//! section 4.2, here with one glimpse.
//!
//! ```text
//! cargo run --release --example glimpse
//! cargo run --release --example glimpse -- --data ../shared/data/mnist --steps 20000
//! ```

#[path = "../discrete_vae/data.rs"]
#[allow(
    dead_code,
    reason = "shared with programs that learn from the images alone"
)]
mod data;
mod digits;
mod evaluate;
#[path = "../support/labels.rs"]
#[allow(dead_code, reason = "shared with the program that writes labels")]
mod labels;
mod model;
mod picture;
#[path = "../support/plot.rs"]
mod plot;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/progress.rs"]
mod progress;
mod scenes;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use clap::Parser;
use relax_runtime::estimator::{Enumerate, Estimator, IndeCateR, Rloo, StraightThrough};
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;
use relax_runtime::report::Ledger;

use digits::Digits;
use evaluate::{Accuracy, accuracy};
use model::{Crop, Eyes, look};
use plot::{Chart, Scale, Series, save_charts};
use program::Outcome;
use progress::Progress;
use scenes::Scenes;
use table::{RelaxTable, Sight};

/// Learns where to look by several gradient estimators.
#[derive(Parser)]
struct Options {
    /// Folder with the four files of MNIST; without it, a small set that comes with the program.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Steps of each training.
    #[arg(long, default_value_t = 1500)]
    steps: u64,
    /// Scenes a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Scenes that trained networks are tried with.
    #[arg(long, default_value_t = 1000)]
    test: usize,
    /// Adam's rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// Weight of the entropy of the place.
    #[arg(long, default_value_t = 0.03)]
    entropy: f32,
    /// Entries of the variance along a training; 0 leaves them out.
    #[arg(long, default_value_t = 10)]
    entries: u64,
    /// Estimators to train by, with commas between them; all of them unless given.
    #[arg(long, value_delimiter = ',')]
    estimators: Vec<String>,
    /// Compares the mean gradient of every estimator with the exact one instead, on a few scenes.
    #[arg(long)]
    check: bool,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for tables and pictures.
    #[arg(long, default_value = "target/glimpse")]
    out: PathBuf,
}

const NAMES: [&str; 7] = [
    "exact",
    "exact-place",
    "relax-table",
    "relax",
    "rloo-2",
    "reinforce",
    "straight-through",
];

/// Units of the surrogates' hidden layers.
const HIDDEN: usize = 64;

/// An estimator by its name.
fn estimator(name: &str, sight: &Sight, seed: u64) -> Outcome<Rc<dyn Estimator>> {
    Ok(match name {
        // Sums over all places: of all gradients, and of that by the place alone, where the second network
        // learns from the glimpse that was drawn, as it does by the other estimators.
        "exact" => Rc::new(Enumerate::default()),
        "exact-place" => Rc::new(IndeCateR),
        "relax-table" => Rc::new(RelaxTable::new(HIDDEN, sight, seed)?),
        "relax" => Rc::new(Relax {
            hidden: vec![HIDDEN, HIDDEN],
            ..Relax::free_form()
        }),
        "rloo-2" => Rc::new(Rloo::new(2)?),
        "reinforce" => Rc::new(Reinforce::default()),
        "straight-through" => Rc::new(StraightThrough::default()),
        other => return Err(format!("`{other}` is none of {}", NAMES.join(", ")).into()),
    })
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    if options.steps == 0 || options.batch == 0 || options.test == 0 {
        return Err("--steps, --batch and --test must be at least 1".into());
    }
    let names: Vec<&str> = match &options.estimators[..] {
        [] => NAMES.to_vec(),
        chosen => chosen.iter().map(String::as_str).collect(),
    };
    for name in &names {
        estimator(name, &Sight::default(), options.seed)?;
    }
    let [train, test] = Digits::load(options.data.as_deref())?;
    if options.check {
        return check(&names, &train, options);
    }
    println!(
        "{} digits to learn from, {} to be tried with",
        train.count(),
        test.count()
    );
    let mut stream = Key::new(options.seed).stream("test");
    let test = Scenes::draw(&test, options.test, &mut stream)?;

    println!(
        "\n                   evaluations  error where it looks  error at the likeliest  cross-entropy     s"
    );
    let mut curves = Vec::new();
    let mut picture = None;
    for name in names {
        let (eyes, run) = learn(name, &train, &test, options)?;
        let Accuracy {
            error,
            error_at_mode,
            cost,
        } = run.last;
        println!(
            "{name:18} {:>11} {:>20.1}% {:>21.1}% {cost:>14.3} {:>5.0}{}",
            run.evaluations,
            100.0 * error,
            100.0 * error_at_mode,
            run.seconds,
            if name == "straight-through" {
                "  biased"
            } else {
                ""
            }
        );
        curves.push(run.curve);
        if picture.is_none() || name == "relax-table" {
            picture = Some((name.to_owned(), eyes));
        }
    }
    std::fs::create_dir_all(&options.out)?;
    let mut charts = vec![Chart {
        title: "Error on new scenes, glimpses drawn".into(),
        x_label: "step".into(),
        y_label: "share".into(),
        y_scale: Scale::Linear,
        series: curves,
    }];
    if options.entries > 0 {
        charts.push(variances(&train, options)?);
    }
    let path = options.out.join("glimpse.svg");
    save_charts(&path, &charts)?;
    println!("\nplot: {}", path.display());
    if let Some((name, eyes)) = picture {
        let path = options.out.join("glimpses.svg");
        picture::save(&path, &test, &eyes)?;
        println!("glimpses of {name}: {}", path.display());
    }
    Ok(())
}

/// Compares estimators with the sum over all places.
///
/// # Errors
/// If one is biased that does not say so.
fn check(names: &[&str], digits: &Digits, options: &Options) -> Outcome<()> {
    const SCENES: usize = 3;
    const DRAWS: u64 = 2_000;
    let mut stream = Key::new(options.seed).stream("check");
    let scenes = Scenes::draw(digits, SCENES, &mut stream)?;
    let (eyes, sight) = (Eyes::new(options.seed)?, Sight::default());
    sight.turn_to(&scenes)?;
    for &name in names.iter().filter(|&&name| name != "exact") {
        let crop = match name {
            "straight-through" => Crop::Blend,
            _ => Crop::Pick,
        };
        let model = look(&scenes, &eyes, crop, options.entropy);
        let objective = ExpectedCost::new(&model);
        let table = Check::new(&objective)
            .seed(options.seed)
            .site_estimator("place", estimator(name, &sight, options.seed)?)
            .draws(DRAWS)
            .run()?;
        println!("{table}");
        match (name, table.verdict()) {
            ("straight-through", Ok(())) => return Err("a bias was to be found".into()),
            ("straight-through", Err(_)) => {}
            (_, verdict) => verdict?,
        }
    }
    Ok(())
}

/// What a training has come to.
struct Learned {
    curve: Series,
    last: Accuracy,
    /// Of the cost of a scene, a step.
    evaluations: usize,
    seconds: f64,
}

/// The scenes of a step.
fn scenes(digits: &Digits, step: u64, options: &Options) -> Result<Scenes> {
    let key = Key {
        step,
        ..Key::new(options.seed)
    };
    Scenes::draw(digits, options.batch, &mut key.stream("scenes"))
}

/// Trains new networks.
fn learn(
    name: &str,
    digits: &Digits,
    test: &Scenes,
    options: &Options,
) -> Outcome<(Eyes, Learned)> {
    const POINTS: u64 = 20;
    let (eyes, sight) = (Eyes::new(options.seed)?, Sight::default());
    let mut trainer = Trainer::new(options.seed)
        .optimizer(Adam::new(options.rate))
        .estimator(estimator(name, &sight, options.seed)?);
    let crop = match name {
        "straight-through" => Crop::Blend,
        "exact" | "exact-place" => Crop::Pick,
        _ => Crop::Cut,
    };
    let mut progress = Progress::new("steps", 0, options.steps)?;
    let (start, mut evaluations) = (Instant::now(), 0);
    let mut points = Vec::new();
    let mut last = accuracy(&eyes, test)?;
    for step in 0..options.steps {
        let scenes = scenes(digits, step, options)?;
        if name == "relax-table" {
            sight.turn_to(&scenes)?;
        }
        let report = trainer.step(&ExpectedCost::new(&look(&scenes, &eyes, crop, options.entropy)))?;
        evaluations = report.evaluations;
        if (step + 1) % options.steps.div_ceil(POINTS) == 0 || step + 1 == options.steps {
            last = accuracy(&eyes, test)?;
            points.push((step as f64 + 1.0, last.error));
        }
        progress.at(step, || format!("{name}: error {:.1}%", 100.0 * last.error));
    }
    let learned = Learned {
        curve: Series {
            name: name.into(),
            points,
        },
        last,
        evaluations,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok((eyes, learned))
}

/// Trains once more by the table, with the others looking on, and compares variances at the same weights and
/// scenes.
fn variances(digits: &Digits, options: &Options) -> Outcome<Chart> {
    const FRESH: u64 = 200;
    let mut recording =
        Recording::every(options.steps.div_ceil(options.entries))?.fresh_draws(FRESH);
    let sight = Sight::default();
    for name in ["relax", "rloo-2", "reinforce"] {
        recording = recording.rival(estimator(name, &sight, options.seed)?);
    }
    let eyes = Eyes::new(options.seed)?;
    let mut trainer = Trainer::new(options.seed)
        .optimizer(Adam::new(options.rate))
        .estimator(estimator("relax-table", &sight, options.seed)?)
        .record(Ok(recording));
    for step in 0..options.steps {
        let scenes = scenes(digits, step, options)?;
        sight.turn_to(&scenes)?;
        trainer.step(&ExpectedCost::new(&look(&scenes, &eyes, Crop::Cut, options.entropy)))?;
    }
    let Some(ledger) = trainer.ledger() else {
        return Err("no ledger was kept".into());
    };
    if let Some(failure) = ledger.failures.first() {
        return Err(failure.problem.clone().into());
    }
    std::fs::write(options.out.join("variance.csv"), ledger.to_csv()?)?;
    compare(ledger)
}

/// Prints variance times evaluations, and what share of leave-one-out's it is.
fn compare(ledger: &Ledger) -> Outcome<Chart> {
    const COMPARED: [&str; 4] = ["relax-table", "relax-free-form", "rloo", "reinforce"];
    println!(
        "\nvariance by the logits at equal evaluations of the cost, at the weights of relax-table\n"
    );
    println!(
        "  step{}",
        COMPARED.map(|name| format!("{name:>17}")).concat()
    );
    let mut series = COMPARED.map(|name| Series {
        name: name.into(),
        points: Vec::new(),
    });
    let entries: Vec<_> = ledger.site("place").collect();
    // An estimator that was met in this step alone has learned nothing yet.
    let mut steps: Vec<u64> = entries.iter().map(|entry| entry.step).collect();
    steps.dedup();
    steps.retain(|&step| step > 0);
    let mut sums = [0.0; COMPARED.len()];
    for &step in &steps {
        let mut cells = String::new();
        for (i, name) in COMPARED.into_iter().enumerate() {
            let of = entries
                .iter()
                .find(|entry| entry.step == step && entry.estimator == name);
            let variance = of.and_then(|entry| Some((entry.fresh_variance?, entry.evaluations?)));
            let Some((variance, evaluations)) = variance else {
                return Err(format!("no variance of {name} at step {step}").into());
            };
            let equal = variance * evaluations as f64;
            cells += &format!("{equal:>17.3e}");
            series[i].points.push((step as f64, equal));
            sums[i] += equal;
        }
        println!("{step:>6}{cells}");
    }
    let of_rloo = sums[2];
    println!(
        "\nshare of leave-one-out's, summed over these steps: relax-table {:.3}, relax-free-form {:.3}, reinforce {:.3}",
        sums[0] / of_rloo,
        sums[1] / of_rloo,
        sums[3] / of_rloo
    );
    Ok(Chart {
        title: "Variance at equal evaluations".into(),
        x_label: "step".into(),
        y_label: "by logits".into(),
        y_scale: Scale::Log,
        series: series.into(),
    })
}

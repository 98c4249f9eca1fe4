//! Hard attention: where to look in a cluttered scene.
//!
//! A digit lies somewhere on a ground of 40x40 pixels, among pieces of others. A network sees a coarse view of 10x10
//! and chooses one of 49 places; host code cuts out a glimpse of 12x12 pixels there, and a second network says which
//! digit it is. The cost, its cross-entropy, is a black box in the place, but there are only 49 places: a sum over all
//! of them gives the exact gradient, at 49 evaluations per step, and shows what each estimator's noise costs.
//!
//! Source of the task: Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual Attention" (NIPS 2014), section
//! 4.2, here with one glimpse.
//!
//! ```text
//! cargo run --release --example glimpse
//! cargo run --release --example glimpse -- --data DATA/mnist --steps 20000
//! ```

#[path = "../support/data.rs"]
#[allow(
    dead_code,
    reason = "shared with programs that learn from the images alone"
)]
mod data;
mod digits;
mod evaluate;
#[path = "../support/fitted.rs"]
mod fitted;
#[path = "../support/labels.rs"]
#[allow(dead_code, reason = "shared with the program that writes labels")]
mod labels;
mod lineup;
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
mod training;
mod variance;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use relax_runtime::prelude::*;

use digits::Digits;
use evaluate::Accuracy;
use lineup::{NAMES, crop, estimator};
use model::{Crop, Eyes, look};
use plot::{Chart, Scale, save_charts};
use program::Outcome;
use scenes::Scenes;
use table::Sight;
use training::{Training, learn};
use variance::variances;

/// Learns where to look, with several gradient estimators.
#[derive(Parser)]
struct Options {
    /// Folder with the four files of MNIST [default: a small set that comes with the program].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Steps of each training.
    #[arg(long, default_value_t = 1500)]
    steps: u64,
    /// Scenes per step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Scenes on which trained networks are tested.
    #[arg(long, default_value_t = 1000)]
    test: usize,
    /// Adam's rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// Weight of the entropy of the place.
    #[arg(long, default_value_t = 0.03)]
    entropy: f32,
    /// Number of times the variance is measured along a training; 0 for none.
    #[arg(long, default_value_t = 10)]
    entries: u64,
    /// Estimators to train with, separated by commas [default: all].
    #[arg(long, value_delimiter = ',')]
    estimators: Vec<String>,
    /// Instead of training, compare the mean gradient of every estimator with the exact one, on a few scenes.
    #[arg(long)]
    check: bool,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for tables and pictures.
    #[arg(long, default_value = "target/glimpse")]
    out: PathBuf,
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
        "{} training digits, {} test digits",
        train.count(),
        test.count()
    );
    let mut stream = Key::new(options.seed).stream("test");
    let test = Scenes::draw(&test, options.test, &mut stream)?;
    let training = Training {
        digits: &train,
        batch: options.batch,
        rate: options.rate,
        entropy: options.entropy,
        seed: options.seed,
    };

    println!(
        "\n                   evaluations  error where it looks  error at the likeliest  cross-entropy     s"
    );
    let mut curves = Vec::new();
    let mut picture = None;
    for name in names {
        let (eyes, run) = learn(name, options.steps, &test, &training)?;
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
        charts.push(variances(
            options.steps,
            options.entries,
            &options.out,
            &training,
        )?);
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
    const DRAWS: u64 = 1_000;
    let mut stream = Key::new(options.seed).stream("check");
    let scenes = Scenes::draw(digits, SCENES, &mut stream)?;
    let (eyes, sight) = (Eyes::new(options.seed)?, Sight::default());
    sight.turn_to(&scenes)?;
    for &name in names.iter().filter(|&&name| name != "exact") {
        let crop = match crop(name) {
            Crop::Cut => Crop::Pick,
            other => other,
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
            ("straight-through", Ok(())) => {
                return Err("straight-through should have shown a bias".into());
            }
            ("straight-through", Err(_)) => {}
            (_, verdict) => verdict?,
        }
    }
    Ok(())
}

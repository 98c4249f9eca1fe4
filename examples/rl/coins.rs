//! Actions of many dimensions: D coins at once, and one cost for all of them.
//!
//! The cost is Σ (b_j − t_j)² with t from 0 to 1 in equal steps, and all coins are fair. The variance of the gradient
//! that the best constant baseline leaves grows with the square of D, since each coin pays for the chance of all
//! others; a surrogate for each coin, which sees what the others show, leaves nothing.

use std::path::Path;

use relax_runtime::estimator::{IntoEstimator, Rloo};
use relax_runtime::prelude::*;

use crate::each_coin::{Linear, estimate};
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::program::Outcome;
use crate::progress::Progress;

const DIMENSIONS: [usize; 6] = [10, 30, 100, 300, 1000, 2000];
/// Steps in which surrogates and averages learn; the coins stay fair.
const LEARN: u64 = 300;
const DRAWS: u64 = 400;
const COLUMNS: [&str; 8] = [
    "no baseline, exact",
    "no baseline",
    "best constant, exact",
    "average of past costs",
    "RLOO of 2",
    "RELAX",
    "RELAX of a black box",
    "RELAX for each coin",
];
/// How far a measured variance may be from its exact value, in standard errors.
const MOST: f64 = 5.0;
/// The variance that a surrogate for each coin may leave, where the exact value is none.
const FLOOR: f64 = 1e-3;

#[model]
fn toss(targets: &Tensor, black_box: bool) {
    let theta = param!(targets.zeros_like());
    let b = sample!(Bernoulli(logits = &theta));
    match black_box {
        false => cost!((&b - targets).square().sum_all()),
        true => {
            let sides = b.to_vec()?;
            let pairs = sides.iter().zip(targets.to_vec()?);
            let cost: f32 = pairs.map(|(b, t)| (b - t).powi(2)).sum();
            cost!(f64::from(cost));
        }
    }
}

/// t.
fn targets(coins: usize) -> Vec<f32> {
    (0..coins).map(|j| j as f32 / (coins - 1) as f32).collect()
}

/// The exact variance of (f − c) ∂ln p summed over logits, with c = E\[f\] or 0. With x = b − ½ and
/// d = 1 − 2t the cost is E\[f\] + Σ d x, E\[(f − c)² x_i²\] = ¼ ((E\[f\] − c)² + ¼ Σ d²), and the gradient is d/4.
fn exact(coins: usize, centred: bool) -> f64 {
    let t = targets(coins).into_iter().map(f64::from);
    let (mut squares, mut mean) = (0.0, 0.0);
    for t in t {
        squares += (1.0 - 2.0 * t).powi(2);
        mean += 0.5 * ((1.0 - t).powi(2) + t.powi(2));
    }
    let off = if centred { 0.0 } else { mean };
    0.25 * coins as f64 * (off * off + 0.25 * squares) - squares / 16.0
}

/// The gradient's squared distance from its exact value, d/4.
fn distance(gradient: &[f32], targets: &[f32]) -> f64 {
    let pairs = gradient.iter().zip(targets);
    let squares = pairs.map(|(&g, &t)| (f64::from(g) - 0.25 * (1.0 - 2.0 * f64::from(t))).powi(2));
    squares.sum()
}

/// Mean and standard error.
fn spread(distances: &[f64]) -> [f64; 2] {
    let n = distances.len() as f64;
    let mean = distances.iter().sum::<f64>() / n;
    let squares = distances.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    [mean, (squares / (n * (n - 1.0))).sqrt()]
}

/// Steps of learning for each coin, where each has a surrogate.
const A_COIN: usize = 20;

/// Of a surrogate for each coin, after as many draws as its linear function needs.
fn measured_each(coins: usize, seed: u64) -> Result<f64> {
    let targets = targets(coins);
    let cost = |sides: &[f32]| {
        let pairs = sides.iter().zip(&targets);
        pairs.map(|(b, t)| f64::from(b - t).powi(2)).sum()
    };
    let mut function = Linear::new(coins);
    let learn = A_COIN * coins;
    let mut distances = Vec::new();
    for draw in 0..learn + DRAWS as usize {
        let key = Key {
            step: draw as u64,
            ..Key::new(seed)
        };
        let gradient = estimate(&mut function, coins, cost, key)?;
        if draw >= learn {
            distances.push(distance(&gradient, &targets));
        }
    }
    Ok(spread(&distances)[0])
}

/// Mean and standard error of the squared distance by the library's estimators.
fn measured(
    coins: usize,
    black_box: bool,
    estimator: impl IntoEstimator,
    seed: u64,
) -> Result<[f64; 2]> {
    const STILL: f32 = 1e-30;
    let targets = targets(coins);
    let model_targets = Tensor::from_slice(&targets);
    let program = toss(&model_targets, black_box);
    let objective = ExpectedCost::new(&program);
    let mut trainer = Trainer::new(seed)
        .optimizer(Sgd::new(STILL))
        .estimator(estimator);
    for _ in 0..LEARN {
        trainer.step(&objective)?;
    }
    let mut distances = Vec::new();
    for draw in 0..DRAWS {
        let key = Key {
            step: LEARN + draw,
            ..Key::new(seed)
        };
        let found = trainer.gradients(&objective, key)?;
        let gradient = found.parameters[0].1.to_vec()?;
        distances.push(distance(&gradient, &targets));
    }
    Ok(spread(&distances))
}

/// Measures all dimensions up to `most`, and compares with what is exact.
///
/// # Errors
/// If a variance is not what it must be, or a file cannot be written.
pub(crate) fn run(seed: u64, most: usize, out: &Path) -> Outcome<()> {
    let dimensions: Vec<usize> = DIMENSIONS.into_iter().filter(|&d| d <= most).collect();
    if dimensions.is_empty() {
        return Err(format!("--dimensions must be at least {}", DIMENSIONS[0]).into());
    }
    println!(
        "variance of the gradient by all logits: {DRAWS} draws, each with one evaluation of the cost"
    );
    println!(
        "(RLOO and RELAX of the relaxed cost: two), after {LEARN} steps of learning, {A_COIN} for each coin in the last \
         column\n"
    );
    println!(
        "        no baseline      best constant     of two                      of a     for each"
    );
    println!(
        "coins     exact    measured  exact    measured  s.e. off    draws    relax  black box  coin"
    );
    let mut series = COLUMNS[2..].iter().map(|&name| Series {
        name: name.into(),
        points: Vec::new(),
    });
    let mut series: Vec<_> = series.by_ref().collect();
    let mut progress = Progress::new("dimensions", 0, dimensions.len() as u64)?;
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([&["coins"], &COLUMNS[..]].concat())?;
    for (done, &coins) in dimensions.iter().enumerate() {
        progress.at(done as u64, || format!("{coins} coins"));
        let (best, plain) = (exact(coins, true), exact(coins, false));
        let formula = (coins * (coins + 1)) as f64 / 48.0;
        if (best / formula - 1.0).abs() > 1e-5 {
            return Err(
                format!("{coins} coins: {best} instead of D (D + 1)/48 = {formula}").into(),
            );
        }
        let none = measured(coins, true, Reinforce::without_baseline(), seed)?;
        let constant = measured(coins, true, Reinforce::default(), seed)?;
        let [rloo, _] = measured(coins, true, Rloo::new(2)?, seed)?;
        let [relax, _] = measured(coins, false, Relax::default(), seed)?;
        let [black_box, _] = measured(coins, true, Relax::free_form(), seed)?;
        let each = measured_each(coins, seed)?;
        let off = (constant[0] - best) / constant[1];
        let row = [
            plain,
            none[0],
            best,
            constant[0],
            rloo,
            relax,
            black_box,
            each,
        ];
        println!(
            "{coins:>5} {plain:>10.4e} {:>10.3e} {best:>9.4e} {:>9.3e} {off:>8.1} {rloo:>10.2e} \
             {relax:>8.2e} {black_box:>9.2e} {each:>8.1e}",
            none[0], constant[0]
        );
        let cells = row.iter().map(f64::to_string);
        table.write_record(std::iter::once(coins.to_string()).chain(cells))?;
        for (series, value) in series.iter_mut().zip(&row[2..]) {
            series.points.push((coins as f64, *value));
        }
        for ([found, error], exact) in [(none, plain), (constant, best)] {
            if (found - exact).abs() > MOST * error {
                return Err(format!("{coins} coins: {found} ± {error} instead of {exact}").into());
            }
        }
        if each > FLOOR {
            return Err(format!("{coins} coins: a surrogate for each coin leaves {each}").into());
        }
    }
    drop(progress);
    let folder = out.join("coins");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("coins.csv"), table.into_inner()?)?;
    let chart = Chart {
        title: "D coins at once".into(),
        x_label: "D".into(),
        y_label: "variance of the gradient".into(),
        y_scale: Scale::Log,
        series,
    };
    let path = folder.join("coins.svg");
    save_charts(&path, &[chart])?;
    println!("\nplot: {}", path.display());
    Ok(())
}

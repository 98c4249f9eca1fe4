//! Binary features of rows (a finite form of the model of Griffiths and Ghahramani 2005): each row is the sum of the
//! patterns that it has, plus noise.
//!
//! The patterns that the rows were made of are known, up to their order. Sums of patterns explain rows nearly as well
//! as the patterns do, so a fit ends in a local optimum for some seeds, and the best of several counts.

use relax_runtime::prelude::*;

use crate::known::near;
use crate::program::Outcome;

const ROWS: usize = 30;
const WIDTH: usize = 6;
const PATTERNS: [[f32; WIDTH]; 3] = [
    [1.0, 1.0, 0.0, 0.0, -1.0, 0.0],
    [0.0, 1.5, 1.5, 0.0, 0.0, 1.0],
    [0.0, 0.0, -1.0, 2.0, 0.0, 1.0],
];
const NOISE: f64 = 0.2;
/// Seeds of fits.
const RUNS: u64 = 4;

#[model]
fn features(rows: &Tensor) {
    let noise = param!(1.0, positive);
    let patterns = sample!(Normal(Tensor::zeros([3, WIDTH], &Device::cpu()), 1.0));
    plate!(rows.rows() => {
        let has = sample!(Bernoulli(Tensor::full([rows.rows(), 3], 0.5, &Device::cpu())));
        observe!(Normal(has.matmul(&patterns), &noise), rows);
    })
}

/// What rows are made of, and the rows.
#[model]
fn made() -> (Tensor, Tensor) {
    let patterns = Tensor::from_vec(PATTERNS.concat(), [3, WIDTH], &Device::cpu())?;
    let has = sample!(Bernoulli(Tensor::full([ROWS, 3], 0.5, &Device::cpu())));
    let rows = sample!(Normal(has.matmul(&patterns), NOISE));
    (has, rows)
}

pub(crate) fn run() -> Outcome<()> {
    let (has, rows) = Simulation::seeded(1).run(&made())?.output;
    let model = features(&rows);
    let mut best = Svi::new(&model).run()?;
    for seed in 1..RUNS {
        let fit = Svi::new(&model).seed(seed).run()?;
        let elbo = |fit: &Fit| fit.posterior().log_evidence().elbo;
        if elbo(&fit) > elbo(&best) {
            best = fit;
        }
    }
    let fit = best;
    println!("  {}", fit.ending());
    let (found, known) = (fit.posterior().means("has")?, has.to_vec()?);
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let right = |order: &[usize; 3]| {
        let at = (0..ROWS).flat_map(|row| (0..3).map(move |k| (3 * row + k, 3 * row + order[k])));
        at.filter(|&(k, of)| (found[k] > 0.5) == (known[of] > 0.5))
            .count()
    };
    let order = orders
        .iter()
        .max_by_key(|order| right(order))
        .unwrap_or(&orders[0]);
    near(
        "features recovered",
        right(order) as f64,
        (3 * ROWS) as f64,
        0.0,
    )?;
    let patterns = fit.posterior().means("patterns")?;
    let apart = (0..3 * WIDTH)
        .map(|at| (patterns[at] - f64::from(PATTERNS[order[at / WIDTH]][at % WIDTH])).abs());
    near(
        "largest error of a pattern",
        apart.fold(0.0, f64::max),
        0.0,
        0.3,
    )
}

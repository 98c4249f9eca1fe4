//! Bayesian optimization: a model of the cost, with its uncertainty, chooses each next evaluation.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use relax_runtime::Stream;
use relax_runtime::prelude::*;

use crate::problem::{Meter, Space};
use crate::program::Outcome;
use crate::quadratic::{Features, Form, Normal};

/// Evaluations after which it stops: their number's cube is what the last one takes.
const MOST: u64 = 300;
/// Evaluations at random before the first that is chosen.
const RANDOM: usize = 20;

/// Evaluates until the budget is spent, 300 times at most: linear regression on pairs with Thompson sampling for bits,
/// a Gaussian process with expected improvement for reals.
///
/// # Errors
/// If a matrix is singular by rounding.
pub(crate) fn run(meter: &Meter<'_>, seed: u64) -> Outcome<()> {
    let mut stream = Key::new(seed).stream("bayes");
    let space = meter.problem.space();
    let (mut points, mut costs) = (Vec::new(), Vec::new());
    let mut process = Process::default();
    while !meter.is_spent() && meter.spent() < MOST {
        let next = match space {
            _ if points.len() < RANDOM => random(space, &mut stream),
            Space::Bits(n) => sampled_optimum(n, &points, &costs, &mut stream)?,
            Space::Reals(_) => process.most_promising(&points, &costs, &mut stream)?,
        };
        costs.push(meter.cost(&next));
        points.push(next);
    }
    Ok(())
}

fn random(space: Space, stream: &mut Stream) -> Vec<f64> {
    let mut number = || match space {
        Space::Bits(_) => f64::from(u8::from(stream.uniform_f64() < 0.5)),
        Space::Reals(_) => WIDEST * (2.0 * stream.uniform_f64() - 1.0),
    };
    (0..space.numbers()).map(|_| number()).collect()
}

/// Costs less their mean, in units of their deviation.
fn standardised(costs: &[f64]) -> Vec<f64> {
    let n = costs.len() as f64;
    let mean = costs.iter().sum::<f64>() / n;
    let square = costs.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / n;
    let unit = square.sqrt().max(f64::MIN_POSITIVE);
    costs.iter().map(|f| (f - mean) / unit).collect()
}

/// The least choice of a quadratic form drawn from its posterior, among those not made before (Baptista and Poloczek
/// 2018, with a normal prior in place of the horseshoe).
fn sampled_optimum(
    bits: usize,
    points: &[Vec<f64>],
    costs: &[f64],
    stream: &mut Stream,
) -> Outcome<Vec<f64>> {
    const STARTS: usize = 10;
    let features = Features {
        numbers: bits,
        squares: false,
    };
    // As if a tenth of the variance were noise, and the weights shared the rest.
    let ridge = 0.1 * features.count() as f64;
    let sides = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| 2.0 * x - 1.0).collect() };
    let rows: Vec<Vec<f64>> = points.iter().map(|x| features.of(&sides(x))).collect();
    let costs = standardised(costs);
    let equations = Normal::new(&rows, &costs, &vec![1.0; costs.len()]);
    let singular = "the posterior's precision is singular";
    // The inverse gamma posterior's mode, from a prior worth one draw of unit variance.
    let mean = equations.weights(ridge).ok_or(singular)?;
    let left = |row: &Vec<f64>, f: &f64| {
        let said: f64 = row.iter().zip(mean.iter()).map(|(x, w)| x * w).sum();
        f * (f - said)
    };
    let squares: f64 = rows.iter().zip(&costs).map(|(row, f)| left(row, f)).sum();
    let noise = ((1.0 + squares.max(0.0)) / (1.0 + costs.len() as f64)).sqrt();
    let normals = DVector::from_fn(features.count(), |_, _| stream.normal());
    let weights = equations.drawn(ridge, noise, normals).ok_or(singular)?;
    let form = features.form(weights.as_slice());
    let found = (0..STARTS).map(|_| {
        let y = (0..bits).map(|_| {
            if stream.uniform_f64() < 0.5 {
                -1.0
            } else {
                1.0
            }
        });
        settled(&form, y.collect())
    });
    let mut found: Vec<(f64, Vec<f64>)> = found.collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let choices = found.into_iter();
    let mut choices = choices.map(|(_, y)| y.iter().map(|y| 0.5 * (1.0 + y)).collect::<Vec<f64>>());
    let new = choices.find(|x| !points.contains(x));
    Ok(new.unwrap_or_else(|| random(Space::Bits(bits), stream)))
}

/// Changes sides one at a time, the most helpful first, until none helps; the form's value, and the sides.
fn settled(form: &Form, mut y: Vec<f64>) -> (f64, Vec<f64>) {
    let n = y.len();
    let gain = |y: &[f64], i: usize| {
        let row = &form.matrix[i * n..][..n];
        let along: f64 = row.iter().zip(y).map(|(a, y)| a * y).sum();
        // The diagonal's part is the same on both sides.
        2.0 * y[i] * (form.linear[i] + 2.0 * (along - row[i] * y[i]))
    };
    loop {
        let gains = (0..n).map(|i| (gain(&y, i), i));
        match gains.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((best, at)) if best > 1e-12 => y[at] = -y[at],
            _ => return (form.expected(&y, None), y),
        }
    }
}

/// Reals are looked for within ± so much, as the benchmark does.
const WIDEST: f64 = 5.0;

/// A Gaussian process with the kernel e^(−‖x − x′‖²/2ℓ²), whose ℓ is the likeliest of a few.
#[derive(Debug, Default)]
struct Process {
    length: f64,
}

impl Process {
    /// The point of largest expected improvement (Jones, Schonlau, Welch 1998) among points around the best so far.
    fn most_promising(
        &mut self,
        points: &[Vec<f64>],
        costs: &[f64],
        stream: &mut Stream,
    ) -> Outcome<Vec<f64>> {
        const LENGTHS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        const EVERY: usize = 10;
        const CANDIDATES: usize = 400;
        let y = DVector::from_vec(standardised(costs));
        if points.len().is_multiple_of(EVERY) || self.length == 0.0 {
            let likelihoods = LENGTHS.iter().filter_map(|&length| {
                let factor = factor(points, length)?;
                let determinant: f64 = factor.l_dirty().diagonal().iter().map(|x| x.ln()).sum();
                Some((-0.5 * y.dot(&factor.solve(&y)) - determinant, length))
            });
            let likeliest = likelihoods.max_by(|a, b| a.0.total_cmp(&b.0));
            self.length = likeliest.map_or(LENGTHS[0], |(_, length)| length);
        }
        let factor = factor(points, self.length).ok_or("the kernel's matrix is singular")?;
        let weights = factor.solve(&y);
        let best = y.imin();
        let mut chosen = (f64::NEG_INFINITY, points[best].clone());
        for _ in 0..CANDIDATES {
            let x = around(&points[best], stream);
            let kernel = points.iter().map(|point| kernel(point, &x, self.length));
            let kernel = DVector::from_iterator(points.len(), kernel);
            let explained = factor.l_dirty().solve_lower_triangular(&kernel);
            let explained = explained.map_or(0.0, |half| half.norm_squared());
            let deviation = (1.0 - explained).max(1e-12).sqrt();
            let z = (y[best] - kernel.dot(&weights)) / deviation;
            let cumulative = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
            let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
            let improvement = deviation * (z * cumulative + density);
            if improvement > chosen.0 {
                chosen = (improvement, x);
            }
        }
        Ok(chosen.1)
    }
}

/// A step of random size from a point, in some of its numbers.
fn around(point: &[f64], stream: &mut Stream) -> Vec<f64> {
    let size = 10_f64.powf(-2.0 + 2.3 * stream.uniform_f64());
    let share = stream.uniform_f64();
    let moved = point.iter().map(|x| match stream.uniform_f64() < share {
        true => (x + size * stream.normal()).clamp(-WIDEST, WIDEST),
        false => *x,
    });
    moved.collect()
}

fn kernel(a: &[f64], b: &[f64], length: f64) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (-0.5 * square / (length * length)).exp()
}

fn factor(points: &[Vec<f64>], length: f64) -> Option<Cholesky<f64, Dyn>> {
    const NUGGET: f64 = 1e-6;
    let n = points.len();
    let matrix = DMatrix::from_fn(n, n, |i, j| {
        let nugget = if i == j { NUGGET } else { 0.0 };
        kernel(&points[i], &points[j], length) + nugget
    });
    Cholesky::new(matrix)
}

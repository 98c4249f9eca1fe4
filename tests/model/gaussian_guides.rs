//! Guides that are one Gaussian over all continuous choices: posteriors that are known.

use relax_runtime::estimator::by_name;
use relax_runtime::infer::{FullRankGuide, Guide, LowRankGuide, MeanFieldGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, short};

/// Covariates of which the first two nearly say the same.
const ROWS: [[f64; 3]; 6] = [
    [1.0, 0.9, 0.2],
    [-0.5, -0.7, 1.0],
    [0.8, 1.1, -0.4],
    [-1.2, -1.0, 0.1],
    [0.3, 0.2, -0.9],
    [1.5, 1.4, 0.6],
];
const SEEN: [f64; 6] = [1.3, -0.4, 0.9, -1.6, 0.1, 2.1];
const NOISE: f64 = 0.5;

fn covariate(k: usize) -> Tensor {
    let column: Vec<f32> = ROWS.iter().map(|row| row[k] as f32).collect();
    Tensor::from_slice(&column)
}

fn covariates() -> Tensor {
    Tensor::stack(&[&covariate(0), &covariate(1), &covariate(2)], 1)
}

fn seen() -> Tensor {
    Tensor::from_slice(&SEEN.map(|x| x as f32))
}

/// Weights of a site each.
#[model]
fn by_sites() {
    let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let b = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let c = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let mean = covariate(0) * &a + covariate(1) * &b + covariate(2) * &c;
    observe!(Normal(mean, NOISE), seen());
}

/// Weights of one site.
#[model]
fn by_vector() {
    let w = sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0));
    observe!(Normal(covariates().matmul(&w), NOISE), seen());
}

/// Weights that are rows of a plate.
#[model]
fn by_rows() {
    let w = plate!(3 => { sample!(Normal(Tensor::zeros([3], &Device::cpu()), 1.0), name = "w") });
    observe!(Normal(covariates().matmul(&w), NOISE), seen());
}

/// Weights as host numbers, of which no cost has a derivative.
#[model]
fn by_numbers() {
    let a = sample!(Normal(0.0, 1.0));
    let b = sample!(Normal(0.0, 1.0));
    let c = sample!(Normal(0.0, 1.0));
    for (row, y) in ROWS.iter().zip(SEEN) {
        observe!(Normal(row[0] * a + row[1] * b + row[2] * c, NOISE), y);
    }
}

type Matrix = [[f64; 3]; 3];

/// The inverse by Gauss and Jordan, and the logarithm of the determinant.
fn inverse(mut a: Matrix) -> (Matrix, f64) {
    let (mut out, mut log_det) = ([[0.0; 3]; 3], 0.0);
    (0..3).for_each(|i| out[i][i] = 1.0);
    for i in 0..3 {
        let pivot = a[i][i];
        log_det += pivot.ln();
        for j in 0..3 {
            a[i][j] /= pivot;
            out[i][j] /= pivot;
        }
        for k in (0..3).filter(|&k| k != i) {
            let by = a[k][i];
            for j in 0..3 {
                a[k][j] -= by * a[i][j];
                out[k][j] -= by * out[i][j];
            }
        }
    }
    (out, log_det)
}

/// Mean and covariance of the weights, and ln p(seen).
fn conjugate() -> ([f64; 3], Matrix, f64) {
    let (mut precision, mut shift) = ([[0.0; 3]; 3], [0.0; 3]);
    for i in 0..3 {
        precision[i][i] += 1.0;
        for (row, y) in ROWS.iter().zip(SEEN) {
            shift[i] += row[i] * y / NOISE.powi(2);
            for j in 0..3 {
                precision[i][j] += row[i] * row[j] / NOISE.powi(2);
            }
        }
    }
    let (covariance, log_det) = inverse(precision);
    let mean = covariance.map(|row| (0..3).map(|j| row[j] * shift[j]).sum());
    let fit: f64 = (0..3).map(|i| mean[i] * shift[i]).sum();
    let squares: f64 = SEEN.iter().map(|y| (y / NOISE).powi(2)).sum();
    let norm = SEEN.len() as f64 * (std::f64::consts::TAU * NOISE.powi(2)).ln();
    (mean, covariance, -0.5 * (squares - fit + norm + log_det))
}

/// The draws of all weights.
fn draws(found: &Posterior, sites: &[&str]) -> Result<Vec<Vec<f64>>> {
    let mut all = vec![Vec::new(); found.samples(sites[0])?.len()];
    for site in sites {
        for (draw, value) in all.iter_mut().zip(found.samples(site)?) {
            draw.extend(value.to_f64s()?);
        }
    }
    Ok(all)
}

fn moments(draws: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (n, d) = (draws.len() as f64, draws[0].len());
    let mean: Vec<f64> = (0..d)
        .map(|i| draws.iter().map(|x| x[i]).sum::<f64>() / n)
        .collect();
    let covariance = |i: usize, j: usize| {
        let products = draws.iter().map(|x| (x[i] - mean[i]) * (x[j] - mean[j]));
        products.sum::<f64>() / n
    };
    let covariances = (0..d).map(|i| (0..d).map(|j| covariance(i, j)).collect());
    let covariances = covariances.collect();
    (mean, covariances)
}

fn fit<'m>(model: &'m dyn Program, guide: &'m dyn Guide) -> Svi<'m> {
    let svi = Svi::new(model).guide(guide).posterior_draws(20_000);
    svi.seed(1).progress(false)
}

/// Means, standard deviations and correlations, however the weights are written.
#[test]
fn correlated_weights() -> Result<()> {
    let (mean, covariance, evidence) = conjugate();
    let correlation = |of: &dyn Fn(usize, usize) -> f64, i, j| of(i, j) / (of(i, i) * of(j, j)).sqrt();
    let exact = |i: usize, j: usize| covariance[i][j];
    assert!(correlation(&exact, 0, 1) < -0.7, "they are to be correlated");
    let (sites, vector, rows) = (by_sites(), by_vector(), by_rows());
    let numbers = by_numbers();
    let each: [&dyn Program; 4] = [&sites, &vector, &rows, &numbers];
    let full: &dyn Guide = &FullRankGuide;
    let low: &dyn Guide = &LowRankGuide { rank: 2 };
    for (model, names) in each.into_iter().zip([&["a", "b", "c"][..], &["w"], &["w"], &["a", "b", "c"]]) {
        let is_host = std::ptr::addr_eq(model, &numbers);
        for guide in [full, low] {
            if is_host && std::ptr::addr_eq(guide, low) {
                continue;
            }
            let near = if is_host { 0.05 } else { 0.02 };
            let found = fit(model, guide).run()?;
            let found = found.posterior();
            assert_near(found.log_evidence().elbo, evidence, near / 4.0);
            let (means, found) = moments(&draws(found, names)?);
            let of = |i: usize, j: usize| found[i][j];
            for i in 0..3 {
                assert_near(means[i], mean[i], near * (1.0 + mean[i].abs()));
                assert_near((of(i, i) / exact(i, i)).sqrt(), 1.0, near);
                for j in 0..i {
                    assert_near(correlation(&of, i, j), correlation(&exact, i, j), near);
                }
            }
        }
    }
    let apart = fit(&sites, &MeanFieldGuide).run()?;
    assert!(apart.posterior().log_evidence().elbo < evidence - 0.3);
    Ok(())
}

//! Draws, densities and derivatives of the distributions, against statrs, on every engine.

mod densities;
mod draws;
mod guides;
mod limits;

use relax_runtime::dist::{Distribution, Number};
use relax_runtime::{Key, Result};

use crate::{repeated, tensor};

const DRAWS: usize = 100_000;

/// Level of each test: what is right passes under nearly every seed, what is wrong under none.
const LEVEL: f64 = 1e-5;

const PROBS: [f64; 4] = [0.1, 0.4, 0.2, 0.3];

fn logits(probs: &[f64]) -> Vec<f64> {
    // A common shift of a categorical's logits changes nothing.
    probs.iter().map(|p| p.ln() + 1.5).collect()
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn log_prob<D: Distribution>(dist: &D, value: &D::Value) -> Result<Vec<f64>> {
    Ok(match dist.log_prob(value)? {
        Number::Host(x) => vec![x],
        Number::Tensor(t) => t.to_vec()?.into_iter().map(f64::from).collect(),
    })
}

fn draws<D: Distribution>(dist: &D, purpose: &str) -> Result<Vec<D::Value>> {
    let mut stream = Key::new(11).stream(purpose);
    (0..DRAWS).map(|_| dist.sample(&mut stream)).collect()
}

fn draw<D: Distribution>(dist: &D, purpose: &str) -> Result<D::Value> {
    dist.sample(&mut Key::new(12).stream(purpose))
}

fn assert_near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

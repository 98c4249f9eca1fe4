//! Relaxed samples: z, b = H(z), z̃ given b, coupled noise and κ, against their definitions, on every
//! engine.

mod defaults;
mod extremes;
mod jacobian;
mod samples;

use relax_runtime::dist::{BernoulliRelaxation, CategoricalRelaxation, Relaxation};
use relax_runtime::{Device, Key, Result, Tensor};

const BERNOULLI: &dyn Relaxation = &BernoulliRelaxation;
const CATEGORICAL: &dyn Relaxation = &CategoricalRelaxation;

/// Each relaxation with logits of ordinary size.
const CASES: [(&dyn Relaxation, [f32; 3]); 2] = [
    (BERNOULLI, [-1.2, 0.0, 2.5]),
    (CATEGORICAL, [-1.2, 0.4, 1.0]),
];

fn numbers(device: &Device, values: &[f32]) -> Tensor {
    Tensor::from_vec(values.to_vec(), [values.len()], device).unwrap()
}

fn rows(device: &Device, values: &[f32], n: usize) -> Tensor {
    numbers(device, values).broadcast_to([n, values.len()])
}

fn uniforms(device: &Device, purpose: &str, n: usize, width: usize) -> Result<Tensor> {
    let mut stream = Key::new(21).stream(purpose);
    stream.uniforms([n, width], device)
}

fn f64s(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_vec()?.into_iter().map(f64::from).collect())
}

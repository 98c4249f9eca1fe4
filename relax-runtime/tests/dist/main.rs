//! The distributions: densities, draws, derivatives, relaxations, and what they refuse.

#[macro_use]
#[path = "../support/engines.rs"]
mod engines;

mod composed;
mod confident;
mod constraints;
mod continuous;
mod counts;
mod errors;
mod laws;
mod relaxation;
mod tiny;
mod vectors;

use relax_runtime::{Device, Tensor};

fn tensor(device: &Device, values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    let shape = [values.len()];
    Tensor::from_vec(values, shape, device).unwrap()
}

/// `values` as `rows` equal rows.
fn repeated(device: &Device, values: &[f64], rows: usize) -> Tensor {
    tensor(device, values).broadcast_to([rows, values.len()])
}

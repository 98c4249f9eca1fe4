use relax_runtime::prelude::*;

#[model]
fn coins(n: usize) {
    let coins: Vec<bool> = (0..n).map(|_| sample!(Bernoulli(0.5), name = "coin")).collect();
}

fn main() {}

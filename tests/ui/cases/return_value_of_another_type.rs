use relax_runtime::prelude::*;

#[model]
fn coin() -> f64 {
    let coin = sample!(Bernoulli(0.5));
    coin
}

fn main() {}

use relax_runtime::prelude::*;

#[model(name = "coin")]
fn coin() {
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coin(label: &str) {
    let coin = sample!(Bernoulli(0.5), name = label);
}

fn main() {}

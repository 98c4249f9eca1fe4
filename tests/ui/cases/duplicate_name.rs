use relax_runtime::prelude::*;

#[model]
fn coins() {
    let coin = sample!(Bernoulli(0.5));
    let other = sample!(Bernoulli(0.5), name = "coin");
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

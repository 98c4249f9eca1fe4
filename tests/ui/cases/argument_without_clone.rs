use relax_runtime::prelude::*;

struct Network;

#[model]
fn coin(network: Network) {
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

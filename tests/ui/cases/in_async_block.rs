use relax_runtime::prelude::*;

#[model]
fn coins() {
    let coin = async { sample!(Bernoulli(0.5), name = "coin") };
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coin(draws: &mut Vec<bool>) {
    let coin = sample!(Bernoulli(0.5));
    draws.push(coin);
}

fn main() {}

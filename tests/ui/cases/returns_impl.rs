use relax_runtime::prelude::*;

#[model]
fn coins() -> impl Iterator<Item = bool> {
    let coin = sample!(Bernoulli(0.5));
    std::iter::once(coin)
}

fn main() {}

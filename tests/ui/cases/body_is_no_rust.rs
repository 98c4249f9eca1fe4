use relax_runtime::prelude::*;

#[model]
fn coin() -> bool {
    let coin = sample!(Bernoulli(0.5))
    coin
}

fn main() {
    let _ = coin();
}

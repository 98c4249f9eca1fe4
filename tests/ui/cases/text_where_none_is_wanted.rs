use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli(0.5), name = 3);
    let other = sample!(Bernoulli(0.5), estimator = 3);
    cost!("price");
    factor!("energy");
}

fn main() {}

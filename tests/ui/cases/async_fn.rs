use relax_runtime::prelude::*;

#[model]
async fn coin() {
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli(logit = 0.0));
    let height = sample!(Normal(mu = 0.0, scale = 1.0));
}

fn main() {}

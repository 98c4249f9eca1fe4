use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli(probs = 0.5, probs = 0.4));
    let height = sample!(Normal(0.0, 1.0), name = "h", name = "height");
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli(probs = 0.5, logits = 0.0));
    let other = sample!(Bernoulli(0.5, logits = 0.0));
}

fn main() {}

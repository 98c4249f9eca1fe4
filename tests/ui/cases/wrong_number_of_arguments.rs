use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli());
    let height = sample!(Normal(0.0));
    observe!(Normal(0.0, 1.0, 2.0), 0.3);
}

fn main() {}

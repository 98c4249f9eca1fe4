use relax_runtime::prelude::*;

#[model]
fn coins() {
    let coin = sample!(Bernoulli(0.5), name = "a/b");
    let other = sample!(Bernoulli(0.5), name = "h[0]");
    observe!(Bernoulli(0.5), true, name = "");
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coin(x: bool) {
    observe!(Bernoulli(0.5), name = "x", x);
}

fn main() {}

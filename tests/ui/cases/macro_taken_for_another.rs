use relax_runtime::observe as draw;
use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = draw!(Bernoulli(0.5));
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
unsafe fn coin() {
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
extern "C" fn coin() {
    let coin = sample!(Bernoulli(0.5));
}

fn main() {}

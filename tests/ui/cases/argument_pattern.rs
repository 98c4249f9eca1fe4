use relax_runtime::prelude::*;

#[model]
fn coins((a, b): (f64, f64), _: bool) {
    let coin = sample!(Bernoulli(a));
}

fn main() {}

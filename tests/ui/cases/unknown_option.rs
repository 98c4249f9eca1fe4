use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernoulli(0.5), nam = "c");
    observe!(Bernoulli(0.5), true, estimator = "relax");
    plate!(3, off = 10 => {});
}

fn main() {}

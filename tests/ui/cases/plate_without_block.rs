use relax_runtime::prelude::*;

#[model]
fn coins(n: usize) {
    plate!(n);
    plate!();
    plate!(n, sample!(Bernoulli(0.5)));
}

fn main() {}

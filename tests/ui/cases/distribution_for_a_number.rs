use relax_runtime::prelude::*;

#[model]
fn cars(seen: usize) {
    let rate = sample!(Exponential(Gamma(1.0, 1.0)));
    let sold = sample!(ZeroInflated(Poisson(rate), 0.3));
    observe!(Truncated(0, Poisson(rate), 9), seen);
}

fn main() {}

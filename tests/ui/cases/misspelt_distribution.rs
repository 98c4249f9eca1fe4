use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!(Bernouli(0.5));
    observe!(Gauss(loc = 0.0, scale = 1.0), 0.3);
}

fn main() {}

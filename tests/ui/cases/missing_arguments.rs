use relax_runtime::prelude::*;

#[model]
fn coin() {
    let coin = sample!();
    observe!(Bernoulli(0.5));
    let w = param!(0.0, 1.0);
    cost!(name = "loss");
    factor!(name = "energy");
    call!(name = "prior");
}

fn main() {}

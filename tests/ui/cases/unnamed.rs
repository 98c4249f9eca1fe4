use relax_runtime::prelude::*;

#[model]
fn coins() {
    if sample!(Bernoulli(0.5)) {
        param!(0.0);
    }
    call!(coins());
    let _ = sample!(Bernoulli(0.5));
}

fn main() {}

use relax_runtime::prelude::*;

macro_rules! twice {
    ($value:expr) => {
        ($value, $value)
    };
}

#[model]
fn coins() {
    let both = twice!(sample!(Bernoulli(0.5), name = "coin"));
}

fn main() {}

use relax_runtime::prelude::*;

fn not_a_model() {
    let _x = sample!(Bernoulli(0.5));
}

fn main() {}

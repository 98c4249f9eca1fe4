use relax_runtime::prelude::*;

fn not_a_model() {
    observe!(Bernoulli(0.5), true);
}

fn main() {}

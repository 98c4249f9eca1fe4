use relax_runtime::prelude::*;

fn not_a_model() {
    cost!(1.0);
}

fn main() {}

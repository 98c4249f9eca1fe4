use relax_runtime::prelude::*;

fn not_a_model() {
    factor!(-1.0);
}

fn main() {}

use relax_runtime::prelude::*;

fn not_a_model() {
    call!(prior());
}

fn main() {}

use relax_runtime::prelude::*;

fn not_a_model() {
    let _w = param!(0.0);
}

fn main() {}

use relax_runtime::prelude::*;

fn not_a_model() {
    plate!(3 => {});
}

fn main() {}

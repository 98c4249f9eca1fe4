use relax_runtime::prelude::*;

#[model]
fn noise() {
    observe!(Gauss(0.0, 1.0), 0.3);
}

fn main() {}

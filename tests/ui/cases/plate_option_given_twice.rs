use relax_runtime::prelude::*;

#[model]
fn rows(label: &str) {
    plate!(3, of = 3, of = 4 => {});
    plate!(3, name = label => {});
}

fn main() {}

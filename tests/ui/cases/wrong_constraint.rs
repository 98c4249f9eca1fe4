use relax_runtime::prelude::*;

#[model]
fn misspelt() {
    let _a = param!(1.0, positiv);
    let _b = param!(1.0, interval(0.0));
    let _c = param!(1.0, unit(2.0));
    let _d = param!(1.0, "positive");
}

fn main() {}

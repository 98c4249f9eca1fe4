use relax_runtime::prelude::*;

#[model]
fn rates(fast: bool, wide: bool) {
    let rate = if fast {
        param!(2.0, positive)
    } else {
        param!(0.9, unit)
    };
    let scale = match wide {
        true => param!(3.0, name = "scale"),
        false => param!(3.0, name = "scale"),
    };
    observe!(Normal(rate, scale), 0.1);
}

fn main() {}

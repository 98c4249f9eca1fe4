use relax_runtime::prelude::*;

#[model]
fn level(start: f64) -> Tensor {
    let level = param!(start);
    level
}

#[model]
fn levels(z: bool, named: bool) {
    let mean = if z { call!(level(-2.0)) } else { call!(level(2.0)) };
    let scale = match named {
        true => call!(level(1.0), name = "scale"),
        false => call!(level(1.0), name = "scale"),
    };
    observe!(Normal(mean, scale.exp()), 0.1);
}

fn main() {}

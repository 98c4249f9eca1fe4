use relax_runtime::prelude::*;

fn forgotten() -> f64 {
    0.0
}

#[model]
fn caller() -> f64 {
    let inner = call!(forgotten());
    inner
}

fn fit() {
    let fit = Svi::new(&forgotten()).run();
}

fn main() {}

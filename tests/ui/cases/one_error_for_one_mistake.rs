use relax_runtime::prelude::*;

#[model]
fn coin(p: f64) -> bool {
    let coin = sample!(Bernouli(p));
    coin
}

#[model]
fn calls_it() -> bool {
    let inner = call!(coin(0.5));
    inner
}

fn runs_it() -> impl Model<Output = bool> {
    coin(0.5)
}

fn main() {}

use relax_runtime::prelude::*;

#[model(check)]
fn without_values(p: f64, wet: bool) {
    let rain = sample!(Bernoulli(p));
    observe!(Bernoulli(if rain { 0.8 } else { 0.1 }), wet);
}

#[model(check(0.5, true))]
fn too_many(p: f64) {
    let coin = sample!(Bernoulli(p));
}

#[model(check(0.5))]
fn none_wanted() {
    let coin = sample!(Bernoulli(0.5));
}

#[model(check(drews = 100))]
fn misspelt() {
    let coin = sample!(Bernoulli(0.5));
}

#[model(chek)]
fn misspelt_check() {
    let coin = sample!(Bernoulli(0.5));
}

struct Coin;

impl Coin {
    #[model(check)]
    fn toss(&self) {
        let coin = sample!(Bernoulli(0.5));
    }
}

fn main() {}

use relax_runtime::prelude::{model, sample};

pub enum Result<T> {
    Win(T),
}

#[model]
fn coin() -> Result<bool> {
    let coin = sample!(Bernoulli(0.5));
    Result::Win(coin)
}

fn main() {}

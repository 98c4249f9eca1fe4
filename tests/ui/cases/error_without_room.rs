use relax_runtime::prelude::*;

#[model]
fn coin() -> std::result::Result<bool, String> {
    let coin = sample!(Bernoulli(0.5));
    Ok(coin)
}

fn main() {}

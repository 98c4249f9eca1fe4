use relax_runtime::prelude::*;

#[model]
fn coin() -> std::io::Result<_> {
    let coin = sample!(Bernoulli(0.5));
    Ok(coin)
}

fn main() {}

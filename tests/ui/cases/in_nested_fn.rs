use relax_runtime::prelude::*;

#[model]
fn coins() {
    fn coin() -> bool {
        sample!(Bernoulli(0.5), name = "coin")
    }
    coin();
}

fn main() {}

use relax_runtime::prelude::*;

#[model]
fn coins(fair: bool) {
    let coin = if fair {
        sample!(Bernoulli(0.5))
    } else {
        sample!(Bernoulli(0.9))
    };
    if coin {
        let coin = sample!(Bernoulli(0.1));
    }
}

fn main() {}

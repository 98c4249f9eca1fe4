use relax_runtime::prelude::*;

#[model]
struct Coin {
    p: f64,
}

trait Toss {
    #[model]
    fn toss(&self) -> bool;
}

fn main() {}

use relax_runtime::prelude::*;

struct Coin(f64);

impl Coin {
    #[model]
    fn toss(self) -> bool {
        sample!(Bernoulli(self.0), name = "toss")
    }

    #[model]
    fn toss_mutably(&mut self) -> bool {
        sample!(Bernoulli(self.0), name = "toss")
    }
}

fn main() {}

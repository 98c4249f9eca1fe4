//! Cart-pole: a push to the left or to the right at each step, and a reward of 1 for every step that the pole stands.

use relax_runtime::Stream;

use super::cart::Cart;
use super::{Actions, Environment, Solved, Transition};

const FORCE: f32 = 10.0;

#[derive(Clone, Debug)]
pub(crate) struct CartPole {
    cart: Cart,
    time: usize,
}

impl Environment for CartPole {
    const NAME: &'static str = "cartpole";
    const OBSERVED: usize = 4;
    const ACTIONS: Actions = Actions::Discrete(2);
    const LIMIT: usize = 200;
    const SOLVED: Solved = Solved {
        above: 195.0,
        episodes: 100,
    };

    fn start(stream: &mut Stream) -> Self {
        Self {
            cart: Cart::start(stream),
            time: 0,
        }
    }

    fn observe(&self, into: &mut Vec<f32>) {
        into.extend_from_slice(self.cart.state());
    }

    fn time(&self) -> usize {
        self.time
    }

    fn step(&mut self, action: f32, _: &mut Stream) -> Transition {
        self.cart.push(if action == 1.0 { FORCE } else { -FORCE });
        self.time += 1;
        Transition {
            reward: 1.0,
            ended: self.cart.has_failed() || self.time == Self::LIMIT,
        }
    }
}

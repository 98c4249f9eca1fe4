//! Inverted pendulum: the cart and pole of cart-pole, pushed by a force of any size up to a limit. It stands in for
//! MuJoCo's pendulum of that name, and has its reward, length and threshold.

use relax_runtime::Stream;

use super::cart::Cart;
use super::{Actions, Environment, Solved, Transition};

/// Force of an action of 1, and the largest action that makes a difference.
const FORCE: f32 = 10.0;
const LARGEST: f32 = 3.0;

#[derive(Clone, Debug)]
pub(crate) struct Pendulum {
    cart: Cart,
    time: usize,
}

impl Environment for Pendulum {
    const NAME: &'static str = "pendulum";
    const OBSERVED: usize = 4;
    const ACTIONS: Actions = Actions::Continuous;
    const LIMIT: usize = 1000;
    const SOLVED: Solved = Solved {
        above: 950.0,
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
        self.cart.push(FORCE * action.clamp(-LARGEST, LARGEST));
        self.time += 1;
        Transition {
            reward: 1.0,
            ended: self.cart.has_failed() || self.time == Self::LIMIT,
        }
    }
}

//! Acrobot: two links with a motor at the joint between them that has to swing the tip above a line (Sutton,
//! "Generalization in reinforcement learning", 1996), in the form of Sutton and Barto's book.

use std::f32::consts::PI;

use relax_runtime::Stream;

use super::{Actions, Environment, Solved, Transition};

const SECONDS: f32 = 0.2;
const GRAVITY: f32 = 9.8;
/// Links of length and mass 1, their centres of mass in the middle, moments of inertia 1.
const CENTRE: f32 = 0.5;
const FASTEST: [f32; 2] = [4.0 * PI, 9.0 * PI];

/// Angles of the links, the second relative to the first, and their speeds.
#[derive(Clone, Debug)]
pub(crate) struct Acrobot {
    state: [f32; 4],
    time: usize,
}

/// How the state moves under a torque.
fn slope([a, b, va, vb]: [f32; 4], torque: f32) -> [f32; 4] {
    let (sine, cosine) = b.sin_cos();
    let d1 = CENTRE * CENTRE + (1.0 + CENTRE * CENTRE + 2.0 * CENTRE * cosine) + 2.0;
    let d2 = CENTRE * CENTRE + CENTRE * cosine + 1.0;
    let phi2 = CENTRE * GRAVITY * (a + b - PI / 2.0).cos();
    let phi1 = -CENTRE * vb * vb * sine - 2.0 * CENTRE * vb * va * sine
        + (CENTRE + 1.0) * GRAVITY * (a - PI / 2.0).cos()
        + phi2;
    let turn = (torque + d2 / d1 * phi1 - CENTRE * va * va * sine - phi2)
        / (CENTRE * CENTRE + 1.0 - d2 * d2 / d1);
    [va, vb, -(d2 * turn + phi1) / d1, turn]
}

fn moved(state: [f32; 4], along: [f32; 4], by: f32) -> [f32; 4] {
    std::array::from_fn(|i| state[i] + by * along[i])
}

/// The angle in [−π, π).
fn wrapped(angle: f32) -> f32 {
    (angle + PI).rem_euclid(2.0 * PI) - PI
}

impl Environment for Acrobot {
    const NAME: &'static str = "acrobot";
    const OBSERVED: usize = 6;
    const ACTIONS: Actions = Actions::Discrete(3);
    const LIMIT: usize = 500;
    const SOLVED: Solved = Solved {
        above: -100.0,
        episodes: 100,
    };
    const SLOW: bool = true;

    fn start(stream: &mut Stream) -> Self {
        Self {
            state: [(); 4].map(|()| 0.2 * stream.uniform() - 0.1),
            time: 0,
        }
    }

    fn observe(&self, into: &mut Vec<f32>) {
        let [a, b, va, vb] = self.state;
        into.extend([a.cos(), a.sin(), b.cos(), b.sin()]);
        // Speeds in units of a typical one.
        into.extend([va / PI, vb / PI]);
    }

    fn time(&self) -> usize {
        self.time
    }

    /// A step of the classical Runge–Kutta method.
    fn step(&mut self, action: f32, _: &mut Stream) -> Transition {
        let torque = action - 1.0;
        let at = |state| slope(state, torque);
        let first = at(self.state);
        let second = at(moved(self.state, first, SECONDS / 2.0));
        let third = at(moved(self.state, second, SECONDS / 2.0));
        let fourth = at(moved(self.state, third, SECONDS));
        let mean = std::array::from_fn(|i| {
            (first[i] + 2.0 * second[i] + 2.0 * third[i] + fourth[i]) / 6.0
        });
        let [a, b, va, vb] = moved(self.state, mean, SECONDS);
        self.state = [
            wrapped(a),
            wrapped(b),
            va.clamp(-FASTEST[0], FASTEST[0]),
            vb.clamp(-FASTEST[1], FASTEST[1]),
        ];
        self.time += 1;
        let [a, b, ..] = self.state;
        let above = -a.cos() - (a + b).cos() > 1.0;
        Transition {
            reward: if above { 0.0 } else { -1.0 },
            ended: above || self.time == Self::LIMIT,
        }
    }
}

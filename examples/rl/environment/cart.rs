//! A pole on a cart that moves on a track (Barto, Sutton and Anderson, "Neuronlike adaptive elements that
//! can solve difficult learning control problems", 1983), by Euler steps.

use relax_runtime::Stream;

const GRAVITY: f32 = 9.8;
const CART: f32 = 1.0;
const POLE: f32 = 0.1;
const HALF_LENGTH: f32 = 0.5;
const SECONDS: f32 = 0.02;
const TRACK: f32 = 2.4;
const TILT: f32 = 12.0 * std::f32::consts::PI / 180.0;

/// Position and speed of the cart, angle and angular speed of the pole.
#[derive(Clone, Debug)]
pub(super) struct Cart([f32; 4]);

impl Cart {
    /// Each number uniform in ±0.05.
    pub(super) fn start(stream: &mut Stream) -> Self {
        Self([(); 4].map(|()| 0.1 * stream.uniform() - 0.05))
    }

    pub(super) fn state(&self) -> &[f32; 4] {
        &self.0
    }

    /// Pushes the cart for one step.
    pub(super) fn push(&mut self, force: f32) {
        let [x, speed, angle, turn] = self.0;
        let (sine, cosine) = angle.sin_cos();
        let push = (force + POLE * HALF_LENGTH * turn * turn * sine) / (CART + POLE);
        let swing = (GRAVITY * sine - cosine * push)
            / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine * cosine / (CART + POLE)));
        let acceleration = push - POLE * HALF_LENGTH * swing * cosine / (CART + POLE);
        self.0 = [
            x + SECONDS * speed,
            speed + SECONDS * acceleration,
            angle + SECONDS * turn,
            turn + SECONDS * swing,
        ];
    }

    /// Whether the pole is down or the cart off the track.
    pub(super) fn has_failed(&self) -> bool {
        self.0[0].abs() > TRACK || self.0[2].abs() > TILT
    }
}

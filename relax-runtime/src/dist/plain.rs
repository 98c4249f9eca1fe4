//! Relaxations of plain numbers, for sites at which calling a tensor operation costs more than its
//! arithmetic.

use std::fmt::Debug;

use super::bernoulli::scalar;
use super::{BernoulliRelaxation, CategoricalRelaxation};
use crate::tensor::cpu::math;

/// One number of a draw; all of them are constants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn {
    /// z, the relaxed sample.
    pub z: f32,
    /// b = H(z), the hard one.
    pub b: f32,
    /// p, the mean of b.
    pub p: f32,
    /// κ of [`Relaxation::kappa`](super::Relaxation::kappa).
    pub kappa: f32,
}

impl Drawn {
    /// ∂ log p(b | θ) / ∂θ.
    #[inline]
    pub fn score(&self) -> f32 {
        self.b - self.p
    }
}

/// What a [`Relaxation`](super::Relaxation) computes of tensors, of plain numbers. Each slice holds
/// those of one event; where events are single numbers, of any number of events.
pub trait PlainRelaxation: Debug {
    /// The draw that belongs to θ and noise u.
    fn draw(&self, theta: &[f32], u: &[f32], drawn: &mut [Drawn]);

    /// Kᵀ w, in place of w, for K = ∂(z − z̃)/∂θ under coupled noise.
    fn pull(&self, drawn: &[Drawn], w: &mut [f32]);

    /// K v, in place of v.
    fn push(&self, drawn: &[Drawn], v: &mut [f32]);

    /// (∂p/∂θ)ᵀ w, in place of w.
    fn pull_mean(&self, drawn: &[Drawn], w: &mut [f32]);
}

impl PlainRelaxation for BernoulliRelaxation {
    fn draw(&self, theta: &[f32], u: &[f32], drawn: &mut [Drawn]) {
        for (drawn, (&theta, &u)) in drawn.iter_mut().zip(theta.iter().zip(u)) {
            let z = scalar::relaxed([theta, u]);
            let b = scalar::hard([z]);
            *drawn = Drawn {
                z,
                b,
                p: math::sigmoid(theta),
                kappa: scalar::kappa([theta, u, b]),
            };
        }
    }

    fn pull(&self, drawn: &[Drawn], w: &mut [f32]) {
        for (w, drawn) in w.iter_mut().zip(drawn) {
            *w *= drawn.kappa;
        }
    }

    fn push(&self, drawn: &[Drawn], v: &mut [f32]) {
        self.pull(drawn, v);
    }

    fn pull_mean(&self, drawn: &[Drawn], w: &mut [f32]) {
        for (w, Drawn { p, .. }) in w.iter_mut().zip(drawn) {
            *w *= p * (1.0 - p);
        }
    }
}

/// Σ pᵢ wᵢ.
fn mean(drawn: &[Drawn], w: &[f32]) -> f32 {
    drawn.iter().zip(w).map(|(drawn, w)| drawn.p * w).sum()
}

impl PlainRelaxation for CategoricalRelaxation {
    fn draw(&self, theta: &[f32], u: &[f32], drawn: &mut [Drawn]) {
        let largest = theta.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = theta.iter().map(|theta| math::exp(theta - largest)).sum();
        let log_sum = math::ln(sum) + largest;
        let (mut chosen, mut max) = (0, f32::NEG_INFINITY);
        for (i, (drawn, (&theta, &u))) in drawn.iter_mut().zip(theta.iter().zip(u)).enumerate() {
            let log_p = theta - log_sum;
            let z = log_p - math::ln(-math::ln(scalar::open(u)));
            *drawn = Drawn {
                z,
                b: 0.0,
                p: math::exp(log_p),
                kappa: 0.0,
            };
            if z > max {
                (chosen, max) = (i, z);
            }
        }
        for (i, drawn) in drawn.iter_mut().enumerate() {
            drawn.b = f32::from(u8::from(i == chosen));
            drawn.kappa = math::exp(drawn.z - max);
        }
    }

    fn pull(&self, drawn: &[Drawn], w: &mut [f32]) {
        let mut sum = 0.0;
        for (w, drawn) in w.iter_mut().zip(drawn) {
            *w *= drawn.kappa;
            sum += *w;
        }
        for (w, drawn) in w.iter_mut().zip(drawn) {
            *w -= drawn.p * sum;
        }
    }

    fn push(&self, drawn: &[Drawn], v: &mut [f32]) {
        let mean = mean(drawn, v);
        for (v, drawn) in v.iter_mut().zip(drawn) {
            *v = drawn.kappa * (*v - mean);
        }
    }

    fn pull_mean(&self, drawn: &[Drawn], w: &mut [f32]) {
        let mean = mean(drawn, w);
        for (w, drawn) in w.iter_mut().zip(drawn) {
            *w = drawn.p * (*w - mean);
        }
    }
}

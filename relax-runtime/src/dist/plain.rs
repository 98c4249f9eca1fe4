//! Relaxations of plain numbers, for sites at which calling a tensor operation costs more than its
//! arithmetic.

use std::fmt::Debug;

use super::bernoulli::coin;
use super::categorical::category;
use super::{BernoulliRelaxation, CategoricalRelaxation, Form, noise};
use crate::tensor::native::math;
use crate::tensor::native::rows::{self, dot};

/// The numbers of a draw, as many of each as θ has.
#[derive(Debug)]
pub(crate) struct Drawn<'m> {
    /// z, the relaxed sample.
    pub z: &'m mut [f32],
    /// b = H(z), the hard sample.
    pub b: &'m mut [f32],
    /// p, the mean of b.
    pub p: &'m mut [f32],
    /// b − p, which is ∂ log p(b | θ)/∂θ.
    pub score: &'m mut [f32],
    /// κ of [`Relaxation::kappa`](super::Relaxation::kappa).
    pub kappa: &'m mut [f32],
}

/// What a [`Relaxation`](super::Relaxation) computes on tensors, on plain numbers. Slices have equal length
/// and hold events of `width` numbers each, one after the other.
pub(crate) trait PlainRelaxation: Debug {
    /// The draw that belongs to θ and noise u.
    fn draw(&self, width: usize, theta: &[f32], u: &[f32], drawn: Drawn<'_>);

    /// Kᵀ w, written over w, for K = ∂(z − z̃)/∂θ under coupled noise.
    fn pull(&self, width: usize, p: &[f32], kappa: &[f32], w: &mut [f32]);

    /// K v, written over v.
    fn push(&self, width: usize, p: &[f32], kappa: &[f32], v: &mut [f32]);

    /// (∂p/∂θ)ᵀ w, written over w.
    fn pull_mean(&self, width: usize, p: &[f32], w: &mut [f32]);
}

/// The plain-number version of a form of relaxation, if there is one: it gives the same draws.
pub(crate) fn plain(form: Form) -> Option<&'static dyn PlainRelaxation> {
    match form {
        Form::Coins => Some(&BernoulliRelaxation),
        Form::Categories => Some(&CategoricalRelaxation),
        Form::Gapped | Form::Other => None,
    }
}

vectorised! {
    /// A draw of coins.
    fn draw_coins(theta: &[f32], u: &[f32], drawn: Drawn<'_>) {
        let Drawn { z, b, p, score, kappa } = drawn;
        let outs = z.iter_mut().zip(b).zip(p).zip(score).zip(kappa);
        for (((((z, b), p), score), kappa), (&theta, &u)) in outs.zip(theta.iter().zip(u)) {
            *z = coin::relaxed(theta, u);
            *b = coin::hard(*z);
            *p = math::sigmoid(theta);
            *score = coin::score(theta, *b);
            *kappa = coin::kappa(theta, u, *b);
        }
    }
}

impl PlainRelaxation for BernoulliRelaxation {
    fn draw(&self, _: usize, theta: &[f32], u: &[f32], drawn: Drawn<'_>) {
        draw_coins(theta, u, drawn);
    }

    fn pull(&self, _: usize, _: &[f32], kappa: &[f32], w: &mut [f32]) {
        w.iter_mut().zip(kappa).for_each(|(w, kappa)| *w *= kappa);
    }

    fn push(&self, width: usize, p: &[f32], kappa: &[f32], v: &mut [f32]) {
        self.pull(width, p, kappa, v);
    }

    fn pull_mean(&self, _: usize, p: &[f32], w: &mut [f32]) {
        w.iter_mut().zip(p).for_each(|(w, p)| *w *= p * (1.0 - p));
    }
}

impl PlainRelaxation for CategoricalRelaxation {
    fn draw(&self, width: usize, theta: &[f32], u: &[f32], drawn: Drawn<'_>) {
        let Drawn {
            z,
            b,
            p,
            score,
            kappa,
        } = drawn;
        b.fill(0.0);
        let draws = z.chunks_mut(width).zip(b.chunks_mut(width));
        let rest = p.chunks_mut(width).zip(kappa.chunks_mut(width));
        let given = theta.chunks(width).zip(u.chunks(width));
        for (((z, b), (p, kappa)), (theta, u)) in draws.zip(rest).zip(given) {
            let largest = theta.iter().copied().fold(f32::MIN, f32::max);
            for (p, theta) in p.iter_mut().zip(theta) {
                *p = math::exp(theta - largest);
            }
            // Summed in the order of tensors, so that the draw equals theirs to the last bit.
            let log_sum = math::ln(rows::sum_of_blocks(p)) + largest;
            let (mut chosen, mut max) = (0, f32::NEG_INFINITY);
            for (i, (z, p)) in z.iter_mut().zip(p).enumerate() {
                let log_p = theta[i] - log_sum;
                *p = math::exp(log_p);
                *z = category::relaxed(log_p, noise::each::ln(u[i]));
                if *z > max {
                    (chosen, max) = (i, *z);
                }
            }
            b[chosen] = 1.0;
            for (kappa, z) in kappa.iter_mut().zip(z) {
                *kappa = category::kappa(*z, max);
            }
        }
        for (score, (b, p)) in score.iter_mut().zip(b.iter().zip(&*p)) {
            *score = b - p;
        }
    }

    fn pull(&self, width: usize, p: &[f32], kappa: &[f32], w: &mut [f32]) {
        let events = p.chunks(width).zip(kappa.chunks(width));
        for ((p, kappa), w) in events.zip(w.chunks_mut(width)) {
            w.iter_mut().zip(kappa).for_each(|(w, kappa)| *w *= kappa);
            let sum: f32 = w.iter().sum();
            for (w, p) in w.iter_mut().zip(p) {
                *w = category::projected(*p, *w, sum);
            }
        }
    }

    fn push(&self, width: usize, p: &[f32], kappa: &[f32], v: &mut [f32]) {
        let events = p.chunks(width).zip(kappa.chunks(width));
        for ((p, kappa), v) in events.zip(v.chunks_mut(width)) {
            let mean = dot(p, v);
            for (v, kappa) in v.iter_mut().zip(kappa) {
                *v = kappa * category::centred(*v, mean);
            }
        }
    }

    fn pull_mean(&self, width: usize, p: &[f32], w: &mut [f32]) {
        for (p, w) in p.chunks(width).zip(w.chunks_mut(width)) {
            let mean = dot(p, w);
            for (w, p) in w.iter_mut().zip(p) {
                *w = p * category::centred(*w, mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Relaxation;
    use super::*;
    use crate::error::Result;
    use crate::random::Key;
    use crate::tensor::{Device, Tensor};

    fn assert_near(found: &[f32], wanted: &Tensor) -> Result<()> {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted.to_vec()?) {
            let error = (found - wanted).abs() / (1.0 + wanted.abs());
            assert!(error < 1e-6, "{found} instead of {wanted}");
        }
        Ok(())
    }

    #[test]
    fn the_numbers_are_those_of_tensors() -> Result<()> {
        let (mut stream, device) = (Key::new(7).stream("plain"), Device::cpu());
        let cases: [(&dyn Relaxation, usize); 2] =
            [(&BernoulliRelaxation, 1), (&CategoricalRelaxation, 5)];
        for (relaxation, width) in cases {
            let plain = plain(relaxation.form()).expect("there is one");
            let theta = stream.normals([40, 5], &device)? * 4.0;
            let u = stream.uniforms([40, 5], &device)?;
            let w = stream.normals([40, 5], &device)?;
            let mut numbers = vec![0.0; 5 * 200];
            let mut pieces = numbers.chunks_mut(200);
            let [z, b, p, score, kappa] = std::array::from_fn(|_| pieces.next().expect("five"));
            let drawn = Drawn {
                z,
                b,
                p,
                score,
                kappa,
            };
            plain.draw(width, &theta.to_vec()?, &u.to_vec()?, drawn);

            let hard = relaxation.hard(&relaxation.relaxed(&theta, &u));
            let of_tensors = relaxation.kappa(&theta, &u, &hard);
            assert_near(z, &relaxation.relaxed(&theta, &u))?;
            assert_near(b, &hard)?;
            assert_near(p, &(&hard - relaxation.score(&theta, &hard)))?;
            assert_near(score, &relaxation.score(&theta, &hard))?;
            assert_near(kappa, &of_tensors)?;
            let given = w.to_vec()?;
            let changed = |change: &dyn Fn(&mut [f32])| {
                let mut numbers = given.clone();
                change(&mut numbers);
                numbers
            };
            let pulled = changed(&|w| plain.pull(width, p, kappa, w));
            assert_near(&pulled, &relaxation.pull(&theta, &of_tensors, &w))?;
            let pushed = changed(&|w| plain.push(width, p, kappa, w));
            assert_near(&pushed, &relaxation.push(&theta, &of_tensors, &w))?;
            let mean = |theta: &Tensor| relaxation.squash(theta, &Tensor::scalar(1.0));
            let leaf = theta.leaf();
            let by_theta = crate::tensor::grad(&[(&mean(&leaf), Some(&w))], &[&leaf])?;
            assert_near(&changed(&|w| plain.pull_mean(width, p, w)), &by_theta[0])?;
        }
        Ok(())
    }

    /// A site's size decides whether it is drawn by plain numbers or by tensors, and should not decide which draw is
    /// near a tie.
    #[test]
    fn relaxed_draws_are_those_of_tensors_to_the_last_bit() -> Result<()> {
        let (mut stream, device) = (Key::new(8).stream("plain"), Device::cpu());
        let theta = stream.normals([200, 5], &device)? * 4.0;
        let u = stream.uniforms([200, 5], &device)? * 2.0 - 1.0;
        assert!(
            u.to_vec()?.iter().any(|u| (-0.2..0.0).contains(u)),
            "near 1 too"
        );
        let mut numbers = vec![0.0; 5 * 1_000];
        let mut pieces = numbers.chunks_mut(1_000);
        let [z, b, p, score, kappa] = std::array::from_fn(|_| pieces.next().expect("five"));
        let plain = plain(CategoricalRelaxation.form()).expect("there is one");
        let drawn = Drawn {
            z: &mut *z,
            b,
            p,
            score,
            kappa,
        };
        plain.draw(5, &theta.to_vec()?, &u.to_vec()?, drawn);
        assert_eq!(*z, CategoricalRelaxation.relaxed(&theta, &u).to_vec()?);
        Ok(())
    }
}

//! Counter-based random streams: every number is a function of (seed, step, particle, site).

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::error::Result;
use crate::tensor::cpu::memory;
use crate::tensor::cpu::threads::{fill, rows_a_share};
use crate::tensor::{Device, Shape, Tensor};

/// Where a run stands in the random numbers: nothing is drawn from shared state, so results depend
/// on neither the thread count nor the order in which sites are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The user's seed.
    pub seed: u64,
    /// Optimisation step, or index of the draw.
    pub step: u64,
    /// Particle within the step.
    pub particle: u64,
}

impl Key {
    /// The key of the first step and particle of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            step: 0,
            particle: 0,
        }
    }

    /// The stream of one purpose, such as a site's name.
    pub fn stream(self, purpose: &str) -> Stream {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.step.to_le_bytes());
        seed[16..24].copy_from_slice(&self.particle.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(fnv1a(purpose));
        Stream(rng)
    }
}

/// So few numbers need no memory of their own on their way into a tensor.
const FEW: usize = 4;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// A uniform number in the open interval (0, 1): a multiple of 2⁻²⁴ that is neither 0 nor 1,
    /// so that its logit and its Gumbel transform are finite.
    pub fn uniform(&mut self) -> f32 {
        ((self.0.next_u32() >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
    }

    /// A uniform number in (0, 1) with 53 bits.
    pub fn uniform_f64(&mut self) -> f64 {
        ((self.0.next_u64() >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// A uniform integer below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// A tensor of [`uniform`](Self::uniform) numbers.
    #[track_caller]
    pub fn uniforms(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("uniforms")?;
        let len = shape.numel();
        if len <= FEW && *device == Device::cpu() {
            let mut few = [0.0; FEW];
            few[..len].iter_mut().for_each(|u| *u = self.uniform());
            return Ok(Tensor::of_numbers(&few[..len], shape));
        }
        let mut values = memory::take(len);
        let least = rows_a_share(1);
        if values.len() < 2 * least {
            values.iter_mut().for_each(|u| *u = self.uniform());
        } else {
            // Each thread counts from where its first number is in the stream.
            let (rng, first) = (&self.0, self.0.get_word_pos());
            fill([(&mut values, 1)], least, |range, [values]| {
                let mut part = Self(rng.clone());
                part.0.set_word_pos(first + range.start as u128);
                values.iter_mut().for_each(|u| *u = part.uniform());
            });
            self.0.set_word_pos(first + values.len() as u128);
        }
        Tensor::from_vec(values, shape, device)
    }

    /// A tensor of [`normal`](Self::normal) numbers.
    #[track_caller]
    pub fn normals(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("normals")?;
        let values = (0..shape.numel()).map(|_| self.normal() as f32).collect();
        Tensor::from_vec(values, shape, device)
    }
}

/// FNV-1a, 64 bits: spreads site names over stream numbers.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_part_of_the_key() {
        let first = |key: Key, purpose: &str| key.stream(purpose).uniform();
        let key = Key::new(1);
        let same = first(key, "h");
        assert_eq!(same, first(key, "h"));
        for other in [
            Key { seed: 2, ..key },
            Key { step: 1, ..key },
            Key { particle: 1, ..key },
        ] {
            assert_ne!(same, first(other, "h"));
        }
        assert_ne!(same, first(key, "g"));
    }

    #[test]
    fn tensors_of_uniforms_are_the_streams_numbers_in_their_order() -> Result<()> {
        let mut stream = Key::new(1).stream("h");
        let mut one_by_one = stream.clone();
        assert_eq!(stream.uniform(), one_by_one.uniform());
        for len in [3, 50_000, 7, FEW] {
            let tensor = stream.uniforms(len, &Device::cpu())?.to_vec()?;
            assert!(tensor.into_iter().all(|u| u == one_by_one.uniform()));
        }
        assert_eq!(stream.uniform(), one_by_one.uniform());
        Ok(())
    }

    #[test]
    fn uniforms_stay_inside_the_open_interval() {
        let largest = ((u32::MAX >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0);
        let smallest = 0.5f32 * (1.0 / 8_388_608.0);
        assert!(largest < 1.0 && smallest > 0.0);
    }
}

//! Counter-based random streams: every number is a function of (seed, step, particle, site).

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::error::Result;
use crate::tensor::native::memory;
use crate::tensor::native::threads::{fill, rows_a_share};
use crate::tensor::{Device, Shape, Tensor};

/// A run's position in the random numbers: nothing is drawn from shared state, so results depend
/// on neither the thread count nor the order in which sites are visited.
///
/// ```
/// use relax_runtime::Key;
///
/// let key = Key::new(7);
/// assert_eq!(key.stream("b").uniform(), key.stream("b").uniform());
/// let next = Key { step: 1, ..key };
/// assert_ne!(key.stream("b").uniform(), next.stream("b").uniform());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The user's seed.
    pub seed: u64,
    /// Optimization step, or index of the draw.
    pub step: u64,
    /// Particle within the step.
    pub particle: u64,
}

impl Key {
    /// The particle of evaluations by which a fit finds out where to start: no step has it.
    pub(crate) const LOOK: u64 = 1 << 34;

    /// The key of the first step and particle of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            step: 0,
            particle: 0,
        }
    }

    /// The stream for one purpose, such as a site's name.
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

/// Up to this many numbers need no buffer of their own on their way into a tensor.
const FEW: usize = 4;

/// A stream of random numbers, which a [`Key`] gives for each purpose.
///
/// ```
/// use relax_runtime::{Device, Key};
///
/// # fn main() -> relax_runtime::Result<()> {
/// let mut stream = Key::new(1).stream("noise");
/// let u = stream.uniforms([2, 3], &Device::cpu())?;
/// assert_eq!(u.shape().to_vec(), [2, 3]);
/// assert!(u.to_vec()?.iter().all(|&u| 0.0 < u && u < 1.0));
/// assert!(stream.below(6) < 6);
/// # Ok(())
/// # }
/// ```
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

    /// A [`uniform`](Self::uniform) number modulo 1, as [`noise`](crate::dist::noise): within 2⁻¹³ of
    /// 0 and 1 it has 64 bits, so that choices of any probability down to 10⁻¹⁵ are as frequent as they
    /// should be.
    pub fn noise_number(&mut self) -> f32 {
        const TAIL: u32 = 1 << 10;
        const LAST: u32 = u32::MAX >> 9;
        let word = self.0.next_u32();
        let step = word >> 9;
        match step {
            ..TAIL => self.fine(word),
            _ if step > LAST - TAIL => -self.fine(!word),
            _ => (step as f32 + 0.5) * (1.0 / 8_388_608.0),
        }
    }

    /// The number near 0 that begins with the last word, and continues with one of a parallel stream.
    #[cold]
    fn fine(&self, word: u32) -> f32 {
        const BESIDE: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut beside = self.0.clone();
        beside.set_stream(self.0.get_stream() ^ BESIDE);
        beside.set_word_pos(self.0.get_word_pos());
        let bits = (u64::from(word) << 32) | u64::from(beside.next_u32());
        ((bits as f64 + 0.5) * (1.0 / 18_446_744_073_709_551_616.0)) as f32
    }

    /// A tensor of [`uniform`](Self::uniform) numbers.
    ///
    /// # Errors
    /// If no memory could hold the shape.
    #[track_caller]
    pub fn uniforms(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("uniforms")?;
        self.word_each(shape, device, Self::uniform)
    }

    /// A tensor of [`noise_number`](Self::noise_number)s, with which discrete laws are drawn.
    ///
    /// # Errors
    /// If no memory could hold the shape.
    #[track_caller]
    pub fn noise(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("noise")?;
        self.word_each(shape, device, Self::noise_number)
    }

    /// A tensor of numbers that each take a word of the stream.
    fn word_each(
        &mut self,
        shape: Shape,
        device: &Device,
        number: impl Fn(&mut Self) -> f32 + Sync,
    ) -> Result<Tensor> {
        let len = shape.numel();
        if len <= FEW && *device == Device::cpu() {
            let mut few = [0.0; FEW];
            few[..len].iter_mut().for_each(|u| *u = number(self));
            return Ok(Tensor::of_numbers(&few[..len], shape));
        }
        let mut values = memory::take(len);
        let least = rows_a_share(1);
        if values.len() < 2 * least {
            values.iter_mut().for_each(|u| *u = number(self));
        } else {
            // Each thread counts from where its first number is in the stream.
            let (rng, first) = (&self.0, self.0.get_word_pos());
            fill([(&mut values, 1)], least, |range, [values]| {
                let mut part = Self(rng.clone());
                part.0.set_word_pos(first + range.start as u128);
                values.iter_mut().for_each(|u| *u = number(&mut part));
            });
            self.0.set_word_pos(first + values.len() as u128);
        }
        Tensor::from_vec(values, shape, device)
    }

    /// A tensor of [`normal`](Self::normal) numbers.
    ///
    /// # Errors
    /// If no memory could hold the shape.
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
            let tensor = stream.noise(len, &Device::cpu())?.to_vec()?;
            assert!(tensor.into_iter().all(|n| n == one_by_one.noise_number()));
        }
        assert_eq!(stream.uniform(), one_by_one.uniform());
        Ok(())
    }

    #[test]
    fn noise_is_the_uniform_number_with_finer_ends() {
        let (mut plain, mut fine) = (Key::new(1).stream("h"), Key::new(1).stream("h"));
        let mut ends = [0, 0];
        for _ in 0..1_000_000 {
            let (u, n) = (plain.uniform(), fine.noise_number());
            let (whole, end) = if n < 0.0 {
                (1.0 + f64::from(n), 1)
            } else {
                (f64::from(n), 0)
            };
            assert!((whole - f64::from(u)).abs() <= 1.0 / 8_388_608.0);
            if n.abs() > 1.0 / 8_192.0 {
                assert_eq!(u, n);
            } else {
                ends[end] += 1;
            }
        }
        // 122 of each are expected.
        assert!(
            ends.iter().all(|count| (80..170).contains(count)),
            "{ends:?}"
        );
    }

    /// How many of 2³² numbers show the rare side of a choice, whose noise is `sign` times a number
    /// near 0: counted over the first words, with many continuations each.
    fn rare_words(words: u32, sign: f32, rare: impl Fn(&Tensor) -> Result<Tensor>) -> Result<f64> {
        const CONTINUATIONS: usize = 500;
        let mut stream = Key::new(5).stream("rare");
        let mut noise = Vec::new();
        for word in 0..words {
            for _ in 0..CONTINUATIONS {
                stream.0.next_u32();
                noise.push(sign * stream.fine(word));
            }
        }
        let shown = rare(&Tensor::from_slice(&noise))?.sum_all().item()?;
        Ok(f64::from(shown) / CONTINUATIONS as f64)
    }

    #[test]
    fn rare_sides_are_as_frequent_as_they_are_likely() -> Result<()> {
        use crate::dist::{Bernoulli, BernoulliRelaxation, CategoricalRelaxation, Law, Relaxation};
        for logit in [16.0, 18.0, 20.0_f32] {
            let expected = 4_294_967_296.0 / (1.0 + f64::from(logit).exp());
            let words = 2 * expected as u32 + 4;
            for sign in [1.0, -1.0] {
                // Of logit 20 the side 0 is rare, of −20 the side 1.
                let theta = Tensor::scalar(sign * logit);
                let coin = Bernoulli::logits(&theta)?;
                let shown = rare_words(words, sign, |noise| {
                    let drawn = coin.draw(noise);
                    let kappa = BernoulliRelaxation.kappa(&theta, noise, &drawn);
                    assert!(kappa.to_vec()?.iter().all(|k| (0.0..=1.0).contains(k)));
                    Ok(if sign > 0.0 { 1.0 - drawn } else { drawn })
                })?;
                let error = (shown - expected).abs() / expected;
                assert!(error < 0.01, "logit {}: off by {error}", sign * logit);
            }
        }
        // The second category wins where its noise is near 1, the more so the nearer the first one's
        // is to 0.
        const GRID: usize = 200;
        let theta = Tensor::from_slice(&[20.0, 0.0]);
        let expected = 4_294_967_296.0 * (-20.0_f64).exp();
        let mut shown = 0.0;
        for i in 0..GRID {
            let first = (i as f32 + 0.5) / GRID as f32;
            let words = 2 * (expected * f64::from(-first.ln())) as u32 + 4;
            shown += rare_words(words, -1.0, |noise| {
                let pairs = Tensor::stack(&[&noise.full_like(first), noise], -1);
                let z = CategoricalRelaxation.relaxed(&theta, &pairs);
                Ok(CategoricalRelaxation.hard(&z).index(-1, 1))
            })?;
        }
        let error = (shown / GRID as f64 - expected).abs() / expected;
        assert!(error < 0.02, "category: off by {error}");
        Ok(())
    }

    #[test]
    fn uniforms_stay_inside_the_open_interval() {
        let largest = ((u32::MAX >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0);
        let smallest = 0.5f32 * (1.0 / 8_388_608.0);
        assert!(largest < 1.0 && smallest > 0.0);
    }
}

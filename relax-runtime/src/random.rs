//! Counter-based random streams: every number is a function of (seed, step, particle, site).

use std::convert::Infallible;

use rand::rand_core::utils;
use rand::{Rng as _, SeedableRng as _, TryRng};
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
        Stream(Words::new(
            [self.seed, self.step, self.particle, 0],
            fnv1a(purpose),
        ))
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(Words);

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
    pub fn uniforms(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("uniforms")?;
        let mut values = memory::take(shape.numel());
        let least = rows_a_share(1);
        if values.len() < 2 * least {
            values.iter_mut().for_each(|u| *u = self.uniform());
        } else {
            // Each thread counts from where its first number is in the stream.
            let (words, first) = (&self.0, self.0.position());
            fill([(&mut values, 1)], least, |range, [values]| {
                let mut part = Self(words.clone());
                part.0.set_position(first + range.start as u128);
                values.iter_mut().for_each(|u| *u = part.uniform());
            });
            self.0.set_position(first + values.len() as u128);
        }
        Tensor::from_vec(values, shape, device)
    }

    /// A tensor of [`normal`](Self::normal) numbers.
    pub fn normals(&mut self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into().in_memory("normals")?;
        let values = (0..shape.numel()).map(|_| self.normal() as f32).collect();
        Tensor::from_vec(values, shape, device)
    }
}

/// The words of [`ChaCha8Rng`]. Most streams give a few numbers only, for which its four blocks at
/// once are too many: the first block is made here.
#[derive(Clone, Debug)]
struct Words {
    key: [u64; 4],
    stream: u64,
    first: [u32; Self::BLOCK],
    /// How many of them were taken.
    taken: usize,
    /// What follows the first block.
    rest: Option<Box<ChaCha8Rng>>,
}

impl Words {
    const BLOCK: usize = 16;

    fn new(key: [u64; 4], stream: u64) -> Self {
        Self {
            key,
            stream,
            first: first_block(key, stream),
            taken: 0,
            rest: None,
        }
    }

    /// How many words were taken.
    fn position(&self) -> u128 {
        match &self.rest {
            Some(rest) => rest.get_word_pos(),
            None => self.taken as u128,
        }
    }

    fn set_position(&mut self, position: u128) {
        self.taken = position.min(Self::BLOCK as u128) as usize;
        match self.taken {
            Self::BLOCK => self.rest().set_word_pos(position),
            _ => self.rest = None,
        }
    }

    fn rest(&mut self) -> &mut ChaCha8Rng {
        self.rest.get_or_insert_with(|| {
            let mut seed = [0; 32];
            for (bytes, word) in seed.chunks_exact_mut(8).zip(self.key) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            let mut rest = ChaCha8Rng::from_seed(seed);
            rest.set_stream(self.stream);
            rest.set_word_pos(Self::BLOCK as u128);
            Box::new(rest)
        })
    }
}

impl TryRng for Words {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let Some(&word) = self.first.get(self.taken) else {
            return Ok(self.rest().next_u32());
        };
        self.taken += 1;
        Ok(word)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let (low, high) = (self.next_u32(), self.next_u32());
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        utils::fill_bytes_via_next_word(bytes, || self.try_next_u32())
    }
}

/// The block of ChaCha8 at counter 0 (Bernstein 2008), its state by rows.
fn first_block(key: [u64; 4], stream: u64) -> [u32; Words::BLOCK] {
    type Rows = [[u32; 4]; 4];
    const fn row(low: u64, high: u64) -> [u32; 4] {
        [
            low as u32,
            (low >> 32) as u32,
            high as u32,
            (high >> 32) as u32,
        ]
    }
    /// `x += y`, and `z` exclusive or `x`, turned left by `bits`.
    #[inline(always)]
    fn mix(x: &mut [u32; 4], y: [u32; 4], z: &mut [u32; 4], bits: u32) {
        for i in 0..4 {
            x[i] = x[i].wrapping_add(y[i]);
            z[i] = (z[i] ^ x[i]).rotate_left(bits);
        }
    }
    /// A round on each column.
    #[inline(always)]
    fn round([mut a, mut b, mut c, mut d]: Rows) -> Rows {
        mix(&mut a, b, &mut d, 16);
        mix(&mut c, d, &mut b, 12);
        mix(&mut a, b, &mut d, 8);
        mix(&mut c, d, &mut b, 7);
        [a, b, c, d]
    }
    #[inline(always)]
    fn turned<const BY: usize>(x: [u32; 4]) -> [u32; 4] {
        [x[BY % 4], x[(BY + 1) % 4], x[(BY + 2) % 4], x[(BY + 3) % 4]]
    }
    let start: Rows = [
        [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574],
        row(key[0], key[1]),
        row(key[2], key[3]),
        row(0, stream),
    ];
    let mut rows = start;
    for _ in 0..4 {
        let [a, b, c, d] = round(rows);
        // Columns of these are the diagonals.
        let [a, b, c, d] = round([a, turned::<1>(b), turned::<2>(c), turned::<3>(d)]);
        rows = [a, turned::<3>(b), turned::<2>(c), turned::<1>(d)];
    }
    for (row, start) in rows.iter_mut().zip(start) {
        for (x, start) in row.iter_mut().zip(start) {
            *x = x.wrapping_add(start);
        }
    }
    let mut words = [0; Words::BLOCK];
    words.copy_from_slice(rows.as_flattened());
    words
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
    fn words_are_those_of_chacha8() {
        for (key, stream) in [([1, 0, 0, 0], 3), ([u64::MAX, 7, 1 << 40, 0], u64::MAX - 5)] {
            let mut seed = [0; 32];
            for (bytes, word) in seed.chunks_exact_mut(8).zip(key) {
                bytes.copy_from_slice(&u64::to_le_bytes(word));
            }
            let mut theirs = ChaCha8Rng::from_seed(seed);
            theirs.set_stream(stream);
            let mut ours = Words::new(key, stream);
            // An odd number of words before a long one that crosses from block to block.
            for i in 0..200 {
                match i % 3 {
                    0 => assert_eq!(ours.next_u32(), theirs.next_u32(), "{i}"),
                    _ => assert_eq!(ours.next_u64(), theirs.next_u64(), "{i}"),
                }
            }
        }
    }

    #[test]
    fn tensors_of_uniforms_are_the_streams_numbers_in_their_order() -> Result<()> {
        let mut stream = Key::new(1).stream("h");
        let mut one_by_one = stream.clone();
        assert_eq!(stream.uniform(), one_by_one.uniform());
        for len in [3, 50_000, 7] {
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

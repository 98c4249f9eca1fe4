//! Other draws in some rows of a plate: what the remaining rows show then is of their own draws, or of these.

use std::borrow::Cow;
use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::Pass;
use crate::dist::Number;
use crate::error::Result;
use crate::model::Plate;
use crate::random::Key;
use crate::tensor::{Shape, Tensor};

/// Rows of a plate, and of those around it, whose choices are drawn with other noise.
#[derive(Debug)]
pub struct OtherRows {
    plates: Rc<[Plate]>,
    /// The choices in these plates, by name: a guide may draw them in plates of its own.
    sites: Rc<FxHashSet<Cow<'static, str>>>,
    /// For each row whether its draws are others.
    others: Vec<bool>,
}

impl OtherRows {
    /// The trials for the choices of `pass` in `plates`: among them, any row is once drawn anew while a given other one
    /// is not, for certain if there are few rows, and mostly if there are many.
    pub(in crate::infer) fn trials(pass: &Pass, plates: &Rc<[Plate]>, key: Key) -> Vec<Self> {
        /// Number of bits by which rows are told apart; each takes two evaluations.
        const MOST_BITS: u32 = 4;
        let rows: usize = plates.iter().map(|plate| plate.size).product();
        let bits = rows.next_power_of_two().trailing_zeros();
        let mut stream = key.stream("rows");
        let code = |row: usize| match bits <= MOST_BITS {
            true => row,
            false => stream.below(1 << MOST_BITS),
        };
        let codes: Vec<usize> = (0..rows).map(code).collect();
        let within = pass.latents.iter().filter(|l| is_within(&l.plates, plates));
        let sites: Rc<FxHashSet<_>> = Rc::new(within.map(|latent| latent.name.clone()).collect());
        let sides = (0..bits.min(MOST_BITS)).flat_map(|bit| [(bit, 0), (bit, 1)]);
        sides
            .map(|(bit, side)| Self {
                plates: Rc::clone(plates),
                sites: Rc::clone(&sites),
                others: codes.iter().map(|code| (code >> bit) & 1 == side).collect(),
            })
            .collect()
    }

    /// The noise of a site: in some rows another than that of `key`, for another draw if one is found. `noise` makes
    /// it, and `draw` draws with it.
    ///
    /// # Errors
    /// If noise cannot be made.
    pub(in crate::infer) fn noise(
        &self,
        site: &str,
        key: Key,
        noise: impl Fn(Key) -> Result<Tensor>,
        draw: impl Fn(&Tensor) -> Tensor,
    ) -> Result<Tensor> {
        /// Belong to no particle.
        const APART: u64 = u64::MAX - (1 << 20);
        const TRIES: u64 = 8;
        let own = noise(key)?;
        let value = draw(&own);
        let has_rows = self.has_rows(own.check()?.shape()) && self.has_rows(value.check()?.shape());
        if !self.sites.contains(site) || !has_rows {
            return Ok(own);
        }
        let (mut numbers, value) = (own.peek()?, value.peek()?);
        let mut left = self.others.clone();
        for particle in APART..APART + TRIES {
            let other = noise(Key { particle, ..key })?;
            let other_value = draw(&other);
            if other.check()?.shape() != own.shape() {
                break;
            }
            let (other, other_value) = (other.peek()?, other_value.peek()?);
            for (row, left) in left.iter_mut().enumerate().filter(|(_, left)| **left) {
                self.row_mut(&mut numbers, row)
                    .copy_from_slice(self.row(&other, row));
                *left = self.row(&value, row) == self.row(&other_value, row);
            }
            if !left.contains(&true) {
                break;
            }
        }
        Tensor::from_vec(numbers, own.shape(), &own.device())
    }

    fn row<'a>(&self, numbers: &'a [f32], row: usize) -> &'a [f32] {
        let width = numbers.len() / self.others.len();
        &numbers[row * width..(row + 1) * width]
    }

    fn row_mut<'a>(&self, numbers: &'a mut [f32], row: usize) -> &'a mut [f32] {
        let width = numbers.len() / self.others.len();
        &mut numbers[row * width..(row + 1) * width]
    }

    /// Where rows that kept their draws have other numbers in `pass` than in `before`: the name of the term or choice
    /// there, and the choice behind it.
    ///
    /// # Errors
    /// If a term or a law carries an error.
    pub(in crate::infer) fn tied(
        &self,
        before: &Pass,
        pass: &Pass,
    ) -> Result<Option<(usize, Tied)>> {
        let is_same = before.latents.len() == pass.latents.len()
            && before.terms.len() == pass.terms.len()
            && before
                .latents
                .iter()
                .zip(&pass.latents)
                .all(|(a, b)| a.name == b.name);
        if !is_same {
            return Ok(None);
        }
        let source = |depends: &dyn Fn(usize) -> bool| {
            let all = before.latents.iter().enumerate();
            let mut behind =
                all.filter(|(place, l)| is_within(&l.plates, &self.plates) && depends(*place));
            behind.next().map(|(place, _)| place)
        };
        for (place, (latent, now)) in before.latents.iter().zip(&pass.latents).enumerate() {
            if !is_within(&latent.plates, &self.plates) {
                continue;
            }
            let Some(site) = source(&|at| latent.depends_on.contains(at)) else {
                continue;
            };
            let parameters = latent.law.parameters().into_iter();
            for (a, b) in parameters.zip(now.law.parameters()) {
                if self.differ(&a, &b)? {
                    return Ok(Some((site, Tied::Choice(place))));
                }
            }
        }
        for (number, (term, now)) in before.terms.iter().zip(&pass.terms).enumerate() {
            if term.name != now.name || !is_within(&term.plates, &self.plates) {
                continue;
            }
            let Some(site) = source(&|at| term.sites.contains(at)) else {
                continue;
            };
            if let (Number::Tensor(a), Number::Tensor(b)) = (&term.value, &now.value)
                && self.differ(a, b)?
            {
                return Ok(Some((site, Tied::Term(number))));
            }
        }
        Ok(None)
    }

    /// Whether rows that kept their draws have other numbers.
    fn differ(&self, before: &Tensor, now: &Tensor) -> Result<bool> {
        if before.check()?.shape() != now.check()?.shape() || !self.has_rows(before.shape()) {
            return Ok(false);
        }
        let (before, now) = (before.peek()?, now.peek()?);
        let mut kept = (0..self.others.len()).filter(|&row| !self.others[row]);
        Ok(kept.any(|row| {
            let mut pairs = self.row(&before, row).iter().zip(self.row(&now, row));
            pairs.any(|(&a, &b)| !is_rounding(a.into(), b.into()))
        }))
    }

    /// Whether the first axes are those of the plates.
    fn has_rows(&self, shape: Shape) -> bool {
        let sizes = self.plates.iter().map(|plate| plate.size);
        shape.rank() >= self.plates.len() && sizes.eq(shape.iter().copied().take(self.plates.len()))
    }
}

/// What depends on other rows, by its place.
pub(in crate::infer) enum Tied {
    Choice(usize),
    Term(usize),
}

/// Whether rows of `plates` are rows of the first of `around`.
fn is_within(around: &[Plate], plates: &[Plate]) -> bool {
    let pairs = around.iter().zip(plates);
    around.len() >= plates.len()
        && pairs.take_while(|(a, b)| a.same_rows(b)).count() == plates.len()
}

/// Whether numbers that were computed for all rows at once in single precision may be one number.
pub(in crate::infer) fn is_rounding(a: f64, b: f64) -> bool {
    const RELATIVE: f64 = 1e-5;
    const ABSOLUTE: f64 = 1e-3;
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= ABSOLUTE + RELATIVE * b.abs()
}

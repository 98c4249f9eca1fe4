//! Other draws in some rows of a plate: where other rows then show other numbers, they depend on these.

use std::borrow::Cow;
use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::{Latent, Pass};
use crate::dist::Number;
use crate::error::Result;
use crate::model::{Plate, within};
use crate::random::Key;
use crate::tensor::{Shape, SiteSet, Tensor};

/// Rows of a plate, and of those around it, in which choices have other draws.
#[derive(Debug)]
pub struct OtherRows {
    plates: Rc<[Plate]>,
    /// The choices that are drawn anew there, by name: a guide may draw them in plates of its own.
    sites: Rc<FxHashSet<Cow<'static, str>>>,
    /// For each row whether its draws are others.
    others: Vec<bool>,
}

impl OtherRows {
    /// Trials with other draws of some choices of `pass` in `plates`: among them, any row is once drawn anew while a
    /// given other one is not, for certain if there are few rows, and mostly if there are many. Choices that follow
    /// have the same noise as before.
    pub(in crate::infer) fn trials(
        pass: &Pass,
        plates: &Rc<[Plate]>,
        key: Key,
        is_chosen: &dyn Fn(&Latent) -> bool,
    ) -> Vec<Self> {
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
        let is_here = |latent: &&Latent| within(&latent.plates, plates) && is_chosen(latent);
        let here = pass.latents.iter().filter(is_here);
        let sites: Rc<FxHashSet<_>> = Rc::new(here.map(|latent| latent.name.clone()).collect());
        let sides = (0..bits.min(MOST_BITS)).flat_map(|bit| [(bit, 0), (bit, 1)]);
        sides
            .map(|(bit, side)| Self {
                plates: Rc::clone(plates),
                sites: Rc::clone(&sites),
                others: codes.iter().map(|code| (code >> bit) & 1 == side).collect(),
            })
            .collect()
    }

    /// The draw of a site, which in some rows is replaced by another one if there is one among a few. `draw` draws with
    /// the noise of a key.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub(in crate::infer) fn value(
        &self,
        site: &str,
        key: Key,
        draw: impl Fn(Key) -> Result<Tensor>,
    ) -> Result<Tensor> {
        /// Belong to no particle.
        const APART: u64 = u64::MAX - (1 << 20);
        const TRIES: u64 = 8;
        let own = draw(key)?;
        if !self.sites.contains(site) || !self.has_rows(own.check()?.shape()) {
            return Ok(own);
        }
        let before = own.peek()?;
        let mut values = before.clone();
        let mut left = self.others.clone();
        for particle in APART..APART + TRIES {
            let other = draw(Key { particle, ..key })?;
            if other.check()?.shape() != own.shape() {
                break;
            }
            let other = other.peek()?;
            for (row, left) in left.iter_mut().enumerate().filter(|(_, left)| **left) {
                *left = self.row(&before, row) == self.row(&other, row);
                self.row_mut(&mut values, row)
                    .copy_from_slice(self.row(&other, row));
            }
            if !left.contains(&true) {
                break;
            }
        }
        Tensor::from_vec(values, own.shape(), &own.device())
    }

    fn row<'a>(&self, numbers: &'a [f32], row: usize) -> &'a [f32] {
        let width = numbers.len() / self.others.len();
        &numbers[row * width..(row + 1) * width]
    }

    fn row_mut<'a>(&self, numbers: &'a mut [f32], row: usize) -> &'a mut [f32] {
        let width = numbers.len() / self.others.len();
        &mut numbers[row * width..(row + 1) * width]
    }

    /// Where rows that kept their draws have other numbers in `pass` than in `before`: the place of a choice behind it,
    /// and what has other numbers.
    ///
    /// # Errors
    /// If a term or a law carries an error.
    pub(in crate::infer) fn tied(
        &self,
        before: &Pass,
        pass: &Pass,
    ) -> Result<Option<(usize, Tied)>> {
        let (were, are) = (&before.latents, &pass.latents);
        let pairs = || were.iter().zip(are);
        let is_same = were.len() == are.len() && before.terms.len() == pass.terms.len();
        if !is_same || pairs().any(|(was, is)| was.name != is.name) {
            return Ok(None);
        }
        for (place, (was, is)) in pairs().enumerate() {
            let here = within(&was.plates, &self.plates);
            let parameters = || was.law.parameters().into_iter().zip(is.law.parameters());
            if here
                && self.any_differs(parameters())?
                && let Some(behind) = self.chosen(were, &was.depends_on)
            {
                return Ok(Some((behind, Tied::Choice(place))));
            }
        }
        for (number, (was, is)) in before.terms.iter().zip(&pass.terms).enumerate() {
            if let (Number::Tensor(a), Number::Tensor(b)) = (&was.value, &is.value)
                && was.name == is.name
                && within(&was.plates, &self.plates)
                && self.any_differs([(a.clone(), b.clone())])?
                && let Some(behind) = self.chosen(were, &was.sites)
            {
                return Ok(Some((behind, Tied::Term(number))));
            }
        }
        Ok(None)
    }

    /// The first choice drawn anew among some.
    fn chosen(&self, latents: &[Latent], among: &SiteSet) -> Option<usize> {
        let mut all = latents.iter().enumerate();
        let found = all.find(|(place, l)| among.contains(*place) && self.sites.contains(&l.name));
        found.map(|(place, _)| place)
    }

    fn any_differs(&self, pairs: impl IntoIterator<Item = (Tensor, Tensor)>) -> Result<bool> {
        for (a, b) in pairs {
            if self.differ(&a, &b)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether rows that kept their draws have other numbers.
    fn differ(&self, before: &Tensor, now: &Tensor) -> Result<bool> {
        if before.check()?.shape() != now.check()?.shape() || !self.has_rows(before.shape()) {
            return Ok(false);
        }
        let (before, now) = (before.peek()?, now.peek()?);
        let scale = scale_of(before.iter().map(|&x| x.into()));
        let mut kept = (0..self.others.len()).filter(|&row| !self.others[row]);
        Ok(kept.any(|row| {
            let mut pairs = self.row(&before, row).iter().zip(self.row(&now, row));
            pairs.any(|(&a, &b)| !is_rounding(a.into(), b.into(), scale))
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

/// Whether two numbers may be one, computed for all rows at once in single precision; `scale` is that of such numbers.
pub(in crate::infer) fn is_rounding(a: f64, b: f64, scale: f64) -> bool {
    const RELATIVE: f64 = 1e-5;
    const ABSOLUTE: f64 = 1e-3;
    let both = |is: fn(f64) -> bool| is(a) && is(b);
    a == b
        || both(f64::is_nan)
        || (both(f64::is_finite) && (a - b).abs() <= ABSOLUTE * scale.min(1.0) + RELATIVE * b.abs())
}

/// The largest magnitude of the finite among some numbers.
pub(in crate::infer) fn scale_of(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers
        .filter(|x| x.is_finite())
        .fold(0.0, |scale, x| scale.max(x.abs()))
}

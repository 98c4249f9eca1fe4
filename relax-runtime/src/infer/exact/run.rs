//! One combination of values: its probability per row, and the values of its terms.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::dist::Number;
use crate::error::Result;
use crate::infer::pass::{Latent, Pass, Term};
use crate::model::Plate;
use crate::tensor::{Device, Shape, Tensor};

/// One combination of values.
pub(super) struct Run<'a> {
    pub(super) pass: &'a Pass,
    pub(super) in_step: bool,
    /// For each latent ln q of its value, one number per row.
    pub(super) log_masses: Vec<Tensor>,
    /// The weight of every term, if no row has its own.
    pub(super) common: Option<Weight>,
}

/// The probability of a combination, one number per row.
#[derive(Clone)]
pub(super) struct Weight {
    pub(super) probability: Tensor,
    /// 1 in rows where it is exactly 0 and not just too small for an f32, if there are any.
    pub(super) impossible: Option<Tensor>,
}

impl Weight {
    pub(super) fn of(log_probability: &Tensor) -> Result<Self> {
        let never = |x: &[f32]| x.contains(&f32::NEG_INFINITY);
        let impossible = log_probability.with_values(never)?;
        Ok(Self {
            probability: log_probability.exp(),
            impossible: impossible.then(|| log_probability.le(f32::NEG_INFINITY)),
        })
    }

    /// The share of a value in an expectation: 0 where the combination is impossible.
    pub(super) fn share(&self, value: &Tensor) -> Tensor {
        match &self.impossible {
            None => &self.probability * value,
            Some(impossible) => {
                let possible = impossible.select_where(&value.zeros_like(), value);
                &self.probability * possible
            }
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(pass: &'a Pass, in_step: bool) -> Result<Self> {
        let mut run = Self {
            pass,
            in_step,
            log_masses: Vec::new(),
            common: None,
        };
        for latent in &pass.latents {
            let constants: Vec<Tensor> =
                latent.law.parameters().iter().map(Tensor::detach).collect();
            let law = latent.law.with_parameters(&constants);
            let mass = law.log_density(&latent.value).detach();
            let mass = mass.sum_from(run.rows(&latent.plates).len());
            run.log_masses.push(mass.check()?.clone());
        }
        let mut plates = pass.latents.iter().map(|latent| &latent.plates);
        let mut of_terms = pass.terms.iter().map(|term| &term.plates);
        let none = |plates: &Rc<[Plate]>| run.rows(plates).is_empty();
        if plates.all(none) && of_terms.all(none) {
            run.common = Some(run.weight(&[])?);
        }
        Ok(run)
    }

    /// The plates whose rows have weights of their own.
    pub(super) fn rows<'p>(&self, plates: &'p [Plate]) -> &'p [Plate] {
        if self.in_step { plates } else { &[] }
    }

    /// The probability of the combination, one number per row of some plates. For other plates any row will do: over
    /// all runs it adds up to one.
    pub(super) fn weight(&self, plates: &[Plate]) -> Result<Weight> {
        if let Some(common) = &self.common {
            return Ok(common.clone());
        }
        let plates = self.rows(plates);
        let sizes: Vec<usize> = plates.iter().map(|plate| plate.size).collect();
        let mut total = Tensor::zeros(Shape::try_from(&sizes[..])?, &self.device());
        for (latent, mass) in self.pass.latents.iter().zip(&self.log_masses) {
            let own = self.rows(&latent.plates);
            let pairs = own.iter().zip(plates);
            let common = pairs.take_while(|(a, b)| a.same_rows(b)).count();
            let mut mass = mass.clone();
            for _ in common..own.len().min(mass.rank()) {
                mass = mass.index(common as isize, 0);
            }
            let mut shape = mass.check()?.shape().to_vec();
            shape.resize(plates.len(), 1);
            total = total + mass.reshape(Shape::try_from(&shape[..])?);
        }
        Weight::of(&total)
    }

    pub(super) fn device(&self) -> Device {
        let first = self.pass.latents.first();
        first.map_or_else(Device::cpu, |latent| latent.law.device())
    }

    /// A term's value for those of its plates' rows that have weights, as a constant; `None` for a number that
    /// [`host`](Self::host) counts.
    pub(super) fn value(&self, term: &Term) -> Option<Tensor> {
        let rows = self.rows(&term.plates).len();
        match &term.value {
            Number::Host(_) if rows == 0 => None,
            Number::Host(x) => Some(Tensor::full([], *x as f32, &self.device())),
            Number::Tensor(t) => Some(t.detach().sum_from(rows)),
        }
    }

    /// The sum of those terms that are host numbers and stand in no row.
    pub(super) fn host(&self, counts: impl Fn(&Term) -> bool) -> f64 {
        let host = |term: &Term| match term.value {
            Number::Host(x) if counts(term) && self.rows(&term.plates).is_empty() => x * term.scale,
            _ => 0.0,
        };
        self.pass.terms.iter().map(host).sum()
    }

    /// The places of the terms that count for each row of the latent at a place: those that can depend on it. Terms in
    /// other plates never do.
    pub(super) fn own_terms(&self, place: usize) -> SmallVec<[usize; 8]> {
        let latent = &self.pass.latents[place];
        let terms = self.pass.terms.iter().enumerate();
        let own =
            |(_, term): &(usize, &Term)| term.sites.contains(place) && self.within(term, latent);
        terms.filter(own).map(|(at, _)| at).collect()
    }

    /// The sum of some terms' shares for each row of a latent.
    pub(super) fn cost(
        &self,
        latent: &Latent,
        terms: &[usize],
        shares: &[Option<Tensor>],
    ) -> Tensor {
        let rank = self.rows(&latent.plates).len();
        let shares = terms
            .iter()
            .filter_map(|&at| Some((at, shares[at].as_ref()?)));
        shares.fold(
            Tensor::zeros([], &latent.law.device()),
            |cost, (at, share)| {
                let scale = self.pass.terms[at].scale / latent.scale;
                cost + share.sum_from(rank) * scale as f32
            },
        )
    }

    /// Whether each row of a term stands in one row of a latent.
    pub(super) fn within(&self, term: &Term, latent: &Latent) -> bool {
        let own = self.rows(&latent.plates);
        let pairs = self.rows(&term.plates).iter().zip(own);
        pairs.take_while(|(a, b)| a.same_rows(b)).count() == own.len()
    }
}

//! Which random sites a value was computed from, and which of them the host has read.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use super::Tensor;
use super::rounding::Rounding;
use crate::error::{Error, Result};

/// A set of sites, by their index in a run.
///
/// Sites from index 127 on share one bit: membership may then be reported for a site that is not
/// there, which costs variance (a term is kept that could be dropped) and never correctness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteSet([u64; 2]);

impl SiteSet {
    /// No site.
    pub const EMPTY: Self = Self([0; 2]);

    /// The word and the bit of an index. (Not one number of 128 bits, whose alignment makes
    /// allocators slow.)
    fn bit(index: usize) -> (usize, u64) {
        let index = index.min(127);
        (index / 64, 1 << (index % 64))
    }

    /// Adds a site.
    pub fn insert(&mut self, index: usize) {
        let (word, bit) = Self::bit(index);
        self.0[word] |= bit;
    }

    /// The set without a site.
    fn without(mut self, index: usize) -> Self {
        let (word, bit) = Self::bit(index);
        self.0[word] &= !bit;
        self
    }

    /// Sites of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Self([a | c, b | d])
    }

    /// Whether the site may be in the set.
    pub fn contains(self, index: usize) -> bool {
        let (word, bit) = Self::bit(index);
        self.0[word] & bit != 0
    }
}

/// Where a value came from; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Provenance(Rc<Origin>);

/// The sites of a value, and the run's record of the sites that the host has read.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Sites that the value depends on.
    pub(crate) sites: SiteSet,
    /// Those of them by which the value's derivative does not tell how it changes: a comparison or
    /// a constant came between.
    pub(crate) severed: SiteSet,
    /// Sites read on the host so far, shared by all values of a run.
    pub(crate) reads: Rc<Cell<SiteSet>>,
    /// The computation of rounded kinks that the value is part of.
    pub(crate) rounding: Option<Rounding>,
}

impl Deref for Provenance {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.0
    }
}

impl From<Origin> for Provenance {
    fn from(origin: Origin) -> Self {
        Self(Rc::new(origin))
    }
}

impl Provenance {
    /// Of a value that is drawn or computed from `sites` without a break.
    pub(crate) fn new(
        sites: SiteSet,
        reads: Rc<Cell<SiteSet>>,
        rounding: Option<Rounding>,
    ) -> Self {
        Self::from(Origin {
            sites,
            severed: SiteSet::EMPTY,
            reads,
            rounding,
        })
    }

    /// Union over operands; the record of reads and the rounding are the first operand's that has
    /// one.
    pub(crate) fn union<'a>(operands: impl Iterator<Item = &'a Provenance>) -> Option<Self> {
        operands.fold(None, |all: Option<Self>, one| match all {
            Some(all) => Some(all.joined(one)),
            None => Some(one.clone()),
        })
    }

    fn joined(self, other: &Self) -> Self {
        let (sites, severed) = (
            self.sites.union(other.sites),
            self.severed.union(other.severed),
        );
        let smooth = self.rounding.is_some() || other.rounding.is_none();
        if smooth && sites == self.sites && severed == self.severed {
            return self;
        }
        Self::from(Origin {
            sites,
            severed,
            reads: Rc::clone(&self.reads),
            rounding: self.rounding.as_ref().or(other.rounding.as_ref()).cloned(),
        })
    }

    /// The same sites, none of them behind a break.
    pub(super) fn smooth(&self) -> Self {
        Self::from(Origin {
            severed: SiteSet::EMPTY,
            ..Origin::clone(self)
        })
    }

    /// Of a value whose derivative tells nothing.
    pub(super) fn severed(&self) -> Self {
        Self::from(Origin {
            severed: self.sites,
            ..Origin::clone(self)
        })
    }

    /// Records that the host has read the value.
    pub(crate) fn mark_read(&self) {
        self.reads.set(self.reads.get().union(self.sites));
    }
}

impl Tensor {
    /// f of the tensor, or an error if the derivative of f does not tell how f changes with it: a
    /// comparison, a constant, or a read on the host came between.
    pub(crate) fn unbroken(
        &self,
        f: impl FnOnce(&Tensor) -> Result<Tensor>,
        error: impl FnOnce() -> Error,
    ) -> Result<Tensor> {
        /// Stands for the tensor as if it were a site of its own.
        const SELF: usize = usize::MAX;
        let (known, reads) = (self.provenance(), Rc::<Cell<SiteSet>>::default());
        let mut sites = self.sites();
        sites.insert(SELF);
        let out = f(&self.with_provenance(Provenance::from(Origin {
            sites,
            severed: self.severed_sites().without(SELF),
            reads: Rc::clone(&reads),
            rounding: self.rounding().cloned(),
        })))?;
        if out.severed_sites().contains(SELF) || reads.get().contains(SELF) {
            return Err(error());
        }
        if let Some(known) = known {
            known.reads.set(known.reads.get().union(reads.get()));
        }
        Ok(match out.provenance() {
            None => out,
            Some(found) => out.with_provenance(Provenance::from(Origin {
                sites: found.sites.without(SELF),
                reads: match known {
                    Some(known) if Rc::ptr_eq(&found.reads, &reads) => Rc::clone(&known.reads),
                    _ => Rc::clone(&found.reads),
                },
                ..Origin::clone(found)
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(index: usize, value: f32, reads: &Rc<Cell<SiteSet>>) -> Tensor {
        let mut sites = SiteSet::EMPTY;
        sites.insert(index);
        let provenance = Provenance::new(sites, reads.clone(), None);
        Tensor::from_slice(&[value, 1.0]).with_provenance(provenance)
    }

    #[test]
    fn results_come_from_all_sites_of_their_operands() {
        let reads = Rc::default();
        let (a, b, c) = (
            site(0, 2.0, &reads),
            site(3, 5.0, &reads),
            site(7, 1.0, &reads),
        );
        let plain = Tensor::from_slice(&[1.0, 2.0]);
        let sites = |t: &Tensor| {
            (0..10)
                .filter(|&i| t.sites().contains(i))
                .collect::<Vec<_>>()
        };
        assert_eq!(sites(&(&plain + &a)), [0]);
        assert_eq!(sites(&(&a * &b).exp().sum_all()), [0, 3]);
        assert_eq!(sites(&a.gt(&b)), [0, 3]);
        assert_eq!(sites(&a.gt(0.0)), [0]);
        assert_eq!(sites(&c.gt(0.5).select_where(&a, &b)), [0, 3, 7]);
        assert_eq!(sites(&Tensor::concat(&[&plain, &a, &c], 0)), [0, 7]);
        assert_eq!(sites(&a.matmul(&c)), [0, 7]);
        assert_eq!(sites(&plain.pick(&c.index(0, 0))), [7]);
        assert_eq!(sites(&a.one_hot(3).leaf().reshape(6)), [0]);
        assert_eq!(sites(&a.argmax(0)), [0]);
        assert_eq!(sites(&b.max(0)), [3]);
        assert_eq!(sites(&b.detach().softmax(0)), [3]);
        assert_eq!(sites(&b.powi(0)), [3]);
        assert_eq!(plain.sites(), SiteSet::EMPTY);
        assert_eq!(
            reads.get(),
            SiteSet::EMPTY,
            "nothing above reads on the user's behalf"
        );
    }

    #[test]
    fn host_reads_are_recorded_and_peeks_are_not() {
        let reads = Rc::default();
        let (a, b) = (site(0, 2.0, &reads), site(3, 5.0, &reads));
        let total = a.sum_all();
        assert_eq!(total.peek_item().unwrap(), 3.0);
        assert_eq!(a.peek().unwrap(), [2.0, 1.0]);
        assert_eq!(reads.get(), SiteSet::EMPTY);
        assert!(total.to_bool().unwrap());
        assert!(reads.get().contains(0) && !reads.get().contains(3));
        b.detach().to_vec().unwrap();
        assert!(reads.get().contains(3));
    }

    #[test]
    fn late_sites_share_a_bit() {
        let (mut a, mut b) = (SiteSet::EMPTY, SiteSet::EMPTY);
        a.insert(127);
        b.insert(500);
        assert!(a == b && a.contains(128) && !a.contains(126));
        b.insert(1);
        assert_eq!(a.union(b), b);
    }
}

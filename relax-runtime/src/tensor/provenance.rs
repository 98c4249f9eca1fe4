//! Which random sites a value was computed from, and which of them the host has read.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use super::rounding::Rounding;
use super::{SiteSet, Tensor};
use crate::error::{Error, Result};

/// The sites that the host has read in a run, shared by all values of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads(Rc<RefCell<SiteSet>>);

impl Reads {
    /// The sites so far.
    #[inline]
    pub(crate) fn sites(&self) -> SiteSet {
        self.0.borrow().clone()
    }

    /// Adds the sites so far to a set.
    #[inline]
    pub(crate) fn add_to(&self, sites: &mut SiteSet) {
        sites.add(&self.0.borrow());
    }

    fn add(&self, sites: &SiteSet) {
        self.0.borrow_mut().add(sites);
    }

    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// The origin of a value; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Provenance(Rc<Origin>);

/// The sites of a value, and the run's record of the sites that the host has read.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Sites that the value depends on.
    pub(crate) sites: SiteSet,
    /// Those of them for which the value's derivative does not tell how it changes: a comparison or
    /// a constant came between.
    pub(crate) severed: SiteSet,
    /// Sites read on the host so far.
    pub(crate) reads: Reads,
    /// The computation with rounded kinks that the value is part of.
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
    /// The provenance of a value drawn or computed from `sites` without a break.
    pub(crate) fn new(sites: SiteSet, reads: Reads, rounding: Option<Rounding>) -> Self {
        Self::from(Origin {
            sites,
            severed: SiteSet::EMPTY,
            reads,
            rounding,
        })
    }

    /// The union over operands; the record of reads and the rounding are those of the first operand that
    /// has them.
    pub(crate) fn union<'a>(operands: impl Iterator<Item = &'a Provenance>) -> Option<Self> {
        operands.fold(None, |all: Option<Self>, one| match all {
            Some(all) => Some(all.joined(one)),
            None => Some(one.clone()),
        })
    }

    fn joined(self, other: &Self) -> Self {
        let smooth = self.rounding.is_some() || other.rounding.is_none();
        if smooth && self.sites.covers(&other.sites) && self.severed.covers(&other.severed) {
            return self;
        }
        let mut both = Origin::clone(&self);
        both.sites.add(&other.sites);
        both.severed.add(&other.severed);
        both.rounding = both.rounding.or_else(|| other.rounding.clone());
        Self::from(both)
    }

    /// The same sites, none of them behind a break.
    pub(super) fn smooth(&self) -> Self {
        Self::from(Origin {
            severed: SiteSet::EMPTY,
            ..Origin::clone(self)
        })
    }

    /// The same sites, for a value whose derivative tells nothing.
    pub(super) fn severed(&self) -> Self {
        Self::from(Origin {
            severed: self.sites.clone(),
            ..Origin::clone(self)
        })
    }

    /// Records that the host has read the value.
    pub(crate) fn mark_read(&self) {
        self.reads.add(&self.sites);
    }
}

impl Tensor {
    /// f of the tensor, or an error if f's derivative does not tell how f changes with it: a
    /// comparison, a constant, or a read on the host came between.
    pub(crate) fn unbroken(
        &self,
        f: impl FnOnce(&Tensor) -> Result<Tensor>,
        error: impl FnOnce() -> Error,
    ) -> Result<Tensor> {
        let (known, reads) = (self.provenance(), Reads::default());
        let mut sites = self.sites();
        sites.mark();
        let out = f(&self.with_provenance(Provenance::from(Origin {
            sites,
            severed: self.severed_sites().unmarked(),
            reads: reads.clone(),
            rounding: self.rounding().cloned(),
        })))?;
        let read = reads.sites();
        if out.severed_sites().is_marked() || read.is_marked() {
            return Err(error());
        }
        if let Some(known) = known {
            known.reads.add(&read);
        }
        Ok(match out.provenance() {
            None => out,
            Some(found) => out.with_provenance(Provenance::from(Origin {
                sites: found.sites.clone().unmarked(),
                reads: match known {
                    Some(known) if found.reads.is(&reads) => known.reads.clone(),
                    _ => found.reads.clone(),
                },
                ..Origin::clone(found)
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(index: usize, value: f32, reads: &Reads) -> Tensor {
        let mut sites = SiteSet::EMPTY;
        sites.insert(index);
        let provenance = Provenance::new(sites, reads.clone(), None);
        Tensor::from_slice(&[value, 1.0]).with_provenance(provenance)
    }

    #[test]
    fn results_come_from_all_sites_of_their_operands() {
        let reads = Reads::default();
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
            reads.sites(),
            SiteSet::EMPTY,
            "nothing above reads on the user's behalf"
        );
    }

    #[test]
    fn host_reads_are_recorded_and_peeks_are_not() {
        let reads = Reads::default();
        let (a, b) = (site(0, 2.0, &reads), site(3, 5.0, &reads));
        let total = a.sum_all();
        assert_eq!(total.peek_item().unwrap(), 3.0);
        assert_eq!(a.peek().unwrap(), [2.0, 1.0]);
        assert_eq!(reads.sites(), SiteSet::EMPTY);
        assert!(total.to_bool().unwrap());
        assert!(reads.sites().contains(0) && !reads.sites().contains(3));
        b.detach().to_vec().unwrap();
        assert!(reads.sites().contains(3));
    }
}

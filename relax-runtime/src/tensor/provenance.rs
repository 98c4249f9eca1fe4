//! Which random sites a value was computed from, and which of them the host has read.

use std::cell::Cell;
use std::rc::Rc;

/// A set of sites, by their index in a run.
///
/// Sites from index 127 on share one bit: membership may then be reported for a site that is not
/// there, which costs variance (a term is kept that could be dropped) and never correctness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteSet(u128);

impl SiteSet {
    /// No site.
    pub const EMPTY: Self = Self(0);

    fn bit(index: usize) -> u128 {
        1 << index.min(127)
    }

    /// Adds a site.
    pub fn insert(&mut self, index: usize) {
        self.0 |= Self::bit(index);
    }

    /// Sites of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the site may be in the set.
    pub fn contains(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// Whether the two sets may have a site in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no site in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Where a value came from: its sites, and the run's record of the sites that the host has read.
#[derive(Clone, Debug)]
pub(crate) struct Provenance {
    /// Sites that the value depends on.
    pub(crate) sites: SiteSet,
    /// Sites read on the host so far, shared by all values of a run.
    pub(crate) reads: Rc<Cell<SiteSet>>,
}

impl Provenance {
    /// Union over operands; the record of reads is the first operand's.
    pub(crate) fn union<'a>(operands: impl Iterator<Item = &'a Provenance>) -> Option<Self> {
        operands.fold(None, |all: Option<Self>, one| {
            let sites = all.as_ref().map_or(SiteSet::EMPTY, |p| p.sites);
            Some(Self {
                sites: sites.union(one.sites),
                reads: all.map_or_else(|| one.reads.clone(), |p| p.reads),
            })
        })
    }

    /// Records that the host has read the value.
    pub(crate) fn mark_read(&self) {
        self.reads.set(self.reads.get().union(self.sites));
    }
}

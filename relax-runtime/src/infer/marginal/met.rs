//! A site that a run of a sum came by.

use std::rc::Rc;

use crate::dist::Law;
use crate::tensor::SiteSet;

/// A site that a run came by, and the numbers of the values of its events.
pub(super) struct Met {
    pub(super) site: usize,
    pub(super) values: Vec<usize>,
    /// Nothing of one event of host values, none of which is excluded.
    pub(super) law: Option<Rc<dyn Law>>,
    /// Of each value of each event whether every row excludes it, where any is excluded; and the sites
    /// that host code had seen.
    pub(super) excluded: Option<(Vec<bool>, SiteSet)>,
}

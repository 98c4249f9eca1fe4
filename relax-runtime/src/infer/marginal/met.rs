//! A site that a run of a sum reached.

use std::rc::Rc;

use crate::dist::Law;
use crate::tensor::SiteSet;

/// A site that a run reached, with the indices of its events' values.
pub(super) struct Met {
    pub(super) site: usize,
    pub(super) values: Vec<usize>,
    /// `None` for a single event with host values of which none is excluded.
    pub(super) law: Option<Rc<dyn Law>>,
    /// If any value is excluded: for each value of each event, whether every row excludes it; and the sites that host
    /// code had seen.
    pub(super) excluded: Option<(Vec<bool>, SiteSet)>,
}

//! Full names of sites: with the names of the sub-models around them, and the indices of loops.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::Site;

/// Where a run is, as far as names of sites depend on it.
#[derive(Default)]
pub(super) struct Names {
    /// The name of the enclosing sub-model and a slash.
    prefix: String,
    /// How often the run has come by a site in a loop, by the name without index.
    visits: FxHashMap<String, usize>,
}

impl Names {
    /// The full name of a site, if the run were to come by it now.
    pub(super) fn peek(&self, site: &Site) -> Cow<'static, str> {
        let name = self.prefixed(site);
        if !site.indexed {
            return name;
        }
        let visit = self.visits.get(&*name).copied().unwrap_or(0);
        indexed(name, visit)
    }

    /// The full name of the site that the run has come by.
    pub(super) fn next(&mut self, site: &Site) -> Cow<'static, str> {
        let name = self.prefixed(site);
        if !site.indexed {
            return name;
        }
        let visit = match self.visits.get_mut(&*name) {
            Some(visits) => {
                *visits += 1;
                *visits - 1
            }
            None => {
                self.visits.insert(name.to_string(), 1);
                0
            }
        };
        indexed(name, visit)
    }

    /// Enters a sub-model; what to hand to [`leave`](Self::leave).
    pub(super) fn enter(&mut self, site: &Site) -> usize {
        let (outer, name) = (self.prefix.len(), self.next(site));
        self.prefix.clear();
        self.prefix.push_str(&name);
        self.prefix.push('/');
        outer
    }

    /// Leaves a sub-model.
    pub(super) fn leave(&mut self, outer: usize) {
        self.prefix.truncate(outer);
    }

    /// The name without index.
    fn prefixed(&self, site: &Site) -> Cow<'static, str> {
        if self.prefix.is_empty() {
            return site.name.into();
        }
        let mut name = String::with_capacity(self.prefix.len() + site.name.len());
        name.push_str(&self.prefix);
        name.push_str(site.name);
        name.into()
    }
}

fn indexed(name: Cow<'static, str>, visit: usize) -> Cow<'static, str> {
    format!("{name}[{visit}]").into()
}

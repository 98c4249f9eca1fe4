//! Full names of sites, including the sub-models around them and the iterations of loops.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Site;

/// The part of a run's position that site names depend on.
#[derive(Clone, Default)]
pub(super) struct Scope {
    /// The names of the enclosing sub-models, each with a slash.
    prefix: String,
}

impl Scope {
    /// The names of the enclosing sub-models, each with a slash.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full name of a site.
    pub(super) fn full(&self, site: &Site) -> Cow<'static, str> {
        if self.prefix.is_empty() && site.computed.is_none() && site.iterations.is_empty() {
            return site.name.into();
        }
        let mut name = String::with_capacity(self.prefix.len() + site.text().len() + 8);
        self.write(site, &mut name);
        name.into()
    }

    /// Enters a sub-model; returns what to pass to [`leave`](Self::leave).
    pub(super) fn enter(&mut self, site: &Site) -> usize {
        let outer = self.prefix.len();
        self.prefix.push_str(site.text());
        write_iterations(&site.iterations, &mut self.prefix);
        self.prefix.push('/');
        outer
    }

    /// Leaves a sub-model.
    pub(super) fn leave(&mut self, outer: usize) {
        self.prefix.truncate(outer);
    }

    fn write(&self, site: &Site, name: &mut String) {
        name.push_str(&self.prefix);
        name.push_str(site.text());
        write_iterations(&site.iterations, name);
    }
}

/// Appends `[3]` for iteration 3, and so on.
pub(super) fn write_iterations(iterations: &[usize], name: &mut String) {
    for iteration in iterations {
        // Writing to a string cannot fail.
        let _ = write!(name, "[{iteration}]");
    }
}

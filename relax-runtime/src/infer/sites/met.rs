//! Sites by name, in the order in which they were met.

use rustc_hash::FxHashMap;

use crate::infer::sites::site::TrainedSite;

/// The sites that have been met.
#[derive(Debug, Default)]
pub(in crate::infer) struct MetSites {
    names: Vec<String>,
    sites: Vec<TrainedSite>,
    places: FxHashMap<String, usize>,
}

impl MetSites {
    pub(in crate::infer) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names in the order in which they were met.
    pub(in crate::infer) fn names(&self) -> &[String] {
        &self.names
    }

    /// All sites in that order.
    pub(in crate::infer) fn iter(&self) -> impl Iterator<Item = (&str, &TrainedSite)> {
        let names = self.names.iter().map(String::as_str);
        names.zip(&self.sites)
    }

    /// The site of a name.
    pub(in crate::infer) fn get(&self, name: &str) -> Option<&TrainedSite> {
        let place = *self.places.get(name)?;
        self.sites.get(place)
    }

    pub(in crate::infer) fn get_mut(&mut self, name: &str) -> Option<&mut TrainedSite> {
        let place = *self.places.get(name)?;
        self.sites.get_mut(place)
    }

    /// The site of a name that is probably the one met at a place, as when all runs reach the same sites.
    #[inline]
    pub(in crate::infer) fn get_likely(
        &mut self,
        name: &str,
        place: usize,
    ) -> Option<&mut TrainedSite> {
        match self.names.get(place) {
            Some(known) if known == name => self.sites.get_mut(place),
            _ => self.get_mut(name),
        }
    }

    /// Adds a site, or replaces the one with the same name.
    pub(in crate::infer) fn insert(&mut self, name: &str, site: TrainedSite) {
        match self.get_mut(name) {
            Some(known) => *known = site,
            None => {
                self.places.insert(name.to_owned(), self.names.len());
                self.names.push(name.to_owned());
                self.sites.push(site);
            }
        }
    }

    pub(in crate::infer) fn clear(&mut self) {
        *self = Self::default();
    }
}

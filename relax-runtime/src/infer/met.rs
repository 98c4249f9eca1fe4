//! Sites by name, in the order in which they were met.

use rustc_hash::FxHashMap;

use super::site::Site;

/// The sites that have been met.
#[derive(Debug, Default)]
pub(super) struct MetSites {
    names: Vec<String>,
    sites: Vec<Site>,
    places: FxHashMap<String, usize>,
}

impl MetSites {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names in the order in which they were met.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// All sites in that order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Site)> {
        let names = self.names.iter().map(String::as_str);
        names.zip(&self.sites)
    }

    /// The site of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Site> {
        let place = *self.places.get(name)?;
        self.sites.get(place)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Site> {
        let place = *self.places.get(name)?;
        self.sites.get_mut(place)
    }

    /// The site of a name that is likely the one met at a place, as where all runs come by the same
    /// sites.
    #[inline]
    pub(super) fn get_likely(&mut self, name: &str, place: usize) -> Option<&mut Site> {
        match self.names.get(place) {
            Some(known) if known == name => self.sites.get_mut(place),
            _ => self.get_mut(name),
        }
    }

    /// Adds a site, or puts it in place of the one of its name.
    pub(super) fn insert(&mut self, name: &str, site: Site) {
        match self.get_mut(name) {
            Some(known) => *known = site,
            None => {
                self.places.insert(name.to_owned(), self.names.len());
                self.names.push(name.to_owned());
                self.sites.push(site);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

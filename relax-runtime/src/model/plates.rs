//! The plates around the place where a run is.

use std::rc::Rc;

use super::{Plate, Rows, Site};
use crate::error::{Error, Result};

/// The plates that a run is in, and what it has seen of others.
pub(super) struct Plates {
    around: Rc<[Plate]>,
    entered: usize,
    /// Of each name the first plate that had it, with its size and `of`.
    named: Vec<(Site, usize, usize)>,
}

impl Plates {
    pub(super) fn none() -> Self {
        Self {
            around: no_plates(),
            entered: 0,
            named: Vec::new(),
        }
    }

    /// Those around, outermost first.
    #[inline]
    pub(super) fn around(&self) -> &Rc<[Plate]> {
        &self.around
    }

    /// The factor of subsampling plates.
    #[inline]
    pub(super) fn scale(&self) -> f64 {
        self.around.iter().map(|plate| plate.scale).product()
    }

    /// Enters a plate; what to hand to [`leave`](Self::leave).
    ///
    /// # Errors
    /// At the plate's line, if its sizes do not fit each other, or another plate of its name.
    pub(super) fn enter(
        &mut self,
        site: &Site,
        size: usize,
        of: Option<usize>,
    ) -> Result<Rc<[Plate]>> {
        let of = of.unwrap_or(size);
        if let Err(problem) = self.expect(site, size, of) {
            let name = match site.name {
                "" => "plate",
                name => name,
            };
            return Err(Error::Plates(problem).at_site(name, site.file, site.line));
        }
        let rows = match site.name {
            "" => Rows::Entry(self.entered),
            name => Rows::Named(name),
        };
        self.entered += 1;
        let scale = of as f64 / size as f64;
        let inner = Plate { rows, size, scale };
        let around = self.around.iter().copied().chain([inner]).collect();
        Ok(std::mem::replace(&mut self.around, around))
    }

    /// Goes back to the plates outside.
    pub(super) fn leave(&mut self, outer: &Rc<[Plate]>) {
        self.around = Rc::clone(outer);
    }

    /// Checks the size of a plate, also against those of its name: plates of one name are the same
    /// rows.
    fn expect(&mut self, site: &Site, size: usize, of: usize) -> Result<(), String> {
        if size == 0 {
            return Err("a plate needs at least one row".into());
        }
        if of < size {
            return Err(format!(
                "a plate of {size} rows cannot be a sample `of = {of}`; `of` is the size of the \
                 whole data set"
            ));
        }
        if site.name.is_empty() {
            return Ok(());
        }
        let mut known = self.named.iter();
        match known.find(|(known, ..)| known.name == site.name) {
            None => self.named.push((site.clone(), size, of)),
            Some((_, rows, all)) if (*rows, *all) == (size, of) => {}
            Some((first, rows, all)) => {
                return Err(format!(
                    "this plate has {size} rows of {of}, but the plate of the same name at {}:{} has \
                     {rows} of {all}; plates of one name are the same rows, so give one of them \
                     another name",
                    first.file, first.line
                ));
            }
        }
        Ok(())
    }
}

/// No plates, without an allocation for each run.
fn no_plates() -> Rc<[Plate]> {
    thread_local! {
        static NONE: Rc<[Plate]> = Rc::default();
    }
    NONE.try_with(Rc::clone).unwrap_or_default()
}

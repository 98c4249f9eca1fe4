//! The plates around the current place of a run.

use std::rc::Rc;

use smallvec::SmallVec;

use super::{Plate, Rows, Site};
use crate::error::{Error, Result};

/// The plates that a run is in, and those it has seen.
pub(super) struct Plates {
    around: Rc<[Plate]>,
    /// How often the plates without a name at each line were entered.
    entered: SmallVec<[(&'static str, u32, usize); 4]>,
    /// For each name the first plate that had it, with its size and `of`.
    named: Vec<(Site, usize, usize)>,
}

impl Plates {
    pub(super) fn none() -> Self {
        Self {
            around: no_plates(),
            entered: SmallVec::new(),
            named: Vec::new(),
        }
    }

    /// The plates around, outermost first.
    #[inline]
    pub(super) fn around(&self) -> &Rc<[Plate]> {
        &self.around
    }

    /// The scale factor of subsampling plates.
    #[inline]
    pub(super) fn scale(&self) -> f64 {
        self.around.iter().map(|plate| plate.scale).product()
    }

    /// Enters a plate; returns what to pass to [`leave`](Self::leave).
    ///
    /// # Errors
    /// At the plate's line, if its sizes are inconsistent with each other or with another plate of its name.
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
            "" => self.rows_at(site),
            name => Rows::Named(name),
        };
        let scale = of as f64 / size as f64;
        let inner = Plate { rows, size, scale };
        let around = self.around.iter().copied().chain([inner]).collect();
        Ok(std::mem::replace(&mut self.around, around))
    }

    /// The rows of a plate without a name.
    fn rows_at(&mut self, site: &Site) -> Rows {
        let mut lines = self.entered.iter_mut();
        let known = lines.find(|(file, line, _)| (*file, *line) == (site.file, site.line));
        let nth = match known {
            Some((_, _, times)) => {
                *times += 1;
                *times
            }
            None => {
                self.entered.push((site.file, site.line, 0));
                0
            }
        };
        Rows::Entry {
            file: site.file,
            line: site.line,
            nth,
        }
    }

    /// Returns to the plates outside.
    pub(super) fn leave(&mut self, outer: &Rc<[Plate]>) {
        self.around = Rc::clone(outer);
    }

    /// Checks the size of a plate, also against other plates of its name: plates of one name are the same rows.
    fn expect(&mut self, site: &Site, size: usize, of: usize) -> Result<(), String> {
        if size == 0 {
            return Err(
                "a plate needs at least one row; where there may be none, enter it by `if rows > 0`".into(),
            );
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
        let mut around = self.around.iter();
        if around.any(|plate| matches!(plate.rows, Rows::Named(name) if name == site.name)) {
            return Err(
                "a plate of this name is already around it, and rows of one plate that meet in a term are not \
                 independent; for pairs of rows, leave the plates and compute with the whole tensor, or give the inner \
                 plate another name"
                    .into(),
            );
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

/// No plates, without an allocation per run.
fn no_plates() -> Rc<[Plate]> {
    thread_local! {
        static NONE: Rc<[Plate]> = Rc::default();
    }
    NONE.try_with(Rc::clone).unwrap_or_default()
}

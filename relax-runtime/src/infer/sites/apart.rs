//! Whether the rows of a plate are independent of each other, as costs row by row take for granted.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::infer::objective::Objective;
use crate::infer::pass::other_rows::{OtherRows, Tied};
use crate::infer::pass::{Mode, Pass};
use crate::infer::sites::Sites;
use crate::model::{ParamStore, Plate};
use crate::random::Key;

/// Looks at the first evaluation that is estimated from, and at one later: laws may not have depended on much at first.
#[derive(Debug, Default)]
pub(in crate::infer) struct RowsApart {
    evaluations: u64,
}

impl RowsApart {
    /// The later evaluation.
    const AGAIN: u64 = 64;

    /// Evaluates a few times more, with other draws in some rows of a plate, and compares what the other rows show.
    /// Nothing is compared where host code has read the choices of a plate, as it may take another way then, nor for
    /// bounds of several samples, whose weights are of all rows.
    ///
    /// # Errors
    /// If a row depends on the choices of another.
    pub(in crate::infer) fn expect(
        &mut self,
        objective: &dyn Objective,
        sites: &Sites,
        params: &ParamStore,
        pass: &Pass,
        key: Key,
    ) -> Result<()> {
        self.evaluations += 1;
        if ![1, Self::AGAIN].contains(&self.evaluations) || pass.samples.is_some() {
            return Ok(());
        }
        for plates in plates_of(sites, pass) {
            for rows in OtherRows::trials(pass, &plates, key) {
                let rows = Rc::new(rows);
                let mode = Mode::OtherRows(Rc::clone(&rows));
                // Other draws may be none that the program can take.
                let Ok(others) = objective.evaluate(key, &params.fork(), &mode) else {
                    break;
                };
                if let Some((site, tied)) = rows.tied(pass, &others)? {
                    return Err(refused(pass, site, &tied));
                }
            }
        }
        Ok(())
    }
}

/// The plates of choices whose estimates are row by row, up to a few, without those whose choices host code has read.
fn plates_of(sites: &Sites, pass: &Pass) -> Vec<Rc<[Plate]>> {
    /// Each costs some evaluations; a loop may enter many.
    const MOST: usize = 4;
    let mut found: Vec<Rc<[Plate]>> = Vec::new();
    let mut read: Vec<Rc<[Plate]>> = Vec::new();
    for (place, latent) in pass.latents.iter().enumerate() {
        if latent
            .plates
            .iter()
            .map(|plate| plate.size)
            .product::<usize>()
            < 2
        {
            continue;
        }
        let is_estimated = |name: &str| {
            sites
                .get(name)
                .is_some_and(|s| s.estimator.needs_estimate())
        };
        let is_here = |known: &Rc<[Plate]>| is_same(known, &latent.plates);
        if pass.reads.contains(place) {
            read.push(Rc::clone(&latent.plates));
        } else if !found.iter().any(is_here) && is_estimated(&latent.name) {
            found.push(Rc::clone(&latent.plates));
        }
    }
    let starts = |plates: &[Plate], with: &[Plate]| {
        plates.len() >= with.len() && is_same(&plates[..with.len()], with)
    };
    found.retain(|plates| !read.iter().any(|read| starts(read, plates)));
    found.truncate(MOST);
    found
}

fn is_same(a: &[Plate], b: &[Plate]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_rows(b))
}

/// The error at what depends on other rows.
fn refused(pass: &Pass, site: usize, tied: &Tied) -> Error {
    let (name, at) = match *tied {
        Tied::Choice(place) => {
            let latent = &pass.latents[place];
            (&latent.name, Some((latent.file, latent.line)))
        }
        Tied::Term(number) => (&pass.terms[number].name, pass.terms[number].at),
    };
    let error = Error::TiedRows {
        term: name.to_string(),
        site: pass.latents[site].name.to_string(),
    };
    match at {
        Some((file, line)) => error.at_site(name, file, line),
        None => error,
    }
}

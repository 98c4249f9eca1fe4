//! Whether the rows of a plate are independent of each other, as costs row by row take for granted.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::infer::objective::Objective;
use crate::infer::pass::other_rows::{OtherRows, Tied};
use crate::infer::pass::{Latent, Mode, Pass};
use crate::infer::sites::Sites;
use crate::model::{ParamStore, Plate, within};
use crate::random::Key;

/// Looks at the first evaluation in which a site is known, and at a later one: laws may not have depended on much at
/// first.
#[derive(Debug, Default)]
pub(in crate::infer) struct RowsApart {
    evaluations: u64,
    looks: u8,
}

impl RowsApart {
    /// The later evaluation.
    const AGAIN: u64 = 64;

    /// An error if a row depends on the choices of another, for choices whose estimates are row by row. `pass` is the
    /// evaluation at `key`.
    ///
    /// # Errors
    /// [`Error::TiedRows`].
    pub(in crate::infer) fn expect(
        &mut self,
        objective: &dyn Objective,
        sites: &Sites,
        params: &ParamStore,
        pass: &Pass,
        key: Key,
    ) -> Result<()> {
        self.evaluations += 1;
        let is_due = match self.looks {
            0 => pass.latents.iter().any(|l| sites.get(&l.name).is_some()),
            1 => self.evaluations >= Self::AGAIN,
            _ => false,
        };
        if !is_due {
            return Ok(());
        }
        self.looks += 1;
        let is_weighed = |latent: &Latent| {
            let site = sites.get(&latent.name);
            // Each row of a bound of several samples has a bound of its own.
            pass.samples.is_some() || site.is_some_and(|site| site.estimator.weighs_rows())
        };
        tied(objective, params, pass, key, &is_weighed)?.map_or(Ok(()), Err)
    }
}

/// Evaluates a few times more, with other draws of some choices in some rows of a plate, and compares what the other
/// rows show: an error if a row depends on such a choice in another one.
///
/// Nothing is compared where host code has read the choices of a plate, as it may take another way then, nor for bounds
/// of several samples that weigh all rows together.
///
/// # Errors
/// If a term or a law carries an error.
pub(in crate::infer) fn tied(
    objective: &dyn Objective,
    params: &ParamStore,
    pass: &Pass,
    key: Key,
    is_chosen: &dyn Fn(&Latent) -> bool,
) -> Result<Option<Error>> {
    let Some(runs) = runs_of(pass) else {
        return Ok(None);
    };
    for plates in plates_of(&runs[0], is_chosen) {
        for rows in OtherRows::trials(&runs[0], &plates, key, is_chosen) {
            let rows = Rc::new(rows);
            let mode = Mode::OtherRows(Rc::clone(&rows));
            // Other draws may be none that the program can take.
            let Ok(others) = objective.evaluate(key, &params.fork(), &mode) else {
                break;
            };
            for (before, now) in runs.iter().zip(runs_of(&others).unwrap_or_default()) {
                if let Some((site, tied)) = rows.tied(before, now)? {
                    return Ok(Some(refused(before, site, &tied)));
                }
            }
        }
    }
    Ok(None)
}

/// The evaluations whose rows count one by one: those of its samples, for a bound of several.
fn runs_of(pass: &Pass) -> Option<&[Pass]> {
    match &pass.samples {
        None => Some(std::slice::from_ref(pass)),
        Some(samples) => (samples.log_weights.rank() > 1).then(|| samples.runs()),
    }
}

/// The plates of several rows around chosen choices, outer plates by themselves, too; up to a few, and without those
/// whose choices host code has read.
fn plates_of(pass: &Pass, is_chosen: &dyn Fn(&Latent) -> bool) -> Vec<Rc<[Plate]>> {
    /// Each takes some evaluations, and a loop may enter many.
    const MOST: usize = 6;
    let is_same = |a: &[Plate], b: &[Plate]| a.len() == b.len() && within(a, b);
    let mut found: Vec<Rc<[Plate]>> = Vec::new();
    let mut read: Vec<Rc<[Plate]>> = Vec::new();
    for (place, latent) in pass.latents.iter().enumerate() {
        if pass.reads.contains(place) {
            read.push(Rc::clone(&latent.plates));
        } else if !latent.plates.is_empty() && is_chosen(latent) {
            for depth in 1..=latent.plates.len() {
                let plates = &latent.plates[..depth];
                let has_rows = plates.iter().any(|plate| plate.size > 1);
                if has_rows && !found.iter().any(|known| is_same(known, plates)) {
                    found.push(plates.into());
                }
            }
        }
    }
    found.retain(|plates| !read.iter().any(|read| within(read, plates)));
    found.truncate(MOST);
    found
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

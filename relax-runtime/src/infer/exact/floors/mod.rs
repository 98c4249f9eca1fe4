//! The floor of each site's gradient variance, by enumeration of all choices.
//!
//! For a choice i the local expectation Σ_v ∂p(v | θᵢ)/∂θᵢ F(v, u₋ᵢ) is its gradient given the noise u₋ᵢ of all others
//! (Titsias and Lázaro-Gredilla 2015). An estimate from one draw whose mean, given that noise, is right has at least
//! its variance. Every event of every row of every site is a choice.

mod coupled;
mod held;
mod table;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::Result;
use crate::infer::objective::Objective;
use crate::infer::pass::Mode;
use crate::infer::pass::odometer::Odometer;
use crate::model::ParamStore;
use crate::random::Key;
use coupled::coupled;
use held::held;
use table::{Site, Table};

/// A floor below the square of this share of the largest local expectation's terms counts as 0.
const NOTHING: f64 = 1e-6;

/// The variance of a site's local expectations, a mean over coordinates.
struct Variance {
    mean: f64,
    /// The largest term.
    size: f64,
}

impl Variance {
    /// The variance without rounding errors; `None` if it is not finite.
    fn floor(self) -> Option<f64> {
        match self.mean.is_finite() {
            true if self.mean <= (NOTHING * self.size).powi(2) => Some(0.0),
            true => Some(self.mean),
            false => None,
        }
    }
}

/// The floors of the sites of an objective, as means over the coordinates of the gradient summed over rows; `None` for
/// a site where that would take too long: where its value changes how later choices are drawn, and these have too many
/// values or rows. `None` altogether if there are more than `largest` combinations, a choice is continuous, or the
/// objective is a bound of several samples.
///
/// # Errors
/// Any error from a program.
pub(in crate::infer) fn floors(
    objective: &dyn Objective,
    params: &ParamStore,
    largest: usize,
) -> Result<Option<BTreeMap<String, Option<f64>>>> {
    // Every row's value counts by itself: rows' estimates are added up, and vary together.
    let odometer = Rc::new(Odometer::new(false, largest));
    let mode = Mode::Enumerate(Rc::clone(&odometer));
    let evaluate = || objective.evaluate(Key::new(0), params, &mode);
    let mut table = Table::default();
    loop {
        let more = evaluate().and_then(|pass| {
            if pass.samples.is_some() {
                return Ok(None);
            }
            table.add(&pass)?;
            odometer.advance(&mut || evaluate().map(drop)).map(Some)
        });
        match (more, odometer.refusal()) {
            (Err(_), Some(_)) | (Ok(None), _) => return Ok(None),
            (Err(error), None) => return Err(error),
            (Ok(Some(true)), _) => {}
            (Ok(Some(false)), _) => break,
        }
    }
    let floor = |(name, site): (&String, &Site)| {
        let found = || held(&table, site).or_else(|| coupled(&table, site));
        let floor = site.steady.then(found).flatten();
        (name.clone(), floor.and_then(Variance::floor))
    };
    Ok(Some(table.sites.iter().map(floor).collect()))
}

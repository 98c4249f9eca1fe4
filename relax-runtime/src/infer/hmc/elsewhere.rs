//! Another start for a fit that is in doubt: where the data are.
//!
//! At a poor optimum one state or component often has all the data, and the others are so far away that no data speak
//! for them; draws from priors rarely come nearer. With a few of the discrete choices held at random values, and the
//! others left out, each component is fitted to some of the data, and all come to lie among them. From there the sum
//! over choices tells them apart, as random responsibilities start the EM algorithm (McLachlan and Peel 2000, section
//! 2.12). Only a few are held, since fits to many random data are all the same, and a saddle of the density.

use std::rc::Rc;

use crate::error::Result;
use crate::infer::marginal::SummedSites;
use crate::infer::objective::Objective;
use crate::infer::pass::Mode;
use crate::infer::peak::{self, Peak};
use crate::infer::posterior::KnownElsewhere;
use crate::infer::target::{Target, refused};
use crate::model::{ParamStore, Start};
use crate::random::Key;

/// Steps of a climb with choices held, then with the sum over them, and from the fit.
const HELD: i32 = 100;
const SUMMED: i32 = 200;
const SETTLED: i32 = 50;
/// Maximum number of places tried.
const TRIES: u64 = 6;
/// Draws from what the model states, which show how far to move numbers, and how many are enough.
const DRAWS: u64 = 16;
const FEWEST: usize = 8;
/// Bit of a key's particle that no other draws set.
const STATED: u64 = 1 << 36;
/// Evidences that differ by less than this many nats count as alike.
const ALIKE: f64 = 2.0;

type Found = (KnownElsewhere, Option<Start>);

/// What climbs from among the data show about other places, for a fit whose draws are at `places`, and a better start
/// for it.
pub(super) fn look(
    objective: &dyn Objective,
    params: &ParamStore,
    seed: u64,
    target: &Target<'_>,
    places: &[Vec<f64>],
) -> Found {
    match can_hold(params) {
        true => climb(objective, params, seed, target, places).unwrap_or_default(),
        false => Found::default(),
    }
}

/// Whether choices are summed out, and none is integrated out.
fn can_hold(params: &ParamStore) -> bool {
    let (mut any, mut has_nodes) = (false, false);
    for sites in params.notes::<SummedSites>() {
        sites.each(|site| {
            any = true;
            has_nodes |= site.has_nodes;
        });
    }
    any && !has_nodes
}

fn climb(
    objective: &dyn Objective,
    params: &ParamStore,
    seed: u64,
    target: &Target<'_>,
    places: &[Vec<f64>],
) -> Result<Found> {
    let stated = stated(objective, params, target, seed)?;
    let (middle, most) = middle_and_spreads(&stated);
    let (of_fit, spreads) = middle_and_spreads(places);
    let settled = peak::above(target, of_fit, &spreads, &most, SETTLED)?;
    let from_data = |number: u64| {
        params.hold_summed(Some(Key {
            step: number,
            ..Key::new(seed)
        }));
        let held = peak::above(target, middle.clone(), &most, &most, HELD);
        params.hold_summed(None);
        let held = held?;
        peak::above(target, held.place, &held.spreads, &most, SUMMED)
    };
    let mut found: Option<Peak> = None;
    for number in 0..TRIES {
        let Ok(peak) = from_data(number) else {
            continue;
        };
        let best = found.as_ref().unwrap_or(&settled);
        let gain = match &found {
            None => ALIKE,
            Some(_) => 0.0,
        };
        if peak.log_evidence > best.log_evidence + gain {
            found = Some(peak);
        } else if found.is_none() && are_one(&peak, &settled) {
            return Ok((KnownElsewhere::LeadsHere, None));
        }
    }
    Ok(match found {
        None => Found::default(),
        Some(found) => {
            let places = target.spreads_of(&found.place, &found.spreads);
            (KnownElsewhere::Better, Some(Start::About(Rc::new(places))))
        }
    })
}

/// Whether two climbs have reached the same peak: the same evidence, and each number within its spread.
fn are_one(a: &Peak, b: &Peak) -> bool {
    let mut numbers = a.place.iter().zip(&b.place).zip(&a.spreads).zip(&b.spreads);
    (a.log_evidence - b.log_evidence).abs() <= ALIKE
        && numbers.all(|(((x, y), s), t)| (x - y).abs() <= s.max(*t))
}

/// The unconstrained numbers of draws from what the model states. Draws that are impossible under the model are left
/// out.
///
/// # Errors
/// If few are left.
fn stated(
    objective: &dyn Objective,
    params: &ParamStore,
    target: &Target<'_>,
    seed: u64,
) -> Result<Vec<Vec<f64>>> {
    let draw = |step: u64| {
        let fresh = ParamStore::default();
        fresh.take_notes_of(params);
        fresh.start_at(Some(Start::Draw(Key {
            seed,
            step,
            particle: STATED,
        })));
        let key = Key {
            seed,
            step,
            particle: Key::LOOK,
        };
        target.free(&objective.evaluate(key, &fresh, &Mode::Draw)?)
    };
    let drawn: Vec<Vec<f64>> = (0..DRAWS).filter_map(|step| draw(step).ok()).collect();
    match drawn.len() < FEWEST {
        true => Err(refused("what the model states has hardly any draws".into())),
        false => Ok(drawn),
    }
}

/// The median of each number.
pub(super) fn middle_of(places: &[Vec<f64>]) -> Vec<f64> {
    middle_and_spreads(places).0
}

/// For each number the median, and the standard deviation of a Gaussian with the same median distance from it.
fn middle_and_spreads(places: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    const OF_MEDIAN: f64 = 1.4826;
    let median = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let dims = places.first().map_or(0, Vec::len);
    (0..dims)
        .map(|number| {
            let middle = median(places.iter().map(|place| place[number]).collect());
            let apart = places.iter().map(|place| (place[number] - middle).abs());
            let spread = OF_MEDIAN * median(apart.collect());
            (middle, if spread > 0.0 { spread } else { 1.0 })
        })
        .unzip()
}

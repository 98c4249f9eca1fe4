//! Another start for a fit that is in doubt: where data are.
//!
//! At a poor optimum one state or component often has all data, and the others are so far from these that none
//! speak for them; draws of priors rarely come nearer. With a few of the discrete choices held at values at random, and
//! the others left out, each component is fitted to some of the data, and all come to lie among them. From there the
//! sum over choices tells them apart, as random responsibilities start the EM algorithm (McLachlan and Peel 2000,
//! section 2.12). Few are held, since fits to many data at random are all the same, and a saddle of the density.

use std::rc::Rc;

use crate::error::Result;
use crate::infer::mode::{self, Mode};
use crate::infer::objective::Objective;
use crate::infer::pass;
use crate::infer::target::Target;
use crate::model::{ParamStore, Start};
use crate::random::Key;

/// Steps of a climb with choices held, with the sum over them after these, and from where the fit is.
const HELD: i32 = 100;
const SUMMED: i32 = 200;
const SETTLED: i32 = 50;
/// Places that are tried at most.
const TRIES: u64 = 6;
/// Draws of what the model states, which say how far numbers are to be moved.
const STATED: u64 = 16;
/// Evidences less than so many nats apart are those of modes alike.
const ALIKE: f64 = 2.0;

/// What ways from elsewhere have led to.
pub(super) enum Elsewhere {
    /// A place with more evidence than about the fit, as far as Gaussians at modes tell.
    Better(Start),
    /// The mode where the fit is.
    Alike,
    /// Nothing, or less evidence.
    Nothing,
}

/// Climbs from places among the data, for a fit whose draws are at `places`.
pub(super) fn look(
    objective: &dyn Objective,
    params: &ParamStore,
    seed: u64,
    target: &Target<'_>,
    places: &[Vec<f64>],
) -> Elsewhere {
    climb(objective, params, seed, target, places).unwrap_or(Elsewhere::Nothing)
}

fn climb(
    objective: &dyn Objective,
    params: &ParamStore,
    seed: u64,
    target: &Target<'_>,
    places: &[Vec<f64>],
) -> Result<Elsewhere> {
    let (middle, spreads) = middle_and_spreads(places);
    let settled = mode::above(target, middle, &spreads, SETTLED)?;
    let stated = stated(objective, params, target, seed)?;
    let (middle, spreads) = middle_and_spreads(&stated);
    let from_data = |number: u64| {
        params.hold_summed(Some(Key {
            step: number,
            ..Key::new(seed)
        }));
        let held = mode::above(target, middle.clone(), &spreads, HELD);
        params.hold_summed(None);
        let held = held?;
        mode::above(target, held.place, &held.spreads, SUMMED)
    };
    let mut found: Option<Mode> = None;
    for number in 0..TRIES {
        let Ok(mode) = from_data(number) else {
            continue;
        };
        let above = mode.log_evidence - settled.log_evidence;
        match &found {
            None if above.abs() <= ALIKE => return Ok(Elsewhere::Alike),
            None if above < 0.0 => {}
            Some(best) if mode.log_evidence <= best.log_evidence => {}
            _ => found = Some(mode),
        }
    }
    Ok(match found {
        None => Elsewhere::Nothing,
        Some(found) => {
            let places = target.spreads_of(&found.place, &found.spreads);
            Elsewhere::Better(Start::About(Rc::new(places)))
        }
    })
}

/// The unconstrained numbers of draws of what the model states.
fn stated(
    objective: &dyn Objective,
    params: &ParamStore,
    target: &Target<'_>,
    seed: u64,
) -> Result<Vec<Vec<f64>>> {
    let draws = (0..STATED).map(|draw| {
        let key = Key {
            particle: draw,
            ..Key::new(seed)
        };
        let fresh = ParamStore::default();
        fresh.take_notes_of(params);
        fresh.start_at(Some(Start::Draw(key)));
        target.free(&objective.evaluate(key, &fresh, &pass::Mode::Draw)?)
    });
    draws.collect()
}

/// Of each number the median, and the standard deviation of a Gaussian of the same median distance from it.
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

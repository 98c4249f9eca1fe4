//! Looks for places of a posterior that its guide rarely draws.
//!
//! Importance weights of a guide's own draws say nothing about where it does not draw. So the model is run at other
//! places, and the guide's density evaluated there: at draws from the model's own laws; where a few Metropolis moves of
//! discrete choices, which leave the posterior invariant, lead from the guide's draws (Wang, Kasprzak and Huggins 2023
//! judge variational fits by short chains that start from them); at the guide's draws with numbers exchanged, mirrored
//! or flipped, as in symmetric posteriors; and where discrete choices are all the same. A place counts if the guide
//! gives it less than a hundredth of its posterior density, assuming the guide's estimate of the evidence.

mod moves;
mod places;
mod turns;

use std::collections::BTreeMap;

use self::moves::Moves;
use self::places::Stated;
pub(in crate::infer) use self::places::{Place, Places, Values};
use self::turns::{Turn, turns};
use crate::dist::Value;
use crate::error::Result;
use crate::infer::objective::Elbo;
use crate::infer::posterior::{Elsewhere, Missed, Posterior};
use crate::model::ParamStore;
use crate::random::Key;
use crate::special::log_sum;
use crate::tensor::{Holding, Tensor};

/// Log of the ratio of posterior to guide from which a place counts: if the log-weights of a good guide have a standard
/// deviation of 1, one in ten thousand draws of the posterior is there.
const BEYOND: f64 = 4.6;
/// Share of the posterior at such places above which a fit is wrong: a probability may then be off by as much.
const SHARE: f64 = 0.05;
/// More than this many times a turn's estimated share is not explained by the turn.
const MUCH_MORE: f64 = 1.8;
/// Fewest chains or draws there that count: fewer may be chance.
const FEWEST: usize = 2;
/// Training steps for each run made here, with and without discrete choices: the runs then take a few hundredths of a
/// fit's time. A run takes up to a third of a step, and most of those without discrete choices run the model alone.
const STEPS_A_RUN: [u64; 2] = [10, 5];
/// Fewest runs that are informative, and the number that is enough.
const FEWEST_RUNS: u64 = 100;
const MOST_RUNS: u64 = 500;
/// Number of draws from the model's own laws, those that explain the data best, at which the guide is evaluated.
const BEST: usize = 8;
/// Number of chains that move discrete choices.
const CHAINS: u64 = 16;
/// Number of draws that are turned.
const TURNED: u64 = 4;

/// Looks at places other than the guide's draws from which a posterior was made. Returns what is missed most, if it is
/// much. Skipped if rows have their own weights, if log-probabilities do not count exactly once, for point masses, on
/// other devices, and after few training `steps`.
pub(in crate::infer) fn look(
    objective: &Elbo<'_>,
    params: &ParamStore,
    seed: u64,
    steps: u64,
    posterior: &Posterior,
) -> Option<Missed> {
    if !posterior.has_whole_weights() {
        return None;
    }
    // The objective's weights, in which the rows of a sum may stand for others.
    let weights = posterior.posterior_log_weights();
    let log_evidence = log_sum(weights.iter().flatten().copied()) - (weights.len() as f64).ln();
    if !log_evidence.is_finite() {
        return None;
    }
    let _holding = Holding::start();
    let looking = Looking {
        places: Places::new(objective, params, seed),
        log_evidence,
        chained: posterior.mixing().map(|_| posterior),
        seed,
    };
    looking.look(steps).ok().flatten()
}

struct Looking<'m> {
    places: Places<'m>,
    /// The guide's estimate of the log-evidence.
    log_evidence: f64,
    /// The posterior, if its draws were made by chains that started from the guide's: then it does not matter if the
    /// guide is too narrow.
    chained: Option<&'m Posterior>,
    seed: u64,
}

impl Looking<'_> {
    fn look(&self, steps: u64) -> Result<Option<Missed>> {
        let Some(first) = self.places.drawn(0)? else {
            return Ok(None);
        };
        let (discrete, continuous) = first.kinds();
        let runs = (steps / STEPS_A_RUN[usize::from(discrete == 0)]).min(MOST_RUNS);
        if discrete + continuous == 0 || runs < FEWEST_RUNS {
            return Ok(None);
        }
        let mut found = Vec::new();
        if continuous == 0 {
            found.push((self.alike(&first), Elsewhere::Alike));
        }
        // Moves need the guide's density, and take longer.
        let stated = if discrete > 0 { runs / 2 } else { runs };
        found.push((self.stated(stated), Elsewhere::Stated));
        if discrete > 0 {
            let moves = runs / (2 * CHAINS);
            found.push((self.moved(moves)?, Elsewhere::Moved));
        }
        let turned = self.turned(runs / 4)?;
        let most = found.into_iter().max_by(|(a, _), (b, _)| a.total_cmp(b));
        let most = most.filter(|(share, _)| *share > SHARE);
        // Draws and moves also reach what a turn explains, but say less about it.
        let is_explained = |turned: f64| {
            most.as_ref()
                .is_none_or(|(share, _)| *share <= MUCH_MORE * turned)
        };
        let found = match turned {
            Some((share, words)) if is_explained(share) => Some((share, Elsewhere::Turned(words))),
            _ => most,
        };
        Ok(found.map(|(share, at)| Missed { share, at }))
    }

    /// Whether the posterior exceeds the guide by enough, and chains, if there were any, did not reach it.
    fn is_beyond(&self, place: &Place) -> bool {
        place.log_p - place.log_q > self.log_evidence + BEYOND && self.is_beyond_chains(place)
    }

    /// Whether some number is farther from those of the chains, if there were any, than these are from each other.
    fn is_beyond_chains(&self, place: &Place) -> bool {
        let Some(chained) = self.chained else {
            return true;
        };
        let is_outside = |name: &str, value: &Tensor| -> Result<bool> {
            let draws = chained.samples(name)?.into_iter().map(Value::peek_f64s);
            let draws: Vec<Vec<f64>> = draws.collect::<Result<_>>()?;
            let outside = (f64::INFINITY, f64::NEG_INFINITY);
            let numbers = value.peek()?.into_iter().map(f64::from);
            Ok(numbers.enumerate().any(|(at, x)| {
                let all = draws.iter().filter_map(|draw| draw.get(at));
                let (low, high) = all.fold(outside, |(low, high): (f64, f64), x| {
                    (low.min(*x), high.max(*x))
                });
                let width = high - low;
                x < low - width || x > high + width
            }))
        };
        let mut values = place.values.iter();
        values.any(|(name, value)| is_outside(name, value).unwrap_or(false))
    }

    /// The share of the evidence missing from the guide's estimate.
    fn share(&self, log_missed: f64) -> f64 {
        1.0 / (1.0 + (self.log_evidence - log_missed).exp())
    }

    /// Share at places where all choices have their first value, all their second, and so on: each is a part of the
    /// evidence by itself.
    fn alike(&self, first: &Place) -> f64 {
        let places = first.alike().into_iter();
        let found = places.filter_map(|values| self.places.at(&values));
        let beyond = found.filter(|place| self.is_beyond(place));
        // Choices with fewer values than others repeat their last one.
        let alone: BTreeMap<_, f64> = beyond.map(|place| (place.bits(), place.log_p)).collect();
        self.share(log_sum(alone.into_values()))
    }

    /// Share at draws from the model's own laws, weighted by the likelihood. If everything is discrete, single places
    /// are also parts of the evidence.
    fn stated(&self, draws: u64) -> f64 {
        let mut drawn: Vec<Stated> = Vec::with_capacity(BEST + 1);
        for draw in self.places.stated(draws) {
            let better = |other: &Stated| other.log_likelihood >= draw.log_likelihood;
            let place = drawn.partition_point(better);
            drawn.insert(place, draw);
            drawn.truncate(BEST);
        }
        let (mut beyond, mut alone) = (Vec::new(), BTreeMap::new());
        for draw in drawn {
            let Some(place) = self.places.at(&draw.values) else {
                continue;
            };
            if self.is_beyond(&place) {
                beyond.push(draw.log_likelihood - (draws as f64).ln());
                if place.is_discrete() {
                    alone.insert(place.bits(), place.log_p);
                }
            }
        }
        let estimated = match beyond.len() < FEWEST {
            true => 0.0,
            false => self.share(log_sum(beyond)),
        };
        self.share(log_sum(alone.into_values())).max(estimated)
    }

    /// Moves discrete choices, starting from the guide's draws: the share of states in the second half of the moves
    /// that are beyond the guide. If everything is discrete, the share of all proposed places also counts.
    fn moved(&self, moves: u64) -> Result<f64> {
        let (mut beyond, mut all, mut chains) = (0, 0, 0);
        let mut alone = BTreeMap::new();
        for number in 0..CHAINS {
            let Some(place) = self.places.drawn(number)? else {
                continue;
            };
            let Some(mut chain) = Moves::from(place) else {
                return Ok(0.0);
            };
            let key = Key {
                step: number,
                ..Key::new(self.seed)
            };
            let mut stream = key.stream("moves");
            let before = beyond;
            for number in 0..moves {
                let proposed = chain.advance(&self.places, &mut stream);
                let is_alone = |place: &Place| place.is_discrete() && self.is_beyond(place);
                if let Some(place) = proposed.filter(is_alone) {
                    alone.insert(place.bits(), place.log_p);
                }
                if 2 * number >= moves {
                    all += 1;
                    beyond += u32::from(self.is_beyond(chain.place()));
                }
            }
            chains += usize::from(beyond > before);
        }
        let by_chains = match chains < FEWEST {
            true => 0.0,
            false => f64::from(beyond) / f64::from(all),
        };
        Ok(self.share(log_sum(alone.into_values())).max(by_chains))
    }

    /// Turns some of the guide's draws until this leads to what is missed. Turns preserve volume, so a turned draw
    /// stands for as much of the posterior as its own density under the guide says.
    fn turned(&self, runs: u64) -> Result<Option<(f64, String)>> {
        let draws = (0..TURNED).filter_map(|number| self.places.drawn(number).transpose());
        let draws: Vec<Place> = draws.collect::<Result<_>>()?;
        let (Some(first), Some(stated)) = (draws.first(), self.places.laws_stated()) else {
            return Ok(None);
        };
        let share = |turn: &Turn| {
            let missed = draws.iter().filter_map(|draw| {
                let turned = self.places.at(&turn.of(draw)?)?;
                let missed = turned.log_p - draw.log_q - (draws.len() as f64).ln();
                self.is_beyond(&turned).then_some(missed)
            });
            self.share(log_sum(missed))
        };
        let turns = turns(first, &stated).into_iter();
        let mut shares = turns
            .take((runs / TURNED) as usize)
            .map(|turn| (share(&turn), turn.words));
        Ok(shares.find(|(share, _)| *share > SHARE))
    }
}

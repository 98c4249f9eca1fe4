//! Whether a posterior has places that its guide hardly draws.
//!
//! Importance weights of a guide's own draws know nothing of where it does not come. So the model is run at other
//! places, with the guide's density there: at draws of the laws that the model states; where a few Metropolis moves of
//! discrete choices lead from the guide's draws, which would leave the posterior as it is (Wang, Kasprzak and Huggins
//! 2023 judge variational fits by short chains that start from them); at the guide's draws with numbers exchanged,
//! mirrored or flipped, as symmetric posteriors have them; and where discrete choices are all the same. A place counts
//! where the guide gives it less than a hundredth of what the posterior does, were the guide's estimate of the evidence
//! right.

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

/// ln of by how much the posterior exceeds the guide at a place that counts: where the log-weights of a good guide have a
/// standard deviation of 1, one in ten thousand draws of the posterior comes there.
const BEYOND: f64 = 4.6;
/// The share of the posterior at such places from which a fit is wrong: a probability may then be off by as much.
const SHARE: f64 = 0.05;
/// So many times as much elsewhere is more than a turn explains, of which the share is an estimate.
const MUCH_MORE: f64 = 1.8;
/// So few chains or draws that come there by chance are no sign of more.
const FEWEST: usize = 2;
/// Steps of training for each run that is made here, with discrete choices and without: all then takes a few hundredths
/// of a fit. A run takes up to a third of a step, and most of those without discrete choices are of the model alone.
const STEPS_A_RUN: [u64; 2] = [10, 5];
/// Runs that say something, and that are enough.
const FEWEST_RUNS: u64 = 100;
const MOST_RUNS: u64 = 500;
/// Of the draws of what the model states, so many that explain the data best are looked at by the guide.
const BEST: usize = 8;
/// Chains that move discrete choices.
const CHAINS: u64 = 16;
/// Draws that are turned.
const TURNED: u64 = 4;

/// Looks at other places than those of a guide's draws, of which a posterior was made: what is missed most, if that is
/// much. Not where rows have weights of their own, where log-probabilities do not count once, of points, on other devices,
/// or after few `steps`: so long took training.
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
    // As the objective has it, in which the rows of a sum may stand for others.
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
    /// The guide's estimate.
    log_evidence: f64,
    /// The draws of chains that started from the guide's, if they have made the posterior's: a guide that is too narrow
    /// is no matter then.
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
        // What a turn explains draws and moves come to, too, and say less of.
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

    /// Whether the posterior exceeds the guide so much, and chains, if there were any, have not come there.
    fn is_beyond(&self, place: &Place) -> bool {
        place.log_p - place.log_q > self.log_evidence + BEYOND && self.is_beyond_chains(place)
    }

    /// Whether some number is farther from those of chains, if there were any, than these are from each other.
    fn is_beyond_chains(&self, place: &Place) -> bool {
        let Some(chained) = self.chained else {
            return true;
        };
        let is_outside = |name: &str, value: &Tensor| -> Result<bool> {
            let draws = chained.samples(name)?.into_iter().map(Value::to_f64s);
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

    /// The share of evidence that the guide's estimate does not have.
    fn share(&self, log_missed: f64) -> f64 {
        1.0 / (1.0 + (self.log_evidence - log_missed).exp())
    }

    /// At values that are all the first, the second: each such place is a part of the evidence by itself.
    fn alike(&self, first: &Place) -> f64 {
        let places = first.alike().into_iter();
        let found = places.filter_map(|values| self.places.at(&values));
        let beyond = found.filter(|place| self.is_beyond(place));
        // Choices of fewer values than others have their last one again.
        let alone: BTreeMap<_, f64> = beyond.map(|place| (place.bits(), place.log_p)).collect();
        self.share(log_sum(alone.into_values()))
    }

    /// At draws of the laws that the model states, whose weights are the likelihood; where all is discrete, places by
    /// themselves are parts of the evidence, too.
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

    /// Moves discrete choices from the guide's draws: the share of all states of the second half of the moves that are
    /// beyond it; where all is discrete, that of all places that were proposed, too.
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

    /// Turns some of the guide's draws, until that leads to what is missed. Turns keep volumes, so that a turned draw
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

//! The best estimator for a site: measured at the user's own model, before the first estimate.
//!
//! All contenders see the same draws, with the parameters as they are, and learn from them. The criterion is variance ×
//! time, the variance left after a fixed time: summed over rows of a plate, and including the time of the rest of a
//! step. Draws have keys that training never has, and times are stated, so that a race is a function of the seed and
//! the parameters alone.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::infer::pass::Mode;
use crate::infer::pass::slopes::Slopes;
use crate::infer::pass::survey::Survey;
use crate::infer::sites::columns::Columns;
use crate::infer::sites::cost_to_go::Work;
use crate::infer::sites::site::TrainedSite;
use crate::infer::sites::stem::without_indices;
use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::estimator::{Decision, Estimator, Rival, SiteClass};
use crate::model::ParamStore;
use crate::random::Key;

/// Number of draws in a race: the first for baselines, some more only to learn from.
const DRAWS: u64 = 160;
const WARM_UP: u64 = 112;
/// Minimum number of them that must reach a site.
const FEWEST: f64 = 8.0;
/// The time of the rest of a step, in units of an evaluation of the cost: the reverse pass, and the optimizer.
const REST: f64 = 3.0;
/// Bit of a key's particle that neither training nor a ledger sets.
const RACE: u64 = 1 << 33;

/// The contenders for one site.
pub(in crate::infer) struct Race {
    site: String,
    class: SiteClass,
    lanes: Vec<Lane>,
}

struct Lane {
    site: TrainedSite,
    gradient: Columns,
    /// Why it has left the race.
    problem: Option<String>,
}

/// The result of a race.
pub(in crate::infer) struct Outcome {
    pub(in crate::infer) site: String,
    /// The winner, with what it has learned.
    pub(in crate::infer) winner: TrainedSite,
    pub(in crate::infer) reason: String,
    pub(in crate::infer) rivals: Vec<Rival>,
}

impl Race {
    fn new(name: &str, site: &TrainedSite) -> Self {
        let lane = |estimator: &Rc<dyn Estimator>| Lane {
            site: TrainedSite::new(
                name,
                site.class,
                site.distribution,
                Decision::of(Rc::clone(estimator)),
            ),
            gradient: Columns::default(),
            problem: None,
        };
        Self {
            site: name.to_owned(),
            class: site.class,
            lanes: site.contenders.iter().map(lane).collect(),
        }
    }

    /// Whether another site would race in the same way.
    fn is_for(&self, site: &TrainedSite) -> bool {
        let key = |e: &dyn Estimator| (e.name(), e.evaluations(self.class));
        let lanes = self.lanes.iter().map(|lane| key(&*lane.site.estimator));
        self.class.resembles(site.class) && lanes.eq(site.contenders.iter().map(|e| key(&**e)))
    }

    fn needs_slope(&self) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|lane| lane.site.estimator.needs_slope())
    }

    /// Shows the contenders a draw.
    fn see(&mut self, work: &Work<'_>, params: &ParamStore, draw: u64) -> Result<()> {
        let class = self.class.meet(work.survey.class(work.place));
        if !class.resembles(self.class) {
            return Ok(());
        }
        for lane in &mut self.lanes {
            if lane.problem.is_some() {
                continue;
            }
            if lane.site.lacks_first_cost() {
                lane.site
                    .take_first_cost(work.survey.mean_cost(work.place)?);
                continue;
            }
            // A contender that fails where others do not is out.
            match lane
                .site
                .estimate_if_needed(work, params, &mut BTreeMap::new(), true)
            {
                Ok(Some(estimate)) if draw >= WARM_UP => lane.gradient.add(&estimate.summed),
                Ok(_) => {}
                Err(error) => lane.problem = Some(error.to_string()),
            }
        }
        Ok(())
    }

    /// The contender with the least variance × time; `None` if too few draws reached the site.
    pub(in crate::infer) fn outcome(self) -> Option<Outcome> {
        let class = self.class;
        let mut found: Vec<(f64, f64, TrainedSite)> = Vec::new();
        let mut rivals = Vec::new();
        for lane in self.lanes {
            let estimator = lane.site.estimator.name();
            let variance = lane.gradient.variance().filter(|v| v.is_finite());
            match (lane.problem, variance) {
                (None, Some(variance)) if lane.gradient.count >= FEWEST => {
                    let time = REST + lane.site.estimator.time(class);
                    found.push((variance, time, lane.site));
                }
                (Some(problem), _) => rivals.push(Rival { estimator, problem }),
                (None, _) => {}
            }
        }
        let key = |&(variance, time, _): &(f64, f64, TrainedSite)| (variance * time, time);
        let by_key = |a: &&(f64, f64, TrainedSite), b: &&(f64, f64, TrainedSite)| {
            let ((a, a_time), (b, b_time)) = (key(a), key(b));
            a.total_cmp(&b).then(a_time.total_cmp(&b_time))
        };
        let best = found.iter().min_by(by_key).map(key)?;
        let place = found.iter().position(|one| key(one) == best)?;
        let (variance, time, winner) = found.remove(place);
        let numbers = |variance: f64, time: f64| {
            let product = variance * time;
            format!(
                "variance {} × time {time:.1} = {}",
                short(variance),
                short(product)
            )
        };
        let reason = format!("raced {}: {}", found.len(), numbers(variance, time));
        rivals.extend(found.iter().map(|(variance, time, site)| Rival {
            estimator: site.estimator.name(),
            problem: numbers(*variance, *time),
        }));
        Some(Outcome {
            site: self.site,
            winner,
            reason,
            rivals,
        })
    }
}

/// The races between the contenders for some sites, one for all similar sites of a loop; and for each site the place of
/// its race.
pub(in crate::infer) fn races_of<'a>(
    sites: impl Iterator<Item = (&'a str, &'a TrainedSite)>,
) -> (Vec<Race>, Vec<(String, usize)>) {
    let (mut races, mut entries): (Vec<Race>, _) = (Vec::new(), Vec::new());
    let mut by_stem: FxHashMap<String, Vec<usize>> = FxHashMap::default();
    for (name, site) in sites.filter(|(_, site)| !site.contenders.is_empty()) {
        let known = by_stem.entry(without_indices(name)).or_default();
        let race = match known.iter().find(|&&race| races[race].is_for(site)) {
            Some(&race) => race,
            None => {
                known.push(races.len());
                races.push(Race::new(name, site));
                races.len() - 1
            }
        };
        entries.push((name.to_owned(), race));
    }
    (races, entries)
}

/// Holds races at all their sites with the same draws.
///
/// # Errors
/// Any error from the programs.
pub(in crate::infer) fn hold(races: &mut [Race], at: &Work<'_>, params: &ParamStore) -> Result<()> {
    // Training only has what a draw creates once it gets there by itself.
    let params = params.fork();
    let slopes = races.iter().any(Race::needs_slope);
    let mode = if slopes { Mode::DrawLeaves } else { Mode::Draw };
    for draw in 0..DRAWS {
        let key = Key {
            particle: RACE | draw,
            ..at.key
        };
        let pass = Rc::new(at.objective.evaluate(key, &params, &mode)?);
        let slopes = match slopes {
            true => Slopes::of(&pass, &[])?,
            false => None,
        };
        // Usually there is one race per loop.
        let survey = Survey::of_one(&pass);
        for race in &mut *races {
            let place = pass.latents.iter().position(|l| l.name == race.site);
            let Some(place) = place else { continue };
            let work = Work {
                pass: &pass,
                survey: &survey,
                place,
                latent: &pass.latents[place],
                slopes: slopes.as_ref(),
                key,
                ..*at
            };
            race.see(&work, &params, draw)?;
        }
    }
    Ok(())
}

/// A number with three digits.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size if (1e-2..1e4).contains(&size) => {
            let before = size.log10().floor() as i32;
            format!("{x:.*}", (2 - before).max(0) as usize)
        }
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_have_three_digits() {
        let found = [0.0, 0.0123456, 0.5, 12.345, 1234.5, 1.5e-7, 3e6].map(short);
        assert_eq!(
            found,
            ["0", "0.0123", "0.500", "12.3", "1234", "1.50e-7", "3.00e6"]
        );
    }
}

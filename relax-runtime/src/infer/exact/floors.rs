//! The floor of each site's gradient variance, by enumeration of all choices.
//!
//! Of a choice i the local expectation Σ_v ∂p(v | θᵢ)/∂θᵢ F(v, b₋ᵢ) is what its gradient comes to once the others
//! have fallen (Titsias and Lázaro-Gredilla 2015). An estimate from one draw whose mean, given the others, is
//! right has at least the variance of that. All combinations of values are grouped by what the others
//! are, each event of each row of each site being a choice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::error::Result;
use crate::infer::objective::Objective;
use crate::infer::pass::odometer::Odometer;
use crate::infer::pass::{Latent, Mode, Pass};
use crate::model::ParamStore;
use crate::random::Key;

/// By how much masses may differ that are products of the same numbers of single precision.
const ROUNDING: f64 = 1e-4;
/// A floor below the square of this share of the largest local expectation's terms is 0.
const NOTHING: f64 = 1e-6;

/// The floors of the sites of an objective, as means over the coordinates of the gradient summed over rows;
/// nothing of a site where later choices are drawn otherwise if it falls otherwise, so that they cannot be
/// held. Nothing at all if there are more than `largest` combinations, a choice is continuous, or the
/// objective is a bound of several samples.
///
/// # Errors
/// Whatever goes wrong in a program.
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
            (Ok(Some(false)), _) => return Ok(Some(table.floors())),
        }
    }
}

/// What all combinations have come to.
#[derive(Default)]
struct Table {
    names: BTreeMap<String, Site>,
    runs: Vec<Run>,
    entries: Vec<Entry>,
    numbers: Vec<f32>,
}

/// One combination.
struct Run {
    /// Its probability.
    mass: f64,
    /// A sum of hashes, one for each event's value.
    hash: u64,
    /// Of the sites that it came by.
    entries: Range<usize>,
}

/// A site as all combinations have it.
#[derive(Clone, Copy)]
struct Site {
    id: usize,
    layout: Layout,
    /// What its costs are measured from: they are rounded after that.
    origin: f64,
    /// Whether the layout is the same in all.
    steady: bool,
}

/// How many numbers belong to a site.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    rows: usize,
    /// Of a row.
    events: usize,
    /// Of an event.
    width: usize,
}

/// A site in one combination: the place of its values, its events' probabilities, its scores, and its rows'
/// costs-to-go, one after the other.
#[derive(Clone, Copy)]
struct Entry {
    id: usize,
    start: usize,
}

/// Combinations in which all choices but one fall alike.
#[derive(Default)]
struct Group {
    /// The probability of that.
    mass: Option<f64>,
    /// The probabilities of the choice's values that were seen.
    seen: f64,
    /// Of the choice's parameters.
    local: SmallVec<[f64; 4]>,
}

impl Layout {
    fn of(latent: &Latent, numbers: usize, width: usize) -> Self {
        let rows: usize = latent.plates.iter().map(|plate| plate.size).product();
        Self {
            rows,
            events: numbers / (rows * width).max(1),
            width,
        }
    }

    /// Numbers of all rows.
    fn numbers(self) -> usize {
        self.rows * self.events * self.width
    }

    fn hash(self, id: usize, event: usize, values: &[f32]) -> u64 {
        let start = (id as u64) << 32 | event as u64;
        let values = &values[event * self.width..][..self.width];
        values
            .iter()
            .fold(mixed(start), |hash, x| mixed(hash ^ u64::from(x.to_bits())))
    }
}

/// Of different numbers different ones that look random (the finaliser of splitmix64).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Table {
    fn add(&mut self, pass: &Pass) -> Result<()> {
        let (mut mass, mut hash, start) = (1.0, 0_u64, self.entries.len());
        for (place, latent) in pass.latents.iter().enumerate() {
            let Some(relaxation) = latent.law.relaxation() else {
                continue;
            };
            let theta = latent.law.parameters()[0].detach();
            let vertex = latent.law.to_vertex(&latent.value).detach();
            let layout = Layout::of(latent, theta.len(), relaxation.width(&theta.shape()));
            let known = self.names.len();
            let site = match self.names.get_mut(&*latent.name) {
                Some(site) => {
                    site.steady &= site.layout == layout;
                    *site
                }
                None => {
                    let cost = pass.cost_to_go(place)?.peek()?;
                    let origin = cost.iter().copied().find(|x| x.is_finite());
                    let site = Site {
                        id: known,
                        layout,
                        origin: origin.map_or(0.0, f64::from),
                        steady: layout.numbers() == theta.len(),
                    };
                    self.names.insert(latent.name.to_string(), site);
                    site
                }
            };
            let values = vertex.peek()?;
            let probabilities = relaxation.log_mass(&theta, &vertex).exp().peek()?;
            for event in 0..layout.rows * layout.events {
                hash = hash.wrapping_add(layout.hash(site.id, event, &values));
            }
            mass *= probabilities.iter().map(|&p| f64::from(p)).product::<f64>();
            self.entries.push(Entry {
                id: site.id,
                start: self.numbers.len(),
            });
            self.numbers.extend(values);
            self.numbers.extend(probabilities);
            self.numbers
                .extend(relaxation.score(&theta, &vertex).peek()?);
            self.numbers
                .extend(pass.cost_to_go_from(place, site.origin)?.peek()?);
        }
        self.runs.push(Run {
            mass,
            hash,
            entries: start..self.entries.len(),
        });
        Ok(())
    }

    fn floors(&self) -> BTreeMap<String, Option<f64>> {
        let floor = |(name, site): (&String, &Site)| {
            let floor = site.steady.then(|| self.floor(site)).flatten();
            (name.clone(), floor)
        };
        self.names.iter().map(floor).collect()
    }

    /// The combinations that come by a site.
    fn at(&self, site: &Site) -> Vec<(&Run, Entry)> {
        let entry = |run: &Run| {
            let mut entries = self.entries[run.entries.clone()].iter();
            entries.find(|entry| entry.id == site.id).copied()
        };
        let runs = self.runs.iter();
        runs.filter_map(|run| Some((run, entry(run)?))).collect()
    }

    fn floor(&self, site: &Site) -> Option<f64> {
        let Layout {
            rows,
            events,
            width,
        } = site.layout;
        let runs = self.at(site);
        let total: f64 = runs.iter().map(|(run, _)| run.mass).sum();
        let (mut variance, mut size) = (0.0, 0.0_f64);
        for event in 0..events {
            // Of each combination the local expectations of the rows' choices, added up.
            let mut sums = vec![0.0; runs.len() * width];
            for row in 0..rows {
                let groups = self.groups(site, &runs, row, row * events + event, &mut size)?;
                for ((run, entry), sums) in runs.iter().zip(sums.chunks_mut(width)) {
                    let local = &groups
                        .get(&self.key(site, run, *entry, row * events + event))?
                        .local;
                    sums.iter_mut().zip(local).for_each(|(sum, x)| *sum += x);
                }
            }
            for at in 0..width {
                let sums = || runs.iter().zip(sums.iter().skip(at).step_by(width));
                let sums = || sums().filter(|((run, _), _)| run.mass > 0.0);
                let mean: f64 = sums().map(|((run, _), x)| run.mass * x).sum::<f64>() / total;
                let square = |((run, _), x): (&(&Run, Entry), &f64)| run.mass * (x - mean).powi(2);
                variance += sums().map(square).sum::<f64>() / total;
            }
        }
        let mean = variance / (events * width) as f64;
        match mean.is_finite() {
            true if mean <= (NOTHING * size).powi(2) => Some(0.0),
            true => Some(mean),
            false => None,
        }
    }

    /// What all other choices of a combination are.
    fn key(&self, site: &Site, run: &Run, entry: Entry, event: usize) -> u64 {
        let values = &self.numbers[entry.start..][..site.layout.numbers()];
        run.hash
            .wrapping_sub(site.layout.hash(site.id, event, values))
    }

    /// The local expectations of a choice, by what all others are; nothing if these have other
    /// probabilities, or are others, as the choice falls. `size` is the largest term so far.
    fn groups(
        &self,
        site: &Site,
        runs: &[(&Run, Entry)],
        row: usize,
        event: usize,
        size: &mut f64,
    ) -> Option<FxHashMap<u64, Group>> {
        let (layout, all) = (site.layout, site.layout.numbers());
        let events = layout.rows * layout.events;
        let mut groups: FxHashMap<u64, Group> = FxHashMap::default();
        for (run, entry) in runs {
            let numbers = &self.numbers[entry.start..][..2 * all + events + layout.rows];
            let (values, rest) = numbers.split_at(all);
            let (probabilities, rest) = rest.split_at(events);
            let (scores, costs) = rest.split_at(all);
            let p = f64::from(probabilities[event]);
            let key = run.hash.wrapping_sub(layout.hash(site.id, event, values));
            let group = groups.entry(key).or_default();
            group.local.resize(layout.width, 0.0);
            if p == 0.0 {
                continue;
            }
            let others = run.mass / p;
            let mass = *group.mass.get_or_insert(others);
            if (mass - others).abs() > ROUNDING * mass.max(others) {
                return None;
            }
            group.seen += p;
            let cost = p * f64::from(costs[row]);
            let scores = &scores[event * layout.width..][..layout.width];
            for (sum, &score) in group.local.iter_mut().zip(scores) {
                let term = cost * f64::from(score);
                *sum += term;
                *size = size.max(term.abs());
            }
        }
        let whole = |group: &Group| (group.seen - 1.0).abs() < ROUNDING;
        groups.values().all(whole).then_some(groups)
    }
}

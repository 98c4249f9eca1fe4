//! The floor of a site on which no later choice depends: all others are held at their values.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Variance;
use super::table::{Entry, Run, Site, Table};

/// Tolerance between masses that are products of the same single-precision numbers.
const ROUNDING: f64 = 1e-4;

/// Combinations that differ in a single choice.
#[derive(Default)]
struct Group {
    /// The probability of the other choices.
    mass: Option<f64>,
    /// The probabilities of the choice's values that were seen.
    seen: f64,
    /// The local expectation by the choice's parameters.
    local: SmallVec<[f64; 4]>,
}

/// The variance of a site's local expectations, summed over rows; `None` if the other choices or their probabilities
/// depend on the site's value.
pub(super) fn held(table: &Table, site: &Site) -> Option<Variance> {
    let layout = site.layout;
    let runs = table.at(site);
    let total: f64 = runs.iter().map(|(run, _)| run.mass).sum();
    let (mut variance, mut size) = (0.0, 0.0_f64);
    for event in 0..layout.events {
        let mut sums = vec![0.0; runs.len() * layout.width];
        for row in 0..layout.rows {
            let choice = row * layout.events + event;
            let groups = groups(table, site, &runs, (row, choice), &mut size)?;
            for ((run, entry), sums) in runs.iter().zip(sums.chunks_mut(layout.width)) {
                let local = &groups.get(&others(table, site, run, *entry, choice))?.local;
                sums.iter_mut().zip(local).for_each(|(sum, x)| *sum += x);
            }
        }
        for at in 0..layout.width {
            let sums = || runs.iter().zip(sums.iter().skip(at).step_by(layout.width));
            let sums = || sums().filter(|((run, _), _)| run.mass > 0.0);
            let mean = sums().map(|((run, _), x)| run.mass * x).sum::<f64>() / total;
            let square = |((run, _), x): (&(&Run, Entry), &f64)| run.mass * (x - mean).powi(2);
            variance += sums().map(square).sum::<f64>() / total;
        }
    }
    Some(Variance {
        mean: variance / (layout.events * layout.width) as f64,
        size,
    })
}

/// A hash of all other choices of a combination.
fn others(table: &Table, site: &Site, run: &Run, entry: Entry, choice: usize) -> u64 {
    let own = site.layout.hash(site.id, choice, table.view(entry).values);
    run.hash.wrapping_sub(own)
}

/// The local expectations of a row's choice, by the values of all others. `size` is the largest term so far.
fn groups(
    table: &Table,
    site: &Site,
    runs: &[(&Run, Entry)],
    (row, choice): (usize, usize),
    size: &mut f64,
) -> Option<FxHashMap<u64, Group>> {
    let mut groups: FxHashMap<u64, Group> = FxHashMap::default();
    for (run, entry) in runs {
        let view = table.view(*entry);
        let group = groups
            .entry(others(table, site, run, *entry, choice))
            .or_default();
        group.local.resize(site.layout.width, 0.0);
        let p = f64::from(view.probabilities[choice]);
        if p == 0.0 {
            continue;
        }
        let others = run.mass / p;
        let mass = *group.mass.get_or_insert(others);
        if (mass - others).abs() > ROUNDING * mass.max(others) {
            return None;
        }
        group.seen += p;
        let cost = p * f64::from(view.costs[row]);
        let scores = &view.scores[site.layout.at(choice)];
        for (sum, &score) in group.local.iter_mut().zip(scores) {
            let term = cost * f64::from(score);
            *sum += term;
            *size = size.max(term.abs());
        }
    }
    let whole = |group: &Group| (group.seen - 1.0).abs() < ROUNDING;
    groups.values().all(whole).then_some(groups)
}

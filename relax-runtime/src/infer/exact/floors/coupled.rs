//! The floor of a site on which later choices depend: their noise is held, not their values.
//!
//! Given the choices before the site, the mean square of the local expectation is a sum over pairs of combinations: the
//! product of their contributions times the probability that the same noise leads to both. Choices have noise of their
//! own, so this is a product over them. For a coin, which is 1 where u > 1 − p, probabilities p and p′ give min(p, p′)
//! for 1 and 1, max(p − p′, 0) for 1 and 0. A choice with the same parameters in both has the same value; one that only
//! one of them reaches counts as it does alone.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Variance;
use super::table::{Entry, Run, Site, Table, View};

/// Maximum number of pairs: more would take too long.
const MOST: usize = 1 << 22;

/// A combination from the site on.
struct Tail<'t> {
    /// The probability of its choices before the site.
    before: f64,
    own: View<'t>,
    /// The choices after the site.
    later: &'t [Entry],
}

/// The variance of a site's local expectations; `None` if it stands in rows, there are too many pairs, or the
/// parameters of a later choice that is not a coin depend on the site's value.
pub(super) fn coupled(table: &Table, site: &Site) -> Option<Variance> {
    let layout = site.layout;
    if layout.rows != 1 {
        return None;
    }
    let histories = histories(table, site);
    let pairs = histories.values().map(|tails| tails.len() * tails.len());
    if pairs.sum::<usize>() * layout.events > MOST {
        return None;
    }
    let (mut total, mut variance, mut size) = (0.0, 0.0, 0.0_f64);
    for tails in histories.values() {
        total += tails.first()?.before;
    }
    for event in 0..layout.events {
        let mut mean: SmallVec<[f64; 4]> = SmallVec::from_elem(0.0, layout.width);
        let mut square = mean.clone();
        for tails in histories.values() {
            // ∂p(v)/∂θ F, without the probability of the other choices.
            let parts: Vec<SmallVec<[f64; 4]>> =
                tails.iter().map(|tail| part(tail, site, event)).collect();
            size = parts
                .iter()
                .flatten()
                .fold(size, |size, x| size.max(x.abs()));
            let share = tails.first()?.before / total;
            for (tail, part) in tails.iter().zip(&parts) {
                let p = alone(table, tail, event);
                mean.iter_mut()
                    .zip(part)
                    .for_each(|(m, x)| *m += share * p * x);
                for (other, its_part) in tails.iter().zip(&parts) {
                    let p = share * together(table, site, [tail, other], event)?;
                    let products = part.iter().zip(its_part).map(|(x, y)| x * y);
                    square
                        .iter_mut()
                        .zip(products)
                        .for_each(|(s, x)| *s += p * x);
                }
            }
        }
        let of = |(square, mean): (&f64, &f64)| (square - mean * mean).max(0.0);
        variance += square.iter().zip(&mean).map(of).sum::<f64>();
    }
    Some(Variance {
        mean: variance / (layout.events * layout.width) as f64,
        size,
    })
}

/// The combinations that reach a site, by the values of the choices before it.
fn histories<'t>(table: &'t Table, site: &Site) -> BTreeMap<u64, Vec<Tail<'t>>> {
    let mut histories: BTreeMap<u64, Vec<Tail<'t>>> = BTreeMap::new();
    for (run, own) in table.at(site) {
        let entries = table.entries(run);
        let place = entries.iter().position(|entry| entry.id == site.id);
        let (before, after) = entries.split_at(place.unwrap_or_default());
        let (hash, mass) = history(table, run, before, after);
        if mass > 0.0 {
            histories.entry(hash).or_default().push(Tail {
                before: mass,
                own: table.view(own),
                later: &after[1..],
            });
        }
    }
    histories
}

/// A hash of the choices of a run without those `after`, and the probability of those `before`.
fn history(table: &Table, run: &Run, before: &[Entry], after: &[Entry]) -> (u64, f64) {
    let mut hash = run.hash;
    for &entry in after {
        let (layout, view) = (table.layout(entry), table.view(entry));
        for choice in 0..layout.rows * layout.events {
            hash = hash.wrapping_sub(layout.hash(entry.id, choice, view.values));
        }
    }
    let masses = before
        .iter()
        .flat_map(|&entry| table.view(entry).probabilities);
    (hash, masses.map(|&p| f64::from(p)).product())
}

fn part(tail: &Tail<'_>, site: &Site, event: usize) -> SmallVec<[f64; 4]> {
    let p = f64::from(tail.own.probabilities[event]);
    let cost = if p > 0.0 {
        p * f64::from(tail.own.costs[0])
    } else {
        0.0
    };
    let scores = &tail.own.scores[site.layout.at(event)];
    scores
        .iter()
        .map(|&score| cost * f64::from(score))
        .collect()
}

/// The probability of everything from the site on, except one of its events.
fn alone(table: &Table, tail: &Tail<'_>, event: usize) -> f64 {
    let siblings = tail.own.probabilities.iter().enumerate();
    let siblings = siblings.filter(|&(at, _)| at != event).map(|(_, p)| p);
    let later = tail.later.iter();
    let later = later.flat_map(|&entry| table.view(entry).probabilities);
    siblings.chain(later).map(|&p| f64::from(p)).product()
}

/// The probability that the same noise leads to both of two combinations, apart from the site's event.
fn together(table: &Table, site: &Site, pair: [&Tail<'_>; 2], event: usize) -> Option<f64> {
    let [one, other] = pair;
    let mut p = 1.0;
    for sibling in (0..site.layout.events).filter(|&at| at != event) {
        let at = site.layout.at(sibling);
        if one.own.values[at.clone()] != other.own.values[at] {
            return Some(0.0);
        }
        p *= f64::from(one.own.probabilities[sibling]);
    }
    for &entry in one.later {
        let (layout, view) = (table.layout(entry), table.view(entry));
        let same = other.later.iter().find(|same| same.id == entry.id);
        let same = same.map(|&same| table.view(same));
        for choice in 0..layout.rows * layout.events {
            let mass = f64::from(view.probabilities[choice]);
            let Some(same) = same else {
                p *= mass;
                continue;
            };
            let at = layout.at(choice);
            let alike = view.values[at.clone()] == same.values[at.clone()];
            let mass_there = f64::from(same.probabilities[choice]);
            p *= match (view.theta[at.clone()] == same.theta[at], layout.coins) {
                (true, _) => f64::from(u8::from(alike)) * mass,
                // The probability of the other side is what is left.
                (false, true) if alike => mass.min(mass_there),
                (false, true) => (mass - (1.0 - mass_there)).max(0.0),
                (false, false) => return None,
            };
        }
        if p == 0.0 {
            return Some(0.0);
        }
    }
    let missing = other.later.iter().filter(|entry| {
        let mut here = one.later.iter();
        !here.any(|here| here.id == entry.id)
    });
    let masses = missing.flat_map(|&entry| table.view(entry).probabilities);
    Some(masses.fold(p, |p, &mass| p * f64::from(mass)))
}

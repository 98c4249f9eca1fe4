//! Volume-preserving maps of places: symmetries that posteriors often have.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::places::{Place, Values};
use crate::dist::{Bijection, Form, Law};
use crate::tensor::{Shape, Tensor};

/// Groups of at most this many members exchange every pair; larger groups, neighbors.
const MOST_PAIRED: usize = 4;
/// Maximum number of sites that are mirrored one by one.
const MOST_MIRRORED: usize = 4;

/// A map of places.
pub(super) struct Turn {
    pub(super) words: String,
    /// How sites change; others stay.
    changes: Vec<(String, Change)>,
}

#[derive(Clone)]
enum Change {
    /// The site takes the value of another site.
    From(String),
    /// Two members of a group are exchanged along all axes of that length, including those of the vertices of
    /// categories.
    Exchanged {
        members: usize,
        pair: (usize, usize),
    },
    /// Numbers are mirrored at these centers.
    Mirrored(Tensor),
    /// Each number x between 0 and 1 becomes 1 − x.
    Flipped,
}

impl Turn {
    /// The values to which it maps a place.
    pub(super) fn of(&self, place: &Place) -> Option<Values> {
        let mut values = (*place.values).clone();
        for (name, change) in &self.changes {
            let before = values.get(name)?;
            let value = match change {
                Change::From(other) => place.values.get(other)?.clone(),
                Change::Mirrored(middle) => middle * 2.0 - before,
                Change::Flipped => 1.0 - before,
                Change::Exchanged { members, pair } => {
                    let law = place.law(name)?;
                    let vertex = law.to_vertex(before);
                    law.value_at(&exchanged(&vertex, *members, *pair)?)
                }
            };
            values.insert(name.clone(), value.kept());
        }
        Some(Rc::new(values))
    }
}

/// A tensor with two members exchanged along each axis of length `members`.
fn exchanged(t: &Tensor, members: usize, (a, b): (usize, usize)) -> Option<Tensor> {
    let shape = t.shape();
    let numbers = t.peek().ok()?;
    let of_member = |at: usize| match at {
        at if at == a => b,
        at if at == b => a,
        at => at,
    };
    let mut turned = Vec::with_capacity(numbers.len());
    for place in 0..numbers.len() {
        let (mut rest, mut from, mut stride) = (place, 0, 1);
        for &size in shape.iter().rev() {
            let at = rest % size;
            rest /= size;
            from += stride * if size == members { of_member(at) } else { at };
            stride *= size;
        }
        turned.push(numbers[from]);
    }
    Tensor::from_vec(turned, shape, &t.device()).ok()
}

/// The turns to try at places like this one, given the model's own laws.
pub(super) fn turns(place: &Place, stated: &BTreeMap<String, Rc<dyn Law>>) -> Vec<Turn> {
    let sites: Vec<Site<'_>> = place
        .laws
        .iter()
        .filter_map(|(name, law)| {
            let stated = &**stated.get(name)?;
            let shape = law.to_vertex(&place.values[name]).shape();
            Some(Site {
                name,
                stated,
                shape,
            })
        })
        .collect();
    let mut turns = exchanges(&sites);
    turns.extend(pairs(&sites));
    turns.extend(mirrors(&sites));
    turns
}

struct Site<'a> {
    name: &'a str,
    stated: &'a dyn Law,
    shape: Shape,
}

impl Site<'_> {
    /// Whether flipping its numbers to 1 − x makes sense: for numbers between 0 and 1, and coins.
    fn is_flipped(&self) -> bool {
        let is_coin =
            self.stated.relaxation().map(|relaxation| relaxation.form()) == Some(Form::Coins);
        is_coin || matches!(self.stated.bijection(), Some(Bijection::Unit))
    }

    fn flip(&self) -> (String, Change) {
        (self.name.to_owned(), Change::Flipped)
    }
}

/// A turn of two members of a group, and the same with the other sites' numbers between 0 and 1 and coins flipped, if
/// there are any.
fn with_flips(words: String, changes: Vec<(String, Change)>, sites: &[Site<'_>]) -> Vec<Turn> {
    let is_beside = |site: &&Site<'_>| changes.iter().all(|(name, _)| name != site.name);
    let flips = sites.iter().filter(|site| site.is_flipped());
    let flips: Vec<_> = flips.filter(is_beside).map(Site::flip).collect();
    let mut turns = Vec::new();
    if !flips.is_empty() {
        turns.push(Turn {
            words: words.clone(),
            changes: [changes.clone(), flips].concat(),
        });
    }
    turns.push(Turn { words, changes });
    turns
}

/// Exchanges of two members in all sites that have an axis of the same length.
fn exchanges(sites: &[Site<'_>]) -> Vec<Turn> {
    let mut groups: BTreeMap<usize, Vec<&Site<'_>>> = BTreeMap::new();
    for site in sites {
        let mut sizes: Vec<usize> = site
            .shape
            .iter()
            .copied()
            .filter(|&size| size > 1)
            .collect();
        sizes.dedup();
        sizes
            .iter()
            .for_each(|&size| groups.entry(size).or_default().push(site));
    }
    let mut turns = Vec::new();
    for (members, group) in groups {
        for (a, b) in paired(members) {
            let pair = (a, b);
            let change =
                |site: &&Site<'_>| (site.name.to_owned(), Change::Exchanged { members, pair });
            let names: Vec<String> = group
                .iter()
                .map(|site| format!("`{}`", site.name))
                .collect();
            let words = format!("members {a} and {b} of {} exchanged", names.join(", "));
            let changes: Vec<_> = group.iter().map(change).collect();
            match members {
                2 => turns.extend(with_flips(words, changes, sites)),
                _ => turns.push(Turn { words, changes }),
            }
        }
    }
    turns
}

/// The pairs of members to exchange.
fn paired(members: usize) -> Vec<(usize, usize)> {
    match members <= MOST_PAIRED {
        true => (0..members)
            .flat_map(|a| (a + 1..members).map(move |b| (a, b)))
            .collect(),
        false => (1..members.min(2 * MOST_PAIRED))
            .map(|b| (b - 1, b))
            .collect(),
    }
}

/// Exchanges of sites of the same law and shape, done at the same positions in all such groups.
fn pairs(sites: &[Site<'_>]) -> Vec<Turn> {
    let mut groups: BTreeMap<(&str, Vec<usize>), Vec<&Site<'_>>> = BTreeMap::new();
    for site in sites
        .iter()
        .filter(|site| !site.stated.draws().are_discrete())
    {
        let kind = (site.stated.name(), site.shape.to_vec());
        groups.entry(kind).or_default().push(site);
    }
    let mut turns = Vec::new();
    let mut sizes: Vec<usize> = groups
        .values()
        .map(Vec::len)
        .filter(|&size| size > 1)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    for members in sizes {
        for (a, b) in paired(members) {
            let (mut changes, mut names) = (Vec::new(), Vec::new());
            for group in groups.values().filter(|group| group.len() == members) {
                let (a, b) = (group[a].name, group[b].name);
                changes.push((a.to_owned(), Change::From(b.to_owned())));
                changes.push((b.to_owned(), Change::From(a.to_owned())));
                names.push(format!("`{a}` and `{b}`"));
            }
            let words = format!("{} exchanged", names.join(", "));
            match members {
                2 => turns.extend(with_flips(words, changes, sites)),
                _ => turns.push(Turn { words, changes }),
            }
        }
    }
    turns
}

/// Numbers mirrored at the model's mean, and at 0: those of single sites, and of all.
fn mirrors(sites: &[Site<'_>]) -> Vec<Turn> {
    let is_real = |site: &&Site<'_>| matches!(site.stated.bijection(), Some(Bijection::Real));
    let real: Vec<&Site<'_>> = sites.iter().filter(is_real).collect();
    let mirrored = |sites: &[&Site<'_>], at_mean: bool| {
        let change = |site: &&Site<'_>| {
            let mean = site.stated.mean().kept();
            let middle = if at_mean { mean } else { mean.zeros_like() };
            (site.name.to_owned(), Change::Mirrored(middle))
        };
        let names: Vec<String> = sites
            .iter()
            .map(|site| format!("`{}`", site.name))
            .collect();
        let names = match names.len() > MOST_MIRRORED {
            true => String::from("all numbers"),
            false => names.join(", "),
        };
        Turn {
            words: match at_mean {
                true => format!("{names} mirrored at the mean that the model states"),
                false => format!("the sign of {names} changed"),
            },
            changes: sites.iter().map(change).collect(),
        }
    };
    let mut turns = Vec::new();
    for at_mean in [false, true] {
        let single = real.iter().take(MOST_MIRRORED);
        turns.extend(single.map(|site| mirrored(&[*site], at_mean)));
        if real.len() > 1 {
            turns.push(mirrored(&real, at_mean));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::tensor::Device;

    #[test]
    fn members_are_exchanged_along_axes_of_their_number() -> Result<()> {
        let numbers = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let t = Tensor::from_vec(numbers, [2, 3], &Device::cpu())?;
        let found = |members, pair| exchanged(&t, members, pair).map(|t| t.peek());
        let rows = found(2, (0, 1)).transpose()?;
        assert_eq!(rows, Some(vec![4.0, 5.0, 6.0, 1.0, 2.0, 3.0]));
        let columns = found(3, (0, 2)).transpose()?;
        assert_eq!(columns, Some(vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0]));
        Ok(())
    }
}

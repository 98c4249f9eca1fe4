//! For every site at once, sums over all sets that contain it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::tensor::{Block, SiteSet, Word};

/// Adds up for each site the numbers of the sets that contain it: calls `give` with the site and a part of its sum.
///
/// Numbers go down the blocks that sets share, once through each block. Nothing is subtracted, so that a small sum is
/// as exact beside large ones as it is alone, and finite beside infinite ones.
pub(in crate::infer) fn spread<'s, V: Clone>(
    sets: impl IntoIterator<Item = (&'s SiteSet, V)>,
    add: impl Fn(&mut V, &V),
    mut give: impl FnMut(usize, &V),
) {
    let mut sums = Sums {
        add,
        words: BTreeMap::new(),
        known: FxHashMap::default(),
    };
    for (set, number) in sets {
        let (first, more) = set.parts();
        for word in first.into_iter().filter(|word| word.bits != 0) {
            sums.take(word, None, &number);
        }
        sums.take_block(more, &number);
    }
    // Predecessors of a block have a lower index.
    while let Some((_, found)) = sums.words.pop_last() {
        for Found { before, sum, .. } in &found {
            sums.take_block(*before, sum);
        }
        give_sites(found, &sums.add, &mut give);
    }
}

/// The sums so far, for words that are still to be looked at.
struct Sums<'s, V, F> {
    add: F,
    /// By word index.
    words: BTreeMap<usize, Vec<Found<'s, V>>>,
    /// The place of a word among those of its index, by its predecessor, if it is not among the first.
    known: FxHashMap<(Word, *const Block), usize>,
}

/// Up to this many words of an index are searched faster than hashed: all of them for sets that have grown one from
/// another.
const FEW: usize = 64;

/// A word of some sets, and the sum of their numbers.
struct Found<'s, V> {
    word: Word,
    before: Option<&'s Block>,
    sum: V,
}

impl<'s, V: Clone, F: Fn(&mut V, &V)> Sums<'s, V, F> {
    fn take(&mut self, word: Word, before: Option<&'s Block>, number: &V) {
        let found = self.words.entry(word.index).or_default();
        let address = before.map_or(std::ptr::null(), std::ptr::from_ref);
        let is_it = |known: &Found<'_, V>| {
            let before = known.before.map_or(std::ptr::null(), std::ptr::from_ref);
            known.word == word && before == address
        };
        // Usually it is the last one.
        let first = &found[..found.len().min(FEW)];
        let at = match found.last().is_some_and(is_it) {
            true => found.len() - 1,
            false => match first.iter().rposition(is_it) {
                Some(at) => at,
                None if found.len() < FEW => found.len(),
                None => *self.known.entry((word, address)).or_insert(found.len()),
            },
        };
        match found.get_mut(at) {
            Some(known) => (self.add)(&mut known.sum, number),
            None => found.push(Found {
                word,
                before,
                sum: number.clone(),
            }),
        }
    }

    fn take_block(&mut self, block: Option<&'s Block>, number: &V) {
        if let Some(block) = block {
            self.take(block.word(), block.before(), number);
        }
    }
}

/// Adds up the words of one index. If one contains all sites of the next, and so on, as in sets that have grown one
/// from another, each number is added once.
fn give_sites<V>(
    mut found: Vec<Found<'_, V>>,
    add: &impl Fn(&mut V, &V),
    give: &mut impl FnMut(usize, &V),
) {
    found.sort_by_key(|found| Reverse(found.word.bits.count_ones()));
    // The last word of each nested sequence, and the sum over all of them.
    let mut nested: Vec<(Word, V)> = Vec::new();
    for Found { word, sum, .. } in found {
        let holds = |(last, _): &&mut (Word, V)| word.bits & !last.bits == 0;
        match nested.iter_mut().find(holds) {
            Some((last, all)) => {
                let bits = last.bits & !word.bits;
                Word { bits, ..*last }
                    .sites()
                    .for_each(|site| give(site, all));
                add(all, &sum);
                *last = word;
            }
            None => nested.push((word, sum)),
        }
    }
    for (last, all) in &nested {
        last.sites().for_each(|site| give(site, all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    fn sums(sets: &[SiteSet], numbers: &[f64], of: usize) -> Vec<f64> {
        let mut sums = vec![0.0; of];
        let pairs = sets.iter().zip(numbers.iter().copied());
        spread(pairs, |a, b| *a += b, |site, sum| sums[site] += sum);
        sums
    }

    /// Whole numbers, whose sums are exact in any order.
    #[test]
    fn every_site_gets_the_numbers_of_its_sets() {
        let mut stream = Key::new(1).stream("sets");
        for of in [3, 70, 127, 129, 300, 2_000] {
            let mut sets = vec![SiteSet::EMPTY];
            for _ in 0..300 {
                let a = sets[stream.below(sets.len())].clone();
                let b = match stream.below(3) {
                    0 => SiteSet::EMPTY,
                    1 => sets[stream.below(sets.len())].clone(),
                    _ => sets[sets.len() - 1].clone(),
                };
                let mut set = a.union(b);
                (0..stream.below(4)).for_each(|_| set.insert(stream.below(of)));
                sets.push(set);
            }
            let numbers: Vec<f64> = sets.iter().map(|_| stream.below(1_000) as f64).collect();
            for (site, sum) in sums(&sets, &numbers, of).into_iter().enumerate() {
                let holds = |(set, _): &(&SiteSet, &f64)| set.contains(site);
                let expected = sets.iter().zip(&numbers).filter(holds).map(|(_, x)| x);
                assert_eq!(sum, expected.sum::<f64>(), "site {site} of {of}");
            }
        }
    }

    /// A term that is infinite, or very large, only belongs to the sites before it.
    #[test]
    fn infinite_and_large_numbers_stay_where_they_belong() {
        const MANY: usize = 500;
        let mut set = SiteSet::EMPTY;
        let mut sets = Vec::new();
        for site in 0..MANY {
            set.insert(site);
            sets.push(set.clone());
        }
        let mut numbers = vec![0.1; MANY];
        (numbers[100], numbers[300]) = (f64::INFINITY, 1e300);
        for (site, sum) in sums(&sets, &numbers, MANY).into_iter().enumerate() {
            let expected = 0.1 * (MANY - site) as f64;
            match site {
                0..=100 => assert_eq!(sum, f64::INFINITY),
                101..=300 => assert_eq!(sum, 1e300),
                _ => assert!((sum - expected).abs() < 1e-12 * expected, "{site}: {sum}"),
            }
        }
    }

    /// Sets that grow in turn take a number of additions proportional to their number.
    #[test]
    fn sets_that_grow_take_few_additions() {
        let count = |many: usize| {
            let mut grown = [SiteSet::EMPTY, SiteSet::EMPTY];
            let mut sets = Vec::new();
            for site in 0..many {
                grown[site % 2].insert(site);
                sets.push(grown[site % 2].clone());
            }
            let (calls, given) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
            let add = |a: &mut u64, b: &u64| {
                *a += b;
                calls.set(calls.get() + 1);
            };
            let pairs = sets.iter().map(|set| (set, 1));
            spread(pairs, add, |_, _| given.set(given.get() + 1));
            calls.get() + given.get()
        };
        let (few, many) = (count(500), count(5_000));
        assert!(many <= 12 * few, "{few} {many}");
        assert!(many <= 6 * 5_000, "{many}");
    }
}

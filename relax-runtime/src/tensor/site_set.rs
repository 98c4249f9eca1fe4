//! Sets of random sites.

use std::fmt;
use std::rc::Rc;

use smallvec::SmallVec;

/// A set of sites, by their index in a run.
///
/// The first sites are bits of the set itself. The others are in blocks, from the last site to the
/// first, and sets that grow one from another share the blocks that they have in common: a run's sets
/// {0}, {0, 1}, {0, 1, 2}, ... take memory in proportion to their number, and the union of a set
/// with one that it has grown from only looks at the new blocks.
#[derive(Clone, Default)]
pub struct SiteSet {
    first: [u64; 2],
    more: Blocks,
}

/// Blocks from the last to the first.
type Blocks = Option<Rc<Block>>;

/// Neighboring sites of a set; at least one.
pub(crate) struct Block {
    place: Word,
    before: Blocks,
}

/// The sites from 64·`index` on that are set in `bits`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Word {
    pub(crate) index: usize,
    pub(crate) bits: u64,
}

/// Number of sites that are bits of the set itself. (Two words, rather than one number of 128 bits, whose
/// alignment makes allocators slow.)
const FIRST: usize = 127;
/// The bit after them, in the second word.
const MARK: u64 = 1 << 63;

impl Word {
    fn of(site: usize) -> Self {
        Self {
            index: site / 64,
            bits: 1 << (site % 64),
        }
    }

    /// The sites, in order.
    pub(crate) fn sites(self) -> impl Iterator<Item = usize> {
        let mut bits = self.bits;
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(64 * self.index + bit)
        })
    }
}

impl SiteSet {
    /// The set without sites.
    pub const EMPTY: Self = Self {
        first: [0; 2],
        more: None,
    };

    /// Adds a site.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        let word = Word::of(index);
        if index < FIRST {
            self.first[word.index] |= word.bits;
        } else {
            self.more = with(self.more.take(), word);
        }
    }

    /// The sites of either set.
    #[must_use]
    #[inline]
    pub fn union(mut self, other: Self) -> Self {
        self.add(&other);
        self
    }

    /// Whether the site is in the set.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        let word = Word::of(index);
        if index < FIRST {
            return self.first[word.index] & word.bits != 0;
        }
        let mut blocks = blocks(&self.more).skip_while(|block| block.place.index > word.index);
        let block = blocks.next().map(|block| block.place);
        block.is_some_and(|at| at.index == word.index && at.bits & word.bits != 0)
    }

    /// Adds the sites of another set.
    #[inline]
    pub(crate) fn add(&mut self, other: &Self) {
        self.first[0] |= other.first[0];
        self.first[1] |= other.first[1];
        if other.more.is_some() && !same(&self.more, &other.more) {
            self.more = merged(&self.more, &other.more);
        }
    }

    /// Whether all sites of another set are in this one, as far as a quick look tells.
    #[inline]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.first, other.first);
        (c & !a) | (d & !b) == 0 && (other.more.is_none() || same(&self.more, &other.more))
    }

    /// Adds the mark of a value that is treated as if it were a site of its own.
    pub(super) fn mark(&mut self) {
        self.first[1] |= MARK;
    }

    pub(super) fn is_marked(&self) -> bool {
        self.first[1] & MARK != 0
    }

    pub(super) fn unmarked(mut self) -> Self {
        self.first[1] &= !MARK;
        self
    }

    /// The sites that are bits of the set itself, and the last block of the others.
    pub(crate) fn parts(&self) -> ([Word; 2], Option<&Block>) {
        let [a, b] = self.first;
        let word = |index, bits| Word { index, bits };
        ([word(0, a), word(1, b & !MARK)], self.more.as_deref())
    }

    /// The sites, those of a block in order.
    pub(crate) fn sites(&self) -> impl Iterator<Item = usize> {
        let (first, _) = self.parts();
        let more = blocks(&self.more).map(|block| block.place);
        first.into_iter().chain(more).flat_map(Word::sites)
    }

    /// For each site of a run with `of` sites, whether it is in the set.
    pub(crate) fn members(&self, of: usize) -> Vec<bool> {
        let mut members = vec![false; of];
        for site in self.sites().filter(|&site| site < of) {
            members[site] = true;
        }
        members
    }
}

impl Block {
    pub(crate) fn word(&self) -> Word {
        self.place
    }

    /// The block before this one.
    pub(crate) fn before(&self) -> Option<&Self> {
        self.before.as_deref()
    }
}

fn new(place: Word, before: Blocks) -> Blocks {
    Some(Rc::new(Block { place, before }))
}

fn blocks(last: &Blocks) -> impl Iterator<Item = &Block> {
    std::iter::successors(last.as_deref(), |block| block.before())
}

/// Whether these are the same blocks in memory.
fn same(a: &Blocks, b: &Blocks) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

/// Adds sites of one word; usually they are the last.
fn with(blocks: Blocks, word: Word) -> Blocks {
    match blocks {
        Some(last) if last.place.index > word.index => merged(&Some(last), &new(word, None)),
        Some(last) if last.place.index == word.index => {
            let bits = last.place.bits | word.bits;
            match bits == last.place.bits {
                true => Some(last),
                false => new(Word { bits, ..word }, last.before.clone()),
            }
        }
        before => new(word, before),
    }
}

/// Goes down both lists to where they are the same, and merges what is above. A block that would equal
/// one of theirs is taken from there.
fn merged(a: &Blocks, b: &Blocks) -> Blocks {
    let (mut a, mut b) = (a, b);
    let mut above: SmallVec<[[Option<&Rc<Block>>; 2]; 4]> = SmallVec::new();
    let mut all = loop {
        let (x, y) = match (a, b) {
            (None, rest) | (rest, None) => break rest.clone(),
            (Some(x), Some(y)) if Rc::ptr_eq(x, y) => break a.clone(),
            (Some(x), Some(y)) => (x, y),
        };
        let (of_x, of_y) = (x.place.index, y.place.index);
        above.push([(of_x >= of_y).then_some(x), (of_y >= of_x).then_some(y)]);
        if of_x >= of_y {
            a = &x.before;
        }
        if of_y >= of_x {
            b = &y.before;
        }
    };
    while let Some(here) = above.pop() {
        let known = || here.iter().flatten().copied();
        let bits = known().fold(0, |bits, block| bits | block.place.bits);
        let kept = known().find(|block| block.place.bits == bits && same(&block.before, &all));
        all = match (kept, known().next()) {
            (Some(kept), _) => Some(Rc::clone(kept)),
            (None, Some(block)) => new(
                Word {
                    bits,
                    ..block.place
                },
                all,
            ),
            (None, None) => all,
        };
    }
    all
}

impl Drop for Block {
    /// Drops the blocks without recursing along all of them.
    fn drop(&mut self) {
        let mut rest = self.before.take();
        while let Some(mut block) = rest.and_then(Rc::into_inner) {
            rest = block.before.take();
        }
    }
}

impl PartialEq for SiteSet {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (&self.more, &other.more);
        while let (false, Some(x), Some(y)) = (same(a, b), a, b) {
            if x.place != y.place {
                return false;
            }
            (a, b) = (&x.before, &y.before);
        }
        self.first == other.first && same(a, b)
    }
}

impl Eq for SiteSet {}

impl fmt::Debug for SiteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sites()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Key;

    fn set(sites: impl IntoIterator<Item = usize>) -> SiteSet {
        let mut set = SiteSet::EMPTY;
        sites.into_iter().for_each(|site| set.insert(site));
        set
    }

    /// The total number of blocks in some sets.
    fn count(sets: &[SiteSet]) -> usize {
        let all = sets.iter().flat_map(|set| blocks(&set.more));
        all.map(std::ptr::from_ref).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn sets_are_exact_whatever_their_size() {
        let mut stream = Key::new(1).stream("sets");
        for largest in [4, 127, 128, 200, 5_000] {
            let mut known: Vec<(SiteSet, BTreeSet<usize>)> = vec![Default::default()];
            for _ in 0..200 {
                let pick =
                    |stream: &mut crate::random::Stream, known: &Vec<_>| stream.below(known.len());
                let (a, b) = (pick(&mut stream, &known), pick(&mut stream, &known));
                let mut found = known[a].0.clone().union(known[b].0.clone());
                let mut expected: BTreeSet<_> = known[a].1.union(&known[b].1).copied().collect();
                let site = stream.below(largest);
                found.insert(site);
                expected.insert(site);
                for (other, members) in &known {
                    assert_eq!(found == *other, expected == *members);
                    assert!(!found.covers(other) || expected.is_superset(members));
                }
                assert_eq!(found.sites().collect::<BTreeSet<_>>(), expected);
                let members = found.members(largest);
                for (site, member) in members.iter().enumerate() {
                    assert_eq!(*member, expected.contains(&site));
                    assert_eq!(*member, found.contains(site));
                }
                known.push((found, expected));
            }
        }
    }

    #[test]
    fn late_sites_are_told_apart() {
        let (a, b) = (set([127]), set([500]));
        assert!(a != b && a.contains(127) && !a.contains(128) && !a.contains(126));
        assert!(b.contains(500) && !b.contains(127) && !a.is_marked());
        let mut both = a.clone().union(b.clone());
        both.mark();
        assert!(both.is_marked() && both != set([127, 500]));
        assert_eq!(both.unmarked(), set([127, 500]));
        assert_eq!(format!("{:?}", a.union(set([1]))), "{1, 127}");
    }

    #[test]
    fn sets_that_grow_share_their_memory() {
        type Way = fn(&SiteSet, usize) -> SiteSet;
        const MANY: usize = 20_000;
        let grown = |each: Way| {
            let mut sets = vec![SiteSet::EMPTY];
            (0..MANY).for_each(|site| sets.push(each(&sets[site], site)));
            sets
        };
        let ways: [Way; 4] = [
            |last, site| last.clone().union(set([site])),
            |last, site| set([site]).union(last.clone()),
            // A value computed from two others, one of which came from the other.
            |last, site| last.clone().union(set([site])).union(last.clone()),
            |last, site| last.clone().union(set([2 * site])),
        ];
        for way in ways {
            let sets = grown(way);
            assert!(count(&sets) <= MANY);
            assert_eq!(sets[MANY].sites().count(), MANY);
        }
        // Chains of blocks are dropped and compared without recursion.
        let far = || (0..1_000_000).fold(SiteSet::EMPTY, |set, i| set.union(self::set([64 * i])));
        assert!(far() == far());
    }
}

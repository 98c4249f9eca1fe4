//! Memory reuse: a step of training wants the same sizes as the one before, and fresh pages cost as
//! much as an operation on them. Short blocks need no allocation, or come from the
//! allocator.

use std::cell::RefCell;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Numbers with a single owner, such as a gradient's: a few are stored without an allocation.
pub(in super::super) type Numbers = SmallVec<[f32; FEW]>;

const FEW: usize = 12;

/// Shorter blocks are left to the allocator.
const SHORTEST: usize = 1 << 6;

/// Maximum number of numbers kept for reuse, half a GiB; beyond it all go back to the allocator.
const MOST: usize = 1 << 27;

/// The blocks of one length.
#[derive(Default)]
struct Blocks {
    waiting: Vec<Vec<f32>>,
    /// How many blocks were taken and have not come back. As many are accepted, so that no more are kept than
    /// were in use at once, whatever other memory is given.
    out: usize,
}

#[derive(Default)]
struct Store {
    blocks: FxHashMap<usize, Blocks>,
    /// Total length of the blocks kept for reuse.
    waiting: usize,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

/// Whether blocks of a length are kept.
#[inline]
pub(super) fn is_kept(len: usize) -> bool {
    len >= SHORTEST
}

/// Numbers without meaning, all of which must be overwritten.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if !is_kept(len) {
        return vec![0.0; len];
    }
    let waiting = STORE.with_borrow_mut(|store| {
        let blocks = store.blocks.entry(len).or_default();
        blocks.out += 1;
        let block = blocks.waiting.pop()?;
        store.waiting -= len;
        Some(block)
    });
    waiting.unwrap_or_else(|| vec![0.0; len])
}

/// As [`take`], with a few numbers stored without an allocation.
#[inline]
pub(in super::super) fn numbers(len: usize) -> Numbers {
    match len <= FEW {
        true => Numbers::from_buf_and_len([0.0; FEW], len),
        false => Numbers::from_vec(take(len)),
    }
}

/// Zeros.
pub(in super::super) fn zeros(len: usize) -> Numbers {
    let mut zeros = numbers(len);
    zeros.fill(0.0);
    zeros
}

/// As [`copy`], with a few numbers stored without an allocation.
pub(in super::super) fn copy_numbers(values: &[f32]) -> Numbers {
    let mut copy = numbers(values.len());
    copy.copy_from_slice(values);
    copy
}

/// As [`give`], for [`Numbers`].
#[inline]
pub(in super::super) fn give_numbers(numbers: Numbers) {
    if numbers.spilled() {
        give(numbers.into_vec());
    }
}

/// The same numbers.
pub(in super::super) fn copy(values: &[f32]) -> Vec<f32> {
    if !is_kept(values.len()) {
        return values.to_vec();
    }
    let mut copy = take(values.len());
    copy.copy_from_slice(values);
    copy
}

/// Keeps a block for reuse, if it may be needed.
pub(in super::super) fn give(block: Vec<f32>) {
    let len = block.len();
    if !is_kept(len) {
        return;
    }
    // When a thread ends, the store may be gone before the last block is.
    let _ = STORE.try_with(|store| {
        let mut store = store.borrow_mut();
        if store.waiting + len > MOST {
            *store = Store::default();
        }
        let Some(blocks) = store.blocks.get_mut(&len).filter(|blocks| blocks.out > 0) else {
            return;
        };
        blocks.out -= 1;
        blocks.waiting.push(block);
        store.waiting += len;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> usize {
        STORE.with_borrow(|store| store.waiting)
    }

    #[test]
    fn blocks_come_back_and_no_others_are_kept() {
        let len = SHORTEST + 1;
        let block = take(len);
        let address = block.as_ptr();
        give(block);
        give(vec![1.0; len]);
        assert_eq!(waiting(), len, "a block that was never taken is not kept");
        let again = take(len);
        assert_eq!((again.as_ptr(), waiting()), (address, 0));
        assert_eq!(copy(&again), again);
    }

    #[test]
    fn what_waits_is_bounded() {
        let len = MOST / 4;
        let blocks: Vec<_> = (0..6).map(|_| take(len)).collect();
        blocks.into_iter().for_each(give);
        assert!(waiting() <= MOST);
    }
}

//! Memory that is used again: a step of training wants the same sizes as the one before, and
//! fresh pages cost as much as an operation on them.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

/// Shorter blocks are left to the allocator.
const SHORTEST: usize = 1 << 6;

/// As many numbers wait at most, half a GiB; more, and all go back to the allocator.
const MOST: usize = 1 << 27;

/// The blocks of one length.
#[derive(Default)]
struct Blocks {
    waiting: Vec<Vec<f32>>,
    /// How many were taken and did not come back. As many are accepted, so that no more wait than
    /// were in use at once, whatever other memory is given.
    out: usize,
}

#[derive(Default)]
struct Store {
    blocks: FxHashMap<usize, Blocks>,
    /// Length of all that wait.
    waiting: usize,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

/// Numbers without a meaning, all to be overwritten.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if len < SHORTEST {
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

/// The same number everywhere.
pub(in super::super) fn full(len: usize, value: f32) -> Vec<f32> {
    if len < SHORTEST {
        return vec![value; len];
    }
    let mut values = take(len);
    values.fill(value);
    values
}

/// The same numbers.
pub(in super::super) fn copy(values: &[f32]) -> Vec<f32> {
    if values.len() < SHORTEST {
        return values.to_vec();
    }
    let mut copy = take(values.len());
    copy.copy_from_slice(values);
    copy
}

/// Keeps a block for later, if it may be wanted.
pub(in super::super) fn give(block: Vec<f32>) {
    let len = block.len();
    if len < SHORTEST {
        return;
    }
    // When a thread ends, the store may be gone before the last block.
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
        let again = full(len, 2.0);
        assert_eq!((again.as_ptr(), waiting()), (address, 0));
        assert!(again.iter().all(|&x| x == 2.0));
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

//! Sharing a kernel's work between threads.
//!
//! Results do not depend on the number of threads: each part of the output is computed by one
//! thread, in the same order as without others.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::pool::POOL;

/// The number of threads in use; 0 stands for all.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// More threads than any kernel benefits from.
const MOST: usize = 256;

/// Sets how many threads kernels on the CPU use, including the calling one. The default is all cores that the
/// process may use, unless the environment variable `RELAX_THREADS` sets another; 0 restores it.
///
/// Results do not depend on it; more than 256 count as 256. Threads that wait for work spin for about a fifth of a
/// millisecond before they sleep, so that short kernels benefit, too: set 1 if other programs need the cores.
///
/// ```
/// use relax_runtime::{set_threads, threads};
/// set_threads(2);
/// assert_eq!(threads(), 2);
/// set_threads(0); // back to the default
/// assert!(threads() >= 1);
/// ```
pub fn set_threads(count: usize) {
    THREADS.store(count.min(MOST), Ordering::Relaxed);
}

/// How many threads kernels on the CPU use; see [`set_threads`].
pub fn threads() -> usize {
    static DEFAULT: OnceLock<usize> = OnceLock::new();
    let default = || {
        const NAME: &str = "RELAX_THREADS";
        let all = || thread::available_parallelism().map_or(1, usize::from);
        let Ok(text) = std::env::var(NAME) else {
            return all().min(MOST);
        };
        match text.parse() {
            Ok(0) => all().min(MOST),
            Ok(count) => MOST.min(count),
            Err(_) => {
                let all = all().min(MOST);
                super::warn_setting(NAME, &text, &format!("using {all} threads"));
                all
            }
        }
    };
    match THREADS.load(Ordering::Relaxed) {
        0 => *DEFAULT.get_or_init(default),
        count => count,
    }
}

/// Calls `work` with ranges that together make `0..len`, on several threads if each gets at least
/// `least`.
pub(super) fn share(len: usize, least: usize, work: impl Fn(Range<usize>) + Sync) {
    // Small work is the most frequent: it should not cost a division.
    let parts = match len < least.saturating_mul(2) {
        true => 1,
        false => (len / least.max(1)).min(threads()),
    };
    if parts < 2 {
        return work(0..len);
    }
    let part = |i: usize| work(len * i / parts..len * (i + 1) / parts);
    POOL.run(parts, &part);
}

/// As [`share`], for work that fills outputs: each output has a number of elements for every place.
#[inline]
pub(crate) fn fill<const N: usize>(
    outs: [(&mut [f32], usize); N],
    least: usize,
    work: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
) {
    let places = places_of(&outs);
    if places / 2 < least {
        return work(0..places, first(outs, places));
    }
    fill_shared(outs, places, least, &work);
}

// What follows is not compiled again for each kernel.

/// What a kernel does with a range of places and the outputs' elements there.
type Work<'a, const N: usize> = dyn Fn(Range<usize>, [&mut [f32]; N]) + Sync + 'a;

/// The number of places that the outputs have; elements without width have none.
#[inline]
fn places_of<const N: usize>(outs: &[(&mut [f32], usize); N]) -> usize {
    let places = outs.iter().filter_map(|(out, unit)| match unit {
        1 => Some(out.len()),
        unit => out.len().checked_div(*unit),
    });
    places.min().unwrap_or(0)
}

/// The elements of the first places.
#[inline]
fn first<const N: usize>(outs: [(&mut [f32], usize); N], places: usize) -> [&mut [f32]; N] {
    outs.map(|(out, unit)| &mut out[..places * unit])
}

/// [`fill`] where several threads may take part.
fn fill_shared<const N: usize>(
    outs: [(&mut [f32], usize); N],
    places: usize,
    least: usize,
    work: &Work<'_, N>,
) {
    /// An output, disjoint parts of which are written from several threads.
    struct Target(*mut f32, usize);
    // SAFETY: only the closure below looks inside, at disjoint parts of a slice borrowed mutably.
    unsafe impl Sync for Target {}

    let targets = outs.map(|(out, unit)| Target(out.as_mut_ptr(), unit));
    share(places, least, |range| {
        let parts = std::array::from_fn(|i| {
            let Target(start, unit) = targets[i];
            // SAFETY: `share` passes disjoint ranges below `places`, for each of which the
            // output has `unit` elements, and the output stays borrowed until `share` returns.
            unsafe {
                std::slice::from_raw_parts_mut(start.add(range.start * unit), range.len() * unit)
            }
        });
        work(range, parts);
    });
}

/// How many rows of a width make a thread's share of elementwise work worthwhile.
pub(crate) fn rows_a_share(width: usize) -> usize {
    const ELEMENTS: usize = 1 << 14;
    ELEMENTS.div_ceil(width.max(1))
}

/// Calls `work` with another number of threads, which concurrent tests may see.
#[cfg(test)]
pub(super) fn with_threads<R>(count: usize, work: impl FnOnce() -> R) -> R {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    set_threads(count);
    let result = work();
    set_threads(0);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_is_bounded() {
        assert_eq!(with_threads(usize::MAX, threads), MOST);
    }
}

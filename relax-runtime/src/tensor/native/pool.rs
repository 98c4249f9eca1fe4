//! Threads that wait for parts of a kernel.
//!
//! A kernel takes some ten microseconds, about as long as it takes to wake a sleeping thread, so
//! waiting threads spin for a while before they sleep. Any free thread takes the next part, including the
//! calling thread, which therefore never waits for a part that has not been started.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The process's pool.
pub(super) static POOL: Pool = Pool::new();

type Job<'a> = dyn Fn(usize) + Sync + 'a;

pub(super) struct Pool {
    /// Held while a job runs.
    workers: Mutex<Vec<Thread>>,
    job: UnsafeCell<&'static Job<'static>>,
    /// Number of parts that have not been taken; the next one to take is the last of them.
    untaken: AtomicUsize,
    /// Number of parts that are not finished.
    unfinished: AtomicUsize,
    /// Number of workers that sleep, or are about to.
    asleep: AtomicUsize,
    /// The payload of the first part that panicked.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written by `run` while no part is untaken or unfinished, and read by a thread
// only between taking a part and finishing it.
unsafe impl Sync for Pool {}

impl Pool {
    const fn new() -> Self {
        Self {
            workers: Mutex::new(Vec::new()),
            job: UnsafeCell::new(&|_| {}),
            untaken: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            panic: Mutex::new(None),
        }
    }

    /// Calls `job` with every number below `parts`, from this thread and `parts - 1` others; one
    /// after the other where another thread is using the pool.
    pub(super) fn run(&'static self, parts: usize, job: &Job<'_>) {
        let Ok(mut workers) = self.workers.try_lock() else {
            return (0..parts).for_each(job);
        };
        while workers.len() + 1 < parts {
            let spawned = thread::Builder::new()
                .name("relax".into())
                .spawn(|| self.work());
            match spawned {
                Ok(handle) => workers.push(handle.thread().clone()),
                Err(_) => break,
            }
        }
        // SAFETY: all parts of the last job are finished, so that nobody reads the old job; and this
        // function does not return or unwind before all parts of the new one are.
        unsafe { *self.job.get() = std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job) };
        self.unfinished.store(parts, Ordering::Relaxed);
        self.untaken.store(parts, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            workers.iter().for_each(Thread::unpark);
        }
        while self.take_part() {}
        let waiting = Waiting::new();
        while self.unfinished.load(Ordering::Acquire) > 0 {
            waiting.pause();
        }
        let panic = self.lock_panic().take();
        drop(workers);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Does one part, if there is one; returns whether there was.
    fn take_part(&self) -> bool {
        let less = |parts: usize| parts.checked_sub(1);
        let taken = (self.untaken).fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        let Ok(parts) = taken else { return false };
        // SAFETY: the part that was just taken is not finished.
        let job = unsafe { *self.job.get() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(parts - 1))) {
            self.lock_panic().get_or_insert(panic);
        }
        self.unfinished.fetch_sub(1, Ordering::Release);
        true
    }

    fn lock_panic(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's main loop.
    fn work(&self) {
        const PATIENCE: Duration = Duration::from_micros(200);
        loop {
            let waiting = Waiting::new();
            while self.untaken.load(Ordering::Relaxed) == 0 {
                if waiting.0.elapsed() < PATIENCE {
                    waiting.pause();
                    continue;
                }
                self.asleep.fetch_add(1, Ordering::SeqCst);
                // Either this sees the new job, or `run` sees that a worker sleeps.
                if self.untaken.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
            }
            while self.take_part() {}
        }
    }
}

/// How long a thread has been waiting, since this moment.
struct Waiting(Instant);

impl Waiting {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// Spins at first; later yields to other threads, of which there may be more than cores.
    fn pause(&self) {
        const SPINS: usize = 16;
        const SPINNING: Duration = Duration::from_micros(30);
        if self.0.elapsed() < SPINNING {
            (0..SPINS).for_each(|_| std::hint::spin_loop());
        } else {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    static OWN: Pool = Pool::new();

    #[test]
    fn every_part_runs_once() {
        for round in 0..2_000 {
            let parts = 1 + round % 9;
            let counts: Vec<AtomicU64> = (0..parts).map(|_| AtomicU64::new(0)).collect();
            OWN.run(parts, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(
                counts
                    .iter()
                    .all(|count| count.load(Ordering::Relaxed) == 1)
            );
            if round % 500 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let thrown = catch_unwind(|| OWN.run(8, &|i| assert!(i != 5, "part {i}")));
        assert!(thrown.is_err(), "a part's panic reaches the caller");
        OWN.run(3, &|_| {});
    }

    #[test]
    fn workers_without_work_sleep() {
        static IDLE: Pool = Pool::new();
        const LIMIT: Duration = Duration::from_secs(10);
        IDLE.run(4, &|_| {});
        let workers = IDLE.workers.lock().unwrap().len();
        let started = Instant::now();
        while IDLE.asleep.load(Ordering::SeqCst) < workers {
            assert!(started.elapsed() < LIMIT, "a worker keeps spinning");
            thread::sleep(Duration::from_millis(1));
        }
        IDLE.run(4, &|_| {});
    }
}

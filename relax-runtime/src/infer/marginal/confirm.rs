//! Whether a sum may be trusted: runs at states that it draws itself, and at others, contradict nothing.

use super::eliminate::Sum;
use super::search::{Search, TRIALS};
use super::tries::Trial;
use crate::error::Result;

/// Number of runs at states drawn by the first sum before it is trusted: doubled each time these have told more, up to
/// a maximum.
pub(super) const CONFIRMING: usize = 32;
const MOST_CONFIRMING: usize = 1 << 10;

impl Search<'_> {
    /// Runs at states drawn by the sum itself, which are the ones that matter; returns whether they contradict nothing.
    /// If they do, more has been told, and the sum must be taken again.
    ///
    /// # Errors
    /// As [`tell_all`](Self::tell_all).
    pub(super) fn confirms(&mut self, sum: &Sum) -> Result<bool> {
        let stands = self.stands(sum);
        self.told_again_if_wider(stands, false)
    }

    fn stands(&mut self, sum: &Sum) -> Result<bool> {
        let runs = {
            let graph = self.shared.graph.borrow();
            match graph.sums {
                _ if graph.is_certain() => 0,
                _ if self.is_first => self.confirming,
                _ => usize::from(graph.looks_twice()),
            }
        };
        for _ in 0..runs {
            let drawn = sum.draw(&mut self.stream);
            // Variables of one plate take the same row, and those of an inner plate a row inside it.
            let place = self.stream.uniform_f64();
            let of_rows = |rows: &Vec<usize>| {
                let row = (place * rows.len() as f64) as usize;
                rows.get(row).copied().unwrap_or(0)
            };
            let values: Vec<usize> = drawn.iter().map(of_rows).collect();
            self.add(&values)?;
        }
        if self.conflicts.is_empty() && !self.has_grown {
            return Ok(true);
        }
        // What only such states show may show in few of them.
        self.confirming = (2 * self.confirming).min(MOST_CONFIRMING);
        if self.has_cases() {
            self.do_without_cases()?;
            return Ok(false);
        }
        self.complete(Vec::new())?;
        self.keep_plan();
        Ok(false)
    }

    /// Whether runs at random values, of a sum over nothing but impossible values, tell more than was known: what a
    /// term depends on may follow from choices that are left, and no other sum may have shown it.
    ///
    /// # Errors
    /// As [`tell_all`](Self::tell_all).
    pub(super) fn looks_closer(&mut self) -> Result<bool> {
        if std::mem::replace(&mut self.has_looked, true) || self.shared.graph.borrow().is_certain()
        {
            return Ok(false);
        }
        let has_found = self.tries_more();
        self.told_again_if_wider(has_found, true)
    }

    /// Runs at random values; returns whether they tell more than was known.
    fn tries_more(&mut self) -> Result<bool> {
        let had_cases = self.has_cases();
        if had_cases {
            self.do_without_cases()?;
        }
        for _ in 0..TRIALS {
            self.try_out(&Trial::any())?;
        }
        let has_found = had_cases || self.has_grown || !self.conflicts.is_empty();
        self.complete(Vec::new())?;
        self.keep_plan();
        Ok(has_found)
    }

    /// What was found, or `again` once everything is told anew: where a run has met values that no other had.
    fn told_again_if_wider(&mut self, found: Result<bool>, again: bool) -> Result<bool> {
        match found {
            Err(_) if self.has_widened() => {
                self.forget();
                self.tell_rest()?;
                Ok(again)
            }
            found => found,
        }
    }

    /// Tells everything by runs, where one run with the cases of its choices had told it.
    fn do_without_cases(&mut self) -> Result<()> {
        self.shared.graph.borrow_mut().lacks_cases = true;
        self.forget();
        self.tell_by_runs()
    }

    /// Whether a sum that takes `runs` runs tries another one: what a term depends on may depend on choices that are
    /// left, which differ from sum to sum, and that would otherwise show only in every sixteenth sum.
    pub(super) fn looks_again(&self, sums: u64, runs: usize) -> bool {
        /// Beside this many runs, another one hardly counts;
        const MANY: usize = 8;
        /// beside fewer, every `SOMETIMES`-th sum makes one.
        const SOMETIMES: u64 = 4;
        let has_kept = !self.shared.kept.borrow().is_empty();
        let is_open = has_kept && !self.shared.graph.borrow().is_certain();
        is_open && (runs >= MANY || sums.is_multiple_of(SOMETIMES))
    }
}

//! Progress of a long run.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::program::Outcome;

/// A bar on standard error where that is a terminal, and a line now and then where it is not.
pub(crate) struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    told: Instant,
}

impl Progress {
    /// A run that goes from `start` to `end`, counted in `unit`.
    ///
    /// # Errors
    /// None but a mistake in the bar's template.
    pub(crate) fn new(unit: &'static str, start: u64, end: u64) -> Outcome<Self> {
        let style = ProgressStyle::with_template(&format!(
            "{{bar:32}} {{pos}}/{{len}} {unit} {{per_sec}} {{eta}} {{msg}}"
        ))?;
        let bar = ProgressBar::new(end).with_style(style).with_position(start);
        bar.reset_eta();
        Ok(Self {
            bar,
            unit,
            told: Instant::now(),
        })
    }

    /// Tells where the run is and what it has come to, if it is time to.
    pub(crate) fn at(&mut self, position: u64, news: impl FnOnce() -> String) {
        const BAR: Duration = Duration::from_millis(100);
        const LINES: Duration = Duration::from_secs(10);
        let hidden = self.bar.is_hidden();
        if self.told.elapsed() < if hidden { LINES } else { BAR } {
            return;
        }
        self.told = Instant::now();
        if hidden {
            let end = self.bar.length().unwrap_or(position);
            eprintln!("{position} of {end} {}: {}", self.unit, news());
        } else {
            self.bar.set_position(position);
            self.bar.set_message(news());
        }
    }
}

impl Drop for Progress {
    /// Takes the bar away, however the run ends.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! The progress bar of long runs.

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on standard error, invisible if that is not a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `steps` steps, or a hidden one.
    pub(crate) fn new(steps: u64, visible: bool) -> Self {
        if !visible {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec} {eta} {msg}");
        Self(
            ProgressBar::new(steps)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
        )
    }

    /// Advances by one step, and shows the loss now and then.
    pub(crate) fn step(&self, loss: f64) {
        self.0.inc(1);
        if self.0.position() % 16 == 1 {
            self.0.set_message(format!("loss {loss:.4}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

//! When a run without a number of steps ends: once its objective has settled.

use crate::report::Level;

/// Number of steps whose mean loss is compared with that of the window before.
const WINDOW: usize = 250;
/// The same where gradients are smooth and steps are in units of the guide's spreads.
const SMOOTH_WINDOW: usize = 100;
/// How many times the rate is lowered.
const SLOWINGS: usize = 2;
/// Number of windows in a row without progress, at each rate, after which it is lowered or the run ends; each is twice
/// as long as the one before, so that noise hides less.
const STILL: [u32; SLOWINGS + 1] = [3; SLOWINGS + 1];
/// The same for a fit that starts near a mode.
const NEAR_STILL: [u32; SLOWINGS + 1] = [1, 2, 2];
/// Smooth gradients have little noise left once the first rate has brought a guide to where it settles.
const SMOOTH_STILL: [u32; SLOWINGS + 1] = [3, 2, 2];
/// Maximum number of steps.
pub(super) const CEILING: u64 = 20_000;
/// Factor by which the rate is lowered.
pub(super) const SLOWER: f32 = 0.2;

/// Whether a guide adapts after a step: each time the number of steps has doubled.
pub(super) fn adapts_after(step: u64) -> bool {
    const FIRST: u64 = 50;
    step.is_multiple_of(FIRST) && (step / FIRST).is_power_of_two()
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    SlowDown,
    /// For the last time.
    SlowDownLast,
    Stop,
}

/// The losses of a run, window by window.
#[derive(Debug, Default)]
pub(super) struct Settling {
    window: Vec<f64>,
    /// Level of the last whole window.
    last: Option<Level>,
    still: u32,
    slowings: usize,
    is_near: bool,
}

impl Settling {
    /// For a run that starts near a mode.
    pub(super) fn near() -> Self {
        Self {
            is_near: true,
            ..Self::default()
        }
    }

    /// Takes in a step's loss; `is_smooth` says which windows are enough.
    pub(super) fn see(&mut self, loss: f64, is_smooth: bool) -> Next {
        self.window.push(loss);
        let (window, still) = match (is_smooth, self.is_near) {
            (true, true) => (SMOOTH_WINDOW, NEAR_STILL),
            (true, false) => (SMOOTH_WINDOW, SMOOTH_STILL),
            (false, _) => (WINDOW, STILL),
        };
        if self.window.len() < window << self.still {
            return Next::GoOn;
        }
        let level = Level::of(&self.window);
        self.window.clear();
        let Some(before) = self.last.replace(level) else {
            return Next::GoOn;
        };
        self.still = match level.is_below(before) {
            true => 0,
            false => self.still + 1,
        };
        if self.still < still[self.slowings] {
            return Next::GoOn;
        }
        self.still = 0;
        if self.slowings == SLOWINGS {
            return Next::Stop;
        }
        self.slowings += 1;
        match self.slowings == SLOWINGS {
            true => Next::SlowDownLast,
            false => Next::SlowDown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    /// The number of steps after which a run with such losses ends, and those after which its rate is lowered.
    fn run(loss: impl Fn(f64) -> f64) -> (Option<usize>, Vec<usize>) {
        run_with(loss, false)
    }

    fn run_with(loss: impl Fn(f64) -> f64, is_smooth: bool) -> (Option<usize>, Vec<usize>) {
        let (mut settling, mut lowered) = (Settling::default(), Vec::new());
        for step in 0..CEILING as usize {
            match settling.see(loss(step as f64), is_smooth) {
                Next::GoOn => {}
                Next::SlowDown | Next::SlowDownLast => lowered.push(step + 1),
                Next::Stop => return (Some(step + 1), lowered),
            }
        }
        (None, lowered)
    }

    #[test]
    fn runs_end_once_nothing_is_gained() {
        assert_eq!(run(|_| 3.0), (Some(5_500), vec![2_000, 3_750]));
        assert_eq!(run_with(|_| 3.0, true), (Some(1_400), vec![800, 1_100]));
        let (end, lowered) = run(|step| 100.0 * (-step / 1_000.0).exp());
        assert!(end.is_some_and(|end| end > 10_000), "{end:?}");
        assert_eq!(lowered.len(), 2);
        assert_eq!(run(|step| -step), (None, Vec::new()));
    }

    #[test]
    fn guides_adapt_as_often_as_the_steps_have_doubled() {
        let steps: Vec<u64> = (1..1_000).filter(|&step| adapts_after(step)).collect();
        assert_eq!(steps, [50, 100, 200, 400, 800]);
    }

    #[test]
    fn noise_is_no_progress_and_hides_none() {
        let noise = |step: f64| Key::new(step as u64).stream("noise").normal();
        let (end, _) = run(noise);
        assert!(end.is_some_and(|end| end < 10_000), "{end:?}");
        let (end, lowered) = run(|step| noise(step) + 40.0 * (-step / 2_000.0).exp());
        assert!(end.is_some_and(|end| end > 6_000), "{end:?}");
        assert!(lowered[0] > 4_000, "{lowered:?}");
    }
}

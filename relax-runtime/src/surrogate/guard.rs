//! How much of a relaxed cost's correction pays off.

/// How much of a surrogate an estimate uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The relaxed cost, corrected for each choice where it is smooth enough for that.
    #[default]
    Corrected,
    /// The relaxed cost as it is.
    Relaxed,
    /// No relaxed cost.
    Nothing,
}

impl Extent {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Corrected, Self::Relaxed, Self::Nothing];
}

/// The mean squares that the estimate had in the past with each extent at the same draws. All three
/// have the same expectation, so the least mean square is the least variance; and which one is
/// taken depends on past draws alone, so the estimate stays unbiased.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Weighted sums.
    squares: [f64; 3],
    in_force: Extent,
}

impl Guard {
    /// A memory of a thousand steps: tails are heavy where second derivatives are large, and what
    /// is rare must not be forgotten soon. That an extent is many times worse still shows within a few
    /// steps.
    const DECAY: f64 = 0.999;
    /// Another extent comes into force once its mean square is below this share of the present one's.
    const BETTER: f64 = 0.9;

    /// The extent in force.
    pub(super) fn extent(&self) -> Extent {
        self.in_force
    }

    /// Takes in the mean squares of a step with each of [`Extent::ALL`], times a unit.
    pub(super) fn learn(&mut self, squares: [f32; 3], unit: f64) {
        /// What has overflowed counts as so many times what the best extent has had: as large, but not for ever.
        const OVERFLOWN: f64 = 100.0;
        let new = squares.map(|square| f64::from(square) * unit);
        let least = |squares: [f64; 3]| {
            let finite = squares.into_iter().filter(|x| x.is_finite());
            finite.reduce(f64::min).unwrap_or(0.0)
        };
        let overflown = OVERFLOWN * least(self.squares).max(least(new));
        for (sum, square) in self.squares.iter_mut().zip(new) {
            let square = if square.is_finite() {
                square
            } else {
                overflown
            };
            *sum = Self::DECAY * *sum + square;
        }
        let present = self.squares[self.in_force as usize];
        let best = (0..3).min_by(|&a, &b| self.squares[a].total_cmp(&self.squares[b]));
        if let Some(best) = best.filter(|&best| self.squares[best] < Self::BETTER * present) {
            self.in_force = Extent::ALL[best];
        }
    }

    /// What was learned, to be saved.
    pub(super) fn state(&self) -> [f64; 4] {
        let [a, b, c] = self.squares;
        [a, b, c, self.in_force as usize as f64]
    }

    /// Restores saved numbers; `None` if they are not a guard's.
    pub(super) fn restored([a, b, c, in_force]: [f64; 4]) -> Option<Self> {
        Some(Self {
            squares: [a, b, c],
            in_force: *Extent::ALL.get(in_force as usize)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_much_worse_goes_within_few_steps() {
        let mut guard = Guard::default();
        (0..50).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0));
        assert_eq!(guard.extent(), Extent::Corrected);
        (0..5).for_each(|_| guard.learn([100.0, 2.0, 4.0], 1.0));
        assert_eq!(guard.extent(), Extent::Relaxed);
        (0..20).for_each(|_| guard.learn([100.0, 200.0, 4.0], 1.0));
        assert_eq!(guard.extent(), Extent::Nothing);
    }

    /// A large estimate once in a few hundred steps is remembered from one time to the next.
    #[test]
    fn what_is_rare_is_remembered() {
        let mut guard = Guard::default();
        let mut taken = 0;
        for step in 0..3_000 {
            let corrected = if step % 300 == 40 { 1e4 } else { 1.0 };
            taken += usize::from(guard.extent() == Extent::Corrected);
            guard.learn([corrected, 2.0, 4.0], 1.0);
        }
        assert_eq!(taken, 41);
    }

    #[test]
    fn it_comes_back_when_it_pays_again() {
        let mut guard = Guard::default();
        guard.learn([f32::NAN, 2.0, 1e30], 1.0);
        assert_eq!(guard.extent(), Extent::Relaxed);
        // After an overflow, in time.
        (0..10_000).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0));
        assert_eq!(guard.extent(), Extent::Corrected);
        let mut guard = Guard::default();
        guard.learn([50.0, 2.0, 4.0], 1.0);
        (0..200).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0));
        assert_eq!(guard.extent(), Extent::Corrected);
    }

    #[test]
    fn close_ones_do_not_alternate() {
        let mut guard = Guard::default();
        for step in 0..100 {
            guard.learn([if step % 2 == 0 { 1.05 } else { 0.95 }, 1.0, 1.0], 1.0);
            assert_eq!(guard.extent(), Extent::Corrected);
        }
    }

    #[test]
    fn it_goes_on_from_its_state() {
        let mut guard = Guard::default();
        guard.learn([9.0, 2.0, 4.0], 1.0);
        let restored = Guard::restored(guard.state()).expect("a guard's");
        assert_eq!(restored.state(), guard.state());
        assert_eq!(restored.extent(), Extent::Relaxed);
        assert!(Guard::restored([0.0, 0.0, 0.0, 3.0]).is_none());
    }
}

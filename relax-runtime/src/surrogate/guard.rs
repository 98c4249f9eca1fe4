//! Which of several estimates with the same expectation varies least.

/// The mean squares that N estimates had in the past at the same draws. All have the same expectation, so the least
/// mean square is the least variance; and which one is taken depends on past draws alone, so what is taken stays
/// unbiased.
#[derive(Debug)]
pub(super) struct Guard<const N: usize> {
    /// Weighted sums.
    squares: [f64; N],
    in_force: usize,
}

/// The first one is in force.
impl<const N: usize> Default for Guard<N> {
    fn default() -> Self {
        Self {
            squares: [0.0; N],
            in_force: 0,
        }
    }
}

impl<const N: usize> Guard<N> {
    /// A memory of a thousand steps: tails are heavy where second derivatives are large, and what
    /// is rare must not be forgotten soon. That an estimate is many times worse still shows within a few
    /// steps.
    const DECAY: f64 = 0.999;
    /// Another estimate comes into force once its mean square is below this share of the present one's.
    const BETTER: f64 = 0.9;

    /// The place of the estimate in force.
    pub(super) fn in_force(&self) -> usize {
        self.in_force
    }

    /// Takes in each one's mean square in a step, times a unit; the step stands for so many, of which it is the only
    /// one seen.
    pub(super) fn learn(&mut self, squares: [f32; N], unit: f64, steps: u32) {
        /// What has overflowed counts as so many times what the best one has had: as large, but not for ever.
        const OVERFLOWN: f64 = 100.0;
        let new = squares.map(|square| f64::from(square) * unit);
        let least = |squares: [f64; N]| {
            let finite = squares.into_iter().filter(|x| x.is_finite());
            finite.reduce(f64::min).unwrap_or(0.0)
        };
        let kept = Self::DECAY.powf(steps.into());
        let overflown = OVERFLOWN * least(self.squares).max(least(new));
        for (sum, square) in self.squares.iter_mut().zip(new) {
            let square = if square.is_finite() {
                square
            } else {
                overflown
            };
            *sum = kept * *sum + f64::from(steps) * square;
        }
        let present = self.squares[self.in_force];
        let best = (0..N).min_by(|&a, &b| self.squares[a].total_cmp(&self.squares[b]));
        if let Some(best) = best.filter(|&best| self.squares[best] < Self::BETTER * present) {
            self.in_force = best;
        }
    }

    /// What was learned, to be saved.
    pub(super) fn state(&self) -> impl Iterator<Item = f64> {
        self.squares.into_iter().chain([self.in_force as f64])
    }

    /// Restores saved numbers, and returns those left over, too; `None` if they are not a guard's.
    pub(super) fn restored(saved: &[f64]) -> Option<(Self, &[f64])> {
        let (&squares, rest) = saved.split_first_chunk()?;
        let (&in_force, rest) = rest.split_first()?;
        let in_force = in_force as usize;
        (in_force < N).then_some((Self { squares, in_force }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_much_worse_goes_within_few_steps() {
        let mut guard = Guard::<3>::default();
        (0..50).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0, 1));
        assert_eq!(guard.in_force(), 0);
        (0..5).for_each(|_| guard.learn([100.0, 2.0, 4.0], 1.0, 1));
        assert_eq!(guard.in_force(), 1);
        (0..20).for_each(|_| guard.learn([100.0, 200.0, 4.0], 1.0, 1));
        assert_eq!(guard.in_force(), 2);
    }

    /// A large estimate once in a few hundred steps is remembered from one time to the next.
    #[test]
    fn what_is_rare_is_remembered() {
        let mut guard = Guard::<3>::default();
        let mut taken = 0;
        for step in 0..3_000 {
            let corrected = if step % 300 == 40 { 1e4 } else { 1.0 };
            taken += usize::from(guard.in_force() == 0);
            guard.learn([corrected, 2.0, 4.0], 1.0, 1);
        }
        assert_eq!(taken, 41);
    }

    #[test]
    fn it_comes_back_when_it_pays_again() {
        let mut guard = Guard::<3>::default();
        guard.learn([f32::NAN, 2.0, 1e30], 1.0, 1);
        assert_eq!(guard.in_force(), 1);
        // After an overflow, in time.
        (0..10_000).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0, 1));
        assert_eq!(guard.in_force(), 0);
        let mut guard = Guard::<3>::default();
        guard.learn([50.0, 2.0, 4.0], 1.0, 1);
        (0..200).for_each(|_| guard.learn([1.0, 2.0, 4.0], 1.0, 1));
        assert_eq!(guard.in_force(), 0);
    }

    #[test]
    fn close_ones_do_not_alternate() {
        let mut guard = Guard::<3>::default();
        for step in 0..100 {
            guard.learn([if step % 2 == 0 { 1.05 } else { 0.95 }, 1.0, 1.0], 1.0, 1);
            assert_eq!(guard.in_force(), 0);
        }
    }

    #[test]
    fn it_goes_on_from_its_state() {
        let mut guard = Guard::<3>::default();
        guard.learn([9.0, 2.0, 4.0], 1.0, 1);
        let saved: Vec<f64> = guard.state().chain([7.0]).collect();
        let (restored, rest) = Guard::<3>::restored(&saved).expect("a guard's");
        assert!(restored.state().eq(guard.state()));
        assert_eq!(rest, [7.0]);
        assert_eq!(restored.in_force(), 1);
        assert!(Guard::<3>::restored(&[0.0, 0.0, 0.0, 3.0]).is_none());
    }

    /// A step that stands for several is remembered as that many of its kind are.
    #[test]
    fn seldom_seen_weighs_more() {
        let (mut seldom, mut always) = (Guard::<2>::default(), Guard::<2>::default());
        for _ in 0..500 {
            seldom.learn([2.0, 1.9], 1.0, 8);
            (0..8).for_each(|_| always.learn([2.0, 1.9], 1.0, 1));
        }
        let apart = |(a, b): (f64, f64)| (a / b - 1.0).abs();
        let pairs = seldom.state().zip(always.state()).take(2);
        assert!(pairs.map(apart).all(|apart| apart < 0.01));
    }
}

//! Whether an estimate with a surrogate gives way to one without.

use super::guard::Guard;

/// Which estimates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// That with the surrogate.
    Surrogate,
    /// That without.
    Plain,
    /// Both, to compare them; this one is taken.
    Both { takes_plain: bool },
}

/// An estimate with a surrogate and one without, with the same expectation. Sometimes both are made, and otherwise only
/// the one that has had the less mean square then.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// How often one or both were made.
    times: u64,
    guard: Guard<2>,
}

impl Rivals {
    /// So many times at first, when the two change most, both are made.
    const FIRST: u64 = 32;
    /// Then once in so many.
    const ONE_IN: u32 = 16;

    /// What is made next.
    pub(super) fn turn(&self) -> Turn {
        let takes_plain = self.guard.in_force() == 1;
        let compares = self.times < Self::FIRST || self.times.is_multiple_of(Self::ONE_IN.into());
        match (compares, takes_plain) {
            (true, takes_plain) => Turn::Both { takes_plain },
            (false, true) => Turn::Plain,
            (false, false) => Turn::Surrogate,
        }
    }

    /// Ends a turn, in which the two had these mean squares, times a unit, if both were made.
    pub(super) fn learn(&mut self, squares: Option<[f32; 2]>, unit: f64) {
        if let Some(squares) = squares {
            let stands_for = if self.times < Self::FIRST {
                1
            } else {
                Self::ONE_IN
            };
            self.guard.learn(squares, unit, stands_for);
        }
        self.times += 1;
    }

    /// What was learned, to be saved.
    pub(super) fn state(&self) -> impl Iterator<Item = f64> {
        [self.times as f64].into_iter().chain(self.guard.state())
    }

    /// Restores saved numbers, and returns those left over, too; `None` if there are too few. Without any, as in files
    /// that were saved before these were, nothing is known.
    pub(super) fn restored(saved: &[f64]) -> Option<(Self, &[f64])> {
        let Some((&times, rest)) = saved.split_first() else {
            return Some((Self::default(), saved));
        };
        let times = times as u64;
        let (guard, rest) = Guard::restored(rest)?;
        Some((Self { times, guard }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many turns, in which the two have these mean squares.
    fn turns(rivals: &mut Rivals, count: usize, squares: [f32; 2]) -> Vec<Turn> {
        let turn = |_| {
            let turn = rivals.turn();
            let both = matches!(turn, Turn::Both { .. });
            rivals.learn(both.then_some(squares), 1.0);
            turn
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn the_one_with_the_less_mean_square_is_made() {
        let mut rivals = Rivals::default();
        let made = turns(&mut rivals, 1_632, [1.0, 2.0]);
        let both = Turn::Both { takes_plain: false };
        assert!(made[..32].iter().all(|&turn| turn == both));
        let compared = made[32..].iter().filter(|&&turn| turn == both);
        assert_eq!(compared.count(), 100);
        assert!(!made.contains(&Turn::Plain));
        // The other one takes over once it is ahead over a thousand turns, and gives way again.
        let made = turns(&mut rivals, 4_000, [2.0, 1.0]);
        assert_eq!(made[3_999], Turn::Plain);
        let since = made.iter().filter(|&&turn| turn == Turn::Surrogate);
        assert!(since.count() < 1_500);
        let made = turns(&mut rivals, 4_000, [1.0, 2.0]);
        assert_eq!(made[3_999], Turn::Surrogate);
    }

    #[test]
    fn it_goes_on_from_its_state() {
        let mut rivals = Rivals::default();
        turns(&mut rivals, 50, [2.0, 1.0]);
        let saved: Vec<f64> = rivals.state().chain([7.0]).collect();
        let (mut restored, rest) = Rivals::restored(&saved).expect("all of it");
        assert_eq!(rest, [7.0]);
        assert_eq!(
            turns(&mut restored, 20, [1.0, 2.0]),
            turns(&mut rivals, 20, [1.0, 2.0])
        );
        assert!(Rivals::restored(&saved[..3]).is_none());
        let (nothing, _) = Rivals::restored(&[]).expect("a file of before");
        assert_eq!(nothing.turn(), Turn::Both { takes_plain: false });
    }
}

//! Two contexts, one action, and a noisy reward whose law is known: a test bed for estimators of variances.

use relax_runtime::Stream;

use super::{Actions, Environment, Solved, Transition};

/// A contextual bandit; `N` actions, or with `N` = 0 a real number.
#[derive(Clone, Debug)]
pub(crate) struct Bandit<const N: usize> {
    context: usize,
}

impl<const N: usize> Bandit<N> {
    /// E\[reward | context, action\].
    pub(crate) fn mean(context: usize, action: f32) -> f64 {
        let (side, action) = (2.0 * context as f64 - 1.0, f64::from(action));
        match N {
            0 => 0.5 - (action - 0.5 * side).powi(2),
            _ => side + 0.7 * action - 0.3 * side * action * action,
        }
    }

    /// The reward's standard deviation.
    pub(crate) fn deviation(action: f32) -> f64 {
        0.3 + 0.1 * f64::from(action).abs()
    }

    pub(crate) fn in_context(context: usize) -> Self {
        Self { context }
    }
}

impl<const N: usize> Environment for Bandit<N> {
    const NAME: &'static str = "bandit";
    const OBSERVED: usize = 2;
    const ACTIONS: Actions = match N {
        0 => Actions::Continuous,
        _ => Actions::Discrete(N),
    };
    const LIMIT: usize = 1;
    const SOLVED: Solved = Solved {
        above: f64::INFINITY,
        episodes: 1,
    };

    fn start(stream: &mut Stream) -> Self {
        Self {
            context: stream.below(2),
        }
    }

    fn observe(&self, into: &mut Vec<f32>) {
        into.extend([2.0 * self.context as f32 - 1.0, 1.0]);
    }

    fn time(&self) -> usize {
        0
    }

    fn step(&mut self, action: f32, stream: &mut Stream) -> Transition {
        let noise = Self::deviation(action) * stream.normal();
        Transition {
            reward: (Self::mean(self.context, action) + noise) as f32,
            ended: true,
        }
    }
}

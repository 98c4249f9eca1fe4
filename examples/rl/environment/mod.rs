//! Environments that an agent acts in: plain structs that clone, so that every action can be tried from one state.

mod acrobot;
mod bandit;
mod cart;
mod cartpole;
#[cfg(feature = "lander")]
mod lander;
mod pendulum;

use relax_runtime::Stream;

pub(crate) use acrobot::Acrobot;
pub(crate) use bandit::Bandit;
pub(crate) use cartpole::CartPole;
#[cfg(feature = "lander")]
pub(crate) use lander::Lander;
pub(crate) use pendulum::Pendulum;

/// What an agent may do at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actions {
    /// One of so many, by index.
    Discrete(usize),
    /// A real number.
    Continuous,
}

/// When a problem counts as solved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solved {
    /// The mean reward of an episode that is to be exceeded,
    pub(crate) above: f64,
    /// over so many episodes in a row.
    pub(crate) episodes: usize,
}

/// What comes of an action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transition {
    pub(crate) reward: f32,
    /// Whether the episode ends here: by success, failure, or the limit of its length.
    pub(crate) ended: bool,
}

/// One episode on its way.
pub(crate) trait Environment: Clone {
    const NAME: &'static str;
    /// Numbers of an observation.
    const OBSERVED: usize;
    const ACTIONS: Actions;
    /// Most steps of an episode.
    const LIMIT: usize;
    const SOLVED: Solved;
    /// Whether many episodes go by before any of them says how to do better.
    const SLOW: bool = false;

    /// A new episode.
    fn start(stream: &mut Stream) -> Self;

    /// Appends the [`OBSERVED`](Self::OBSERVED) numbers that the policy sees.
    fn observe(&self, into: &mut Vec<f32>);

    /// Steps taken.
    fn time(&self) -> usize;

    /// Takes an action: an index, or a real number. `stream` is the environment's own chance.
    fn step(&mut self, action: f32, stream: &mut Stream) -> Transition;
}

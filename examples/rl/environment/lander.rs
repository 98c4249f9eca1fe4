//! Lunar lander: down to the pad, softly and upright, with three engines. It is Gymnasium's, from the crate `gmgn` on a
//! port of Box2D to Rust.

use gmgn::env::Env;
use gmgn::envs::box2d::{LunarLanderConfig, LunarLanderEnv};
use relax_runtime::Stream;

use super::{Actions, Environment, Solved, Transition};

/// An episode on its way, as its seed and its actions: all else follows from them. The physics do not clone,
/// so that a clone makes a world of its own, and goes through the actions again, when it is to act.
///
/// Engines are noisy. That noise comes of the seed, too: clones have the same ahead of them.
#[derive(Debug)]
pub(crate) struct Lander {
    seed: u64,
    actions: Vec<u8>,
    observed: Vec<f32>,
    world: Option<Box<LunarLanderEnv>>,
}

impl Clone for Lander {
    fn clone(&self) -> Self {
        Self {
            seed: self.seed,
            actions: self.actions.clone(),
            observed: self.observed.clone(),
            world: None,
        }
    }
}

/// A new world, and what is seen of it.
fn world(seed: u64) -> (Box<LunarLanderEnv>, Vec<f32>) {
    // The crate refuses gravity and actions that are out of their ranges alone.
    let config = LunarLanderConfig::default();
    let mut world = Box::new(LunarLanderEnv::new(config).expect("gravity is the default"));
    let seen = world.reset(Some(seed)).expect("a world can begin anew");
    (world, seen.obs)
}

fn act(world: &mut LunarLanderEnv, action: u8) -> (Vec<f32>, Transition) {
    let found = world.step(&i64::from(action)).expect("an engine's index");
    let transition = Transition {
        reward: found.reward as f32,
        ended: found.terminated || found.truncated,
    };
    (found.obs, transition)
}

impl Environment for Lander {
    const NAME: &'static str = "lander";
    const OBSERVED: usize = 8;
    /// Nothing, the left engine, the main one, the right one.
    const ACTIONS: Actions = Actions::Discrete(4);
    const LIMIT: usize = 1000;
    const SOLVED: Solved = Solved {
        above: 200.0,
        episodes: 100,
    };
    const SLOW: bool = true;

    fn start(stream: &mut Stream) -> Self {
        let seed = stream.below(1 << 31) as u64;
        let (world, observed) = world(seed);
        Self {
            seed,
            actions: Vec::new(),
            observed,
            world: Some(world),
        }
    }

    fn observe(&self, into: &mut Vec<f32>) {
        into.extend_from_slice(&self.observed);
    }

    fn time(&self) -> usize {
        self.actions.len()
    }

    fn step(&mut self, action: f32, _: &mut Stream) -> Transition {
        let world = self.world.get_or_insert_with(|| {
            let (mut world, mut seen) = world(self.seed);
            for &action in &self.actions {
                (seen, _) = act(&mut world, action);
            }
            debug_assert_eq!(seen, self.observed, "the same actions lead elsewhere");
            world
        });
        let action = action as u8;
        let (observed, mut transition) = act(world, action);
        self.observed = observed;
        self.actions.push(action);
        transition.ended |= self.actions.len() == Self::LIMIT;
        transition
    }
}

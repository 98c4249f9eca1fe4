//! Where a fit starts: the place with the lowest loss among several.

use crate::error::Result;
use crate::infer::objective::Objective;
use crate::infer::pass::Mode;
use crate::model::{ParamStore, Start};
use crate::random::Key;

/// Number of places tried by default.
pub(super) const STARTS: usize = 16;
/// Evaluations at each place, with the same random numbers.
const LOOKS: u64 = 4;
/// Bit of a key's particle that no other draws set.
const PLACE: u64 = 1 << 35;

/// A store whose guide starts at a place, and its losses there.
type Looked = (ParamStore, [f64; LOOKS as usize]);

/// Chooses where guides in a store without parameters start: at one of several draws from what the model states, if the
/// loss there is lower than in the middle by more than noise, the first time as well. Returns whether they start at a
/// draw. Components of a mixture that all start in one place are hard to tell apart.
pub(super) fn choose(
    objective: &dyn Objective,
    params: &ParamStore,
    seed: u64,
    starts: usize,
) -> Result<bool> {
    let look = |place: Option<Key>, worth: &dyn Fn(f64) -> bool| -> Result<Option<Looked>> {
        let fork = params.fork();
        fork.start_at(place.map(Start::Draw));
        let mut losses = [0.0; LOOKS as usize];
        for (step, loss) in (0..LOOKS).zip(&mut losses) {
            let key = Key {
                seed,
                step,
                particle: Key::LOOK,
            };
            let evaluate = || objective.evaluate(key, &fork, &Mode::Draw);
            *loss = fork.beside_data(evaluate)?.finite_total(step)?;
            if step == 0 && !worth(*loss) {
                return Ok(None);
            }
        }
        Ok(Some((fork, losses)))
    };
    let (fork, usual) = match look(None, &|_| true) {
        Ok(Some(looked)) => looked,
        // That takes long to find out, and would happen again at the first step.
        Err(error) if error.is_of_endless_run() => return Err(error),
        // What is wrong at the usual place will show at the first step.
        _ => return Ok(false),
    };
    params.take_notes_of(&fork);
    if !fork.has_location() {
        return Ok(false);
    }
    let mut best = (0.0, None);
    for place in 1..starts as u64 {
        let key = Key {
            seed,
            step: place,
            particle: PLACE,
        };
        // A place that is impossible under the model is no start.
        let is_lower = |loss: f64| loss < usual[0];
        if let Ok(Some((_, losses))) = look(Some(key), &is_lower) {
            let gain = surely_gained(&usual, &losses);
            if gain > best.0 {
                best = (gain, Some(key));
            }
        }
    }
    let place = best.1.map(Start::Draw);
    let is_at_a_draw = place.is_some();
    params.start_at(place);
    Ok(is_at_a_draw)
}

/// By how much the other losses are lower, minus two standard errors.
fn surely_gained(usual: &[f64], losses: &[f64]) -> f64 {
    let gains: Vec<f64> = usual.iter().zip(losses).map(|(a, b)| a - b).collect();
    let count = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / count;
    let square = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>();
    mean - 2.0 * (square / (count * (count - 1.0))).sqrt()
}

//! Gives sites the values of a trace.

use std::rc::Rc;

use super::{Handler, Message, Under};
use crate::error::Result;
use crate::model::{Model, Trace};

/// Gives sites the values that they have in a trace; see [`replay`].
#[derive(Clone, Debug)]
pub struct Replay(Rc<Trace>);

impl Handler for Replay {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if let (None, Some(entry)) = (&message.value, self.0.find(message.name)) {
            message.give_relaxed(&entry.value)?;
        }
        Ok(())
    }
}

/// Gives a model's sites the values they have in `trace`, each checked like an observation; sites that the trace lacks
/// are drawn afresh, and all stay random choices. Values of relaxed sites are taken as they are.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn dice() -> (usize, usize) {
///     let first = sample!(Categorical(probs = [1.0 / 6.0; 6]));
///     let second = sample!(Categorical(probs = [1.0 / 6.0; 6]));
///     (first, second)
/// }
///
/// # fn main() -> Result<()> {
/// let run = Simulation::seeded(1).run(&dice())?;
/// let again = Simulation::seeded(2).run(&replay(dice(), &run.trace))?;
/// assert_eq!(run.output, again.output);
/// # Ok(())
/// # }
/// ```
pub fn replay<M: Model>(model: M, trace: &Trace) -> Under<M, Replay> {
    Under::new(model, Replay(Rc::new(trace.clone())))
}

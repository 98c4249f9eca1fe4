//! Messages about terms that are not finite: above all about probabilities of 0, their causes and cures.

use crate::dist::{Continuous, Delta};
use crate::model::{Kind, Known};

/// What to try if nothing is known about a term that is not finite.
const LOOK: &str = "look at what computes it; the learning rate may be too large";

/// The same before any step was taken.
const LOOK_AT_THE_MODEL: &str =
    "look at what computes it: no step was taken yet, so the learning rate is not the cause";

/// For an observation within a continuous law's support, whose density is 0 only by rounding.
const FAR_OUT: &str = "the law does not exclude this observation, but it is so far out that its density is 0 in floating \
     point: look at the data and their units, divide both by a typical size, or take a law with a \
     longer tail, such as `StudentT`";

/// For an observation that a draw of discrete choices excludes. Another draw may not, so that the sum over the choices
/// is what the model says, and neither the model nor the data need be wrong.
const BY_THIS_DRAW: &str = "this draw of the choices gives the observation probability 0, and others may not: sum discrete \
     choices out, which leaves such draws out, with `.marginalise()` or `exact_posterior`, or soften the \
     likelihood, with a probability of 1e-3 in place of 0, or with logits if rounding made it 0; a count \
     can be summed out if it has a largest value, and `Truncated(Poisson(rate), 0, 40)` leaves the \
     model as it is if 40 lies far out in the tail; if no draw explains the observation, \
     look at the data";

/// The same for a draw of continuous numbers alone.
const BY_THESE_NUMBERS: &str = "this draw gives the observation probability 0, and others may not: use a likelihood whose \
     support does not depend on what is drawn, or a law of the numbers under which they cannot exclude it, \
     such as a `Truncated` one; if no draw explains the observation, look at the data";

/// For an observation that no choice affects.
const WHATEVER_IS_DRAWN: &str = "the model gives this observation probability 0, whatever is drawn: look at the data, or give the \
     distribution logits if rounding made a probability 0";

/// For a factor that no choice affects.
const WEIGHS_ALL_0: &str =
    "the factor gives the model a weight of 0, whatever is drawn: look at what computes it";

/// For a factor that excludes a draw.
const WEIGHED_0: &str = "the factor gives this draw a weight of 0: give it a small log-weight, such as -50.0, or sum discrete \
     choices out, which leaves such draws out, with `.marginalise()` or `exact_posterior`";

/// A term that is not finite, for which to find a hint.
pub(super) struct Broken<'a> {
    /// What its site does.
    pub(super) kind: Kind,
    /// The term: a cost, or a negative log-probability.
    pub(super) value: f64,
    /// What is known about it.
    pub(super) known: Known<'a>,
    /// The choices on which it may depend.
    pub(super) behind: Behind,
    /// The step, from 0.
    pub(super) step: u64,
}

/// The kind of choices that a term may depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    /// Only continuous ones.
    Numbers,
    /// Some that are discrete.
    Choices,
}

impl Broken<'_> {
    /// What to try.
    pub(super) fn hint(&self) -> &'static str {
        let is_never = self.value == f64::INFINITY;
        match self.kind {
            Kind::Observed if is_never && is_far_out(self.known) => FAR_OUT,
            Kind::Observed if is_never => match self.behind {
                Behind::Nothing => WHATEVER_IS_DRAWN,
                Behind::Numbers => BY_THESE_NUMBERS,
                Behind::Choices => BY_THIS_DRAW,
            },
            Kind::Latent if is_never => {
                "the guide drew a value to which the model gives probability 0: a guide may only \
                 draw what the model can"
            }
            Kind::Cost => "look at what the model pays there",
            Kind::Factor if is_never && self.behind == Behind::Nothing => WEIGHS_ALL_0,
            Kind::Factor if is_never => WEIGHED_0,
            _ => look(self.step),
        }
    }
}

/// What to try at a step if nothing is known about a term that is not finite: the learning rate is only involved once
/// steps were taken.
pub(super) fn look(step: u64) -> &'static str {
    match step {
        0 => LOOK_AT_THE_MODEL,
        _ => LOOK,
    }
}

/// What to try if no combination of a model's choices explains an observation.
pub(super) fn under_no_combination(known: Known<'_>) -> &'static str {
    match is_far_out(known) {
        true => FAR_OUT,
        false => {
            "look at the data, and at choices all of whose values exclude it, such as numbers of trials \
             below what was counted; or give the distribution logits if rounding made a probability 0"
        }
    }
}

/// Whether an observation has a density of 0 only by rounding.
fn is_far_out(known: Known<'_>) -> bool {
    let Known::Inside(dist) = known else {
        return false;
    };
    let is_certain = dist.name() == <Delta<f64> as Continuous>::NAME;
    !is_certain && dist.law().is_ok_and(|law| !law.draws().are_discrete())
}

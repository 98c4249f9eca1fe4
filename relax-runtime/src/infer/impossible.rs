//! What is said of terms that are not finite: of a probability of 0 above all, why it is that and what to do.

use crate::dist::{Continuous, Delta};
use crate::model::{Kind, Known};

/// What to try where nothing is known of a term that is not finite.
const LOOK: &str = "look at what computes it; the learning rate may be too large";

/// The same before any step was taken.
const LOOK_AT_THE_MODEL: &str =
    "look at what computes it: no step was taken yet, so that the learning rate has no part in it";

/// Of an observation that is in a continuous law's support. Its density is 0 there but by rounding.
const FAR_OUT: &str = "the law does not exclude this observation, but it is so far out that its density is 0 in floating \
     point: look at the data and their units, divide both by a typical size, or take a law with a \
     longer tail, such as `StudentT`";

/// Of an observation that a draw of discrete choices excludes. Another draw may not, so that the sum over the choices is
/// what the model says, and neither the model nor the data need be wrong.
const BY_THIS_DRAW: &str = "this draw of the choices gives the observation probability 0, and others may not: sum discrete \
     choices out, which leaves such draws out, by `.marginalise()` or `exact_posterior`, or soften the \
     likelihood, as by a probability of 1e-3 in place of 0, or by logits where rounding made it 0; a \
     count without a largest value is summed where it has one, and `Truncated(Poisson(rate), 0, 40)` \
     leaves the model as it is where 40 lies far out in the tail; if no draw explains the observation, \
     look at the data";

/// The same of a draw of continuous numbers alone.
const BY_THESE_NUMBERS: &str = "this draw gives the observation probability 0, and others may not: take a likelihood whose \
     support does not depend on what is drawn, or a law of the numbers, by `Truncated`, under which they cannot \
     exclude it; if no draw explains the observation, look at the data";

/// Of an observation that no choice has to do with.
const WHATEVER_IS_DRAWN: &str = "the model gives this observation probability 0, whatever is drawn: look at the data, or give the \
     distribution logits where rounding made a probability 0";

/// Of a factor that no choice has to do with.
const WEIGHS_ALL_0: &str =
    "the factor gives the model a weight of 0, whatever is drawn: look at what computes it";

/// Of a factor that excludes a draw.
const WEIGHED_0: &str = "the factor gives this draw a weight of 0: give it a small weight, such as -50.0, or sum discrete \
     choices out, which leaves such draws out, by `.marginalise()` or `exact_posterior`";

/// What to try where a term is not finite.
pub(super) struct Broken<'a> {
    /// What its site does.
    pub(super) kind: Kind,
    /// The term: a cost, or a negative log-probability.
    pub(super) value: f64,
    /// What is known of it.
    pub(super) known: Known<'a>,
    /// The choices on which it may depend.
    pub(super) behind: Behind,
    /// The step, from 0.
    pub(super) step: u64,
}

/// On what choices a term may depend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    /// Continuous ones alone.
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

/// What to try at a step where nothing is known of a term that is not finite: rates have a part in it only where steps
/// were taken.
pub(super) fn look(step: u64) -> &'static str {
    match step {
        0 => LOOK_AT_THE_MODEL,
        _ => LOOK,
    }
}

/// What to try where no combination of a model's choices explains an observation.
pub(super) fn under_no_combination(known: Known<'_>) -> &'static str {
    match is_far_out(known) {
        true => FAR_OUT,
        false => {
            "look at the data; at choices of which every value excludes it, such as numbers of trials \
             below what was counted; or give the distribution logits where rounding made a probability 0"
        }
    }
}

/// Whether an observation has a density of 0 by rounding alone.
fn is_far_out(known: Known<'_>) -> bool {
    let Known::Inside(dist) = known else {
        return false;
    };
    let is_certain = dist.name() == <Delta<f64> as Continuous>::NAME;
    !is_certain && dist.law().is_ok_and(|law| !law.draws().are_discrete())
}

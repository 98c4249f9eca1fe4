//! Why an observation has probability 0, and what to do about it, in words.

use crate::dist::AnyDistribution;

/// Of an observation whose log-density is −∞, by its distribution, or nothing where the support does not have the
/// value. A density is 0 nowhere in its support but by rounding; a mass may be.
pub(super) fn why_impossible(dist: Option<&dyn AnyDistribution>) -> &'static str {
    match dist.map(AnyDistribution::law) {
        Some(Ok(law)) if !law.draws().are_discrete() => {
            "the law does not exclude this observation, but it is so far out that its density is 0 in floating \
             point: look at the data and their units, divide both by a typical size, or take a law with a \
             longer tail, such as `StudentT`"
        }
        _ => {
            "the model gives this observation probability 0, so that it is impossible: look at \
             the data; at choices that may exclude it, such as a number of trials below what was \
             counted, which `Truncated` keeps away from there; or give the distribution logits \
             where rounding made a probability 0"
        }
    }
}

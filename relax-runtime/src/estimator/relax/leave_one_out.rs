//! RELAX at choices that later ones follow: with a corrected relaxed cost, or from the costs of further draws.

use super::corrected;
use crate::dist::Form;
use crate::error::Result;
use crate::estimator::{Cost, Estimate, Noise, Problem, arms, rloo};
use crate::surrogate::{RelaxedCost, Surrogate, Turn};
use crate::tensor::{Parameter, Tensor};

/// The [`corrected`] estimate, or the leave-one-out estimate of as many draws as there is further noise, whichever has
/// had the less mean square.
///
/// In a relaxed evaluation the later choices that depend on the site's are relaxed, too. How far the cost is from that
/// at their hard values has nothing to do with the site's own draw; it is left in the estimate, and late in training it
/// is most of it (`docs/relax-default.md`). The costs of several draws are of hard values throughout. Both have the
/// same expectation, and which is taken depends on past estimates alone, so this one stays unbiased. For coins, the
/// draws are those of [`arms`].
///
/// The first of the further noise is that of [`corrected`].
///
/// # Errors
/// Those of [`corrected`], [`rloo`], and [`arms`].
pub(super) fn corrected_or_leave_one_out(
    problem: Problem<'_>,
    cost: &dyn Cost,
    relaxed: &RelaxedCost,
) -> Result<Estimate> {
    let with_surrogate = || corrected(problem, cost, relaxed, None);
    let plain = || {
        let untrained = |parameter: &Parameter| parameter.get().detach().zeros_like();
        Ok(Estimate {
            variance_gradient: relaxed.parameters().iter().map(untrained).collect(),
            ..from_draws(problem, cost)?
        })
    };
    match relaxed.turn() {
        Turn::Surrogate => with_surrogate(),
        Turn::Plain => plain(),
        Turn::Both { takes_plain } => {
            let (surrogate, plain) = (with_surrogate()?, plain()?);
            let squares = [&surrogate, &plain].map(|e| e.gradient.square().mean_all().reshape([1]));
            relaxed.compare(Tensor::concat(&squares.each_ref(), 0));
            let evaluations = surrogate.evaluations + plain.evaluations - 1;
            let taken = if takes_plain { plain } else { surrogate };
            Ok(Estimate {
                evaluations,
                ..taken
            })
        }
    }
}

/// The leave-one-out estimate.
fn from_draws(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    let noise = Noise {
        further: problem.noise.further.iter().skip(1).cloned().collect(),
        ..Noise::coupled(problem.noise.u.clone())
    };
    let problem = Problem {
        noise: &noise,
        ..problem
    };
    match problem.relaxation.form() {
        Form::Coins => arms(problem, cost),
        _ => rloo(problem, cost),
    }
}

//! The guide that follows a model's dependences.

use super::moved::law_of;
use super::recentre::recentre;
use super::structure::Structure;
use super::{Evaluation, Guide, Proposal, Stage};
use crate::error::Result;
use crate::model::{ParamStore, Program};

/// Gives every site the law that the model states there, with its unconstrained parameters moved by the guide's own
/// parameters: for coins and categories q(zᵢ | z_<ᵢ) ∝ p(zᵢ | z_<ᵢ) · tᵢ(zᵢ; those earlier choices on which the
/// posterior's conditional depends besides p). It is the default of [`Elbo`](crate::infer::Elbo) and
/// [`Svi`](crate::infer::Svi).
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn one_of_two() {
///     let a = sample!(Bernoulli(0.5));
///     let b = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if a == b { 0.001 } else { 0.999 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// // Drawn, as otherwise both choices would be summed out.
/// let model = one_of_two();
/// let drawn = Svi::new(&model).draw_all().optimizer(Adam::new(0.05));
/// let fit = drawn.steps(2_000).seed(1).run()?;
/// let alike = fit.posterior().probability(|draw| draw.number("a").ok() == draw.number("b").ok())?;
/// assert!(alike < 0.05);
/// # Ok(())
/// # }
/// ```
///
/// The dependences are found before training by running the model with each choice changed in turn: 3 (n + 1) runs for
/// n choices, more if choices decide which others there are, up to 12 (n + 1), with the first values of its parameters
/// and its first data, and once more if less of it is summed out than before. A few values of discrete choices (up to
/// 64 combinations) index a table of how far the parameters are moved; further ones, and continuous ones, move the
/// law's first parameter in proportion to their unconstrained numbers. So the guide can be the posterior itself for
/// models with few discrete choices, for chains of them, whose tᵢ has no earlier choices at all, and for linear
/// Gaussian models with one number per site. A choice without dependences gets what
/// [`MeanFieldGuide`](super::MeanFieldGuide) gives it; several choices of one site do not follow each other.
///
/// More than 128 choices are not looked at one by one: each then moves by itself.
///
/// Numbers start a tenth as wide as the law that the model states. In a run that goes on until it has settled, if no
/// optimizer was chosen, locations move in units of the guide's own spreads, and the numbers that a choice follows are
/// measured from their own mean in units of their own spread under the guide, again each time the number of steps has
/// doubled. Once such a run has settled at its first rate, all of a law's parameters move in proportion to numbers,
/// including scales, which would lead astray far from where things belong; Gaussian numbers may then be skewed as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct StructuredGuide;

impl Guide for StructuredGuide {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        let structure = Structure::noted(evaluation);
        evaluation.by_site(move |site| law_of(site, &structure))
    }

    fn adapt(&self, evaluation: Evaluation<'_>, stage: Stage) -> Result<()> {
        let structure = Structure::noted(evaluation);
        recentre(evaluation, &structure, stage, |evaluation| {
            self.propose(evaluation)
        })
    }

    fn is_mean_field(&self, model: &dyn Program, params: &ParamStore) -> bool {
        let structure = params.noted::<Structure>(model.model_name());
        structure.is_some_and(|structure| structure.is_independent())
    }
}

//! The guide that follows a model's dependences.

use super::moved::law_of;
use super::recentre::recentre;
use super::structure::Structure;
use super::{Evaluation, Guide, Proposal, Stage};
use crate::error::Result;
use crate::model::{ParamStore, Program};

/// Gives every site the law that the model states there, its unconstrained parameters moved by parameters
/// of the guide's own: of coins and categories q(zᵢ | z_<ᵢ) ∝ p(zᵢ | z_<ᵢ) · tᵢ(zᵢ; those earlier
/// choices on which the posterior's conditional depends beside p). The default of
/// [`Elbo`](crate::infer::Elbo) and [`Svi`](crate::infer::Svi).
///
/// Which those are is found before training by running the model with each choice changed in turn: 3 (n + 1)
/// runs of n choices, more where choices decide which others there are, up to 12 (n + 1), with the first
/// values of its parameters and the first data that it has, and once more where less of it is summed out than before.
/// By few values of discrete choices (up to 64
/// combinations) there is a table of how far the parameters are moved; further ones, and continuous ones,
/// move the law's first parameter in proportion to their unconstrained numbers. So the posterior itself is among the guides
/// of models with few discrete choices, of chains of them, whose tᵢ has no earlier choices at all, and of
/// linear Gaussian models with a number a site. A choice without dependences gets what
/// [`MeanFieldGuide`](super::MeanFieldGuide) gives it; several choices of one site do not follow each other.
///
/// More than 128 choices are not looked at one by one: each then moves by itself.
///
/// Numbers start a tenth as wide as the law that the model states. In a run to its settled end, where no
/// optimiser was chosen, locations are moved in units of the guide's own spreads, and the numbers that a
/// choice follows are measured from their own mean in units of their own spread under the guide, anew whenever the
/// steps so far have doubled. Once such a run has settled at its first rate, all of a law's parameters are moved
/// in proportion to numbers, scales too, which far from where things belong would lead astray; Gaussian numbers then
/// lean to a side besides.
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

//! The slopes of the cost at a run's own draws, from the graph of that run.

use crate::dist::Number;
use crate::error::Result;
use crate::infer::pass::Pass;
use crate::tensor::{Parameter, Tensor, grad_parameters_and, share_operations};

/// The result of one reverse pass through the terms of a run, which consumes its operations.
pub(in crate::infer) struct Slopes {
    /// The parameters' direct derivatives.
    pub(in crate::infer) direct: Vec<(Parameter, Tensor)>,
    /// For each latent the derivative of its cost-to-go, if the draw is a leaf.
    by_place: Vec<Option<Tensor>>,
}

impl Slopes {
    /// `constants` are draws whose whole effect on their parameters is covered by an estimate. `None` if the laws of
    /// the draws are computed by operations that belong to the terms as well: the estimates have to go through those
    /// again.
    ///
    /// # Errors
    /// If a term carries an error.
    pub(in crate::infer) fn of(pass: &Pass, constants: &[&Tensor]) -> Result<Option<Self>> {
        let mut terms: Vec<(Tensor, Option<Tensor>)> = Vec::with_capacity(pass.terms.len());
        each_tracked_term(pass, |term, scale| terms.push((term.clone(), scale)));
        let laws = pass.latents.iter().flat_map(|l| l.law.parameters());
        let laws: Vec<Tensor> = laws.collect();
        let values: Vec<&Tensor> = terms.iter().map(|(term, _)| term).collect();
        if share_operations(&values, &laws.iter().collect::<Vec<_>>())? {
            return Ok(None);
        }
        let is_leaf = |place: &usize| {
            let latent = &pass.latents[*place];
            latent.law.relaxation().is_some() && latent.value.is_tracked()
        };
        let places: Vec<usize> = (0..pass.latents.len()).filter(is_leaf).collect();
        let draws: Vec<&Tensor> = places.iter().map(|&i| &pass.latents[i].value).collect();
        let outputs: Vec<_> = terms.iter().map(|(t, scale)| (t, scale.as_ref())).collect();
        let (direct, slopes) = grad_parameters_and(&outputs, constants, &draws)?;
        let mut by_place = vec![None; pass.latents.len()];
        for (place, slope) in places.into_iter().zip(slopes) {
            // In units of one row.
            by_place[place] = Some(match pass.latents[place].scale {
                1.0 => slope,
                scale => slope / scale as f32,
            });
        }
        Ok(Some(Self { direct, by_place }))
    }

    /// The slope of a latent's cost-to-go at its draw.
    pub(in crate::infer) fn at(&self, place: usize) -> Option<&Tensor> {
        self.by_place[place].as_ref()
    }
}

/// Calls `f` with the terms that are part of a graph, each with its weight unless that is one.
pub(in crate::infer) fn each_tracked_term(pass: &Pass, mut f: impl FnMut(&Tensor, Option<Tensor>)) {
    for term in &pass.terms {
        if let Number::Tensor(t) = &term.value
            && t.is_tracked()
        {
            f(
                t,
                (term.scale != 1.0).then(|| t.full_like(term.scale as f32)),
            );
        }
    }
}

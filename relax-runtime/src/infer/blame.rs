//! Finds the source of a gradient that is not finite, once a step has failed.

use crate::dist::Number;
use crate::error::{Error, Result};
use crate::infer::estimation::Estimation;
use crate::infer::objective::Objective;
use crate::infer::pass::{Latent, Mode, Pass, Term};
use crate::random::Key;
use crate::tensor::{Parameter, Tensor, grad_parameters_around};

impl Estimation {
    /// The error of a step whose gradients could not be followed, with their source if they are not finite and it is
    /// found. The step is repeated for that, with the random numbers of `key`.
    pub(super) fn blamed(
        &mut self,
        mut error: Error,
        gradients: &[(Parameter, Tensor)],
        objective: &dyn Objective,
        key: Key,
    ) -> Error {
        let all_finite = gradients.iter().all(|(_, gradient)| is_finite(gradient));
        if let (Error::NotFinite { what, .. }, false) = (&mut error, all_finite) {
            let params = self.params.clone();
            let source = params.beside_data(|| self.source(objective, key));
            if let Ok(Some(source)) = source {
                *what += &format!(", which comes from {source},");
            }
        }
        error
    }

    /// The first choice whose estimate is not finite, or else the first such term.
    fn source(&mut self, objective: &dyn Objective, key: Key) -> Result<Option<String>> {
        for particle in 0..self.particles as u64 {
            let key = Key { particle, ..key };
            let drawn = self.estimate_particle(objective, key, false)?;
            let mut estimates = drawn.sites.iter();
            if let Some(wrong) = estimates.find(|at| !at.gradients.iter().all(is_finite)) {
                let latent = &drawn.pass.latents[wrong.place];
                let (name, file, line) = (&latent.name, latent.file, latent.line);
                return Ok(Some(format!("the estimate at `{name}` ({file}:{line})")));
            }
            if let Some(term) = self.first_term(objective, key)? {
                return Ok(Some(term));
            }
        }
        Ok(None)
    }

    /// The first term of a draw that makes the derivatives of the sum infinite or NaN, by bisection: an evaluation
    /// leaves a graph that only one pass can go through.
    fn first_term(&self, objective: &dyn Objective, key: Key) -> Result<Option<String>> {
        let evaluate = || objective.evaluate(key, &self.params, &Mode::Draw);
        let is_wrong_until = |end: usize| -> Result<bool> {
            let pass = evaluate()?;
            has_wrong_slope(&pass, end, &self.sites.estimated(&pass))
        };
        let pass = evaluate()?;
        let (mut right, mut wrong) = (0, terms(&pass).count());
        if !is_wrong_until(wrong)? {
            return Ok(None);
        }
        while wrong - right > 1 {
            let middle = right.midpoint(wrong);
            match is_wrong_until(middle)? {
                true => wrong = middle,
                false => right = middle,
            }
        }
        let in_words =
            |(term, latents): (&Term, &[Latent])| term.in_words() + &term.draw_behind(latents);
        Ok(terms(&pass).nth(right).map(in_words))
    }
}

/// The terms of a draw, and the choices behind them; for several samples those of each.
fn terms(pass: &Pass) -> impl Iterator<Item = (&Term, &[Latent])> {
    let samples = pass.samples.iter().flat_map(|samples| samples.runs());
    let single = pass.samples.is_none().then_some(pass);
    let runs = samples.chain(single);
    runs.flat_map(|run| run.terms.iter().map(|term| (term, &run.latents[..])))
}

/// Whether the derivatives of the first terms by parameters are not all finite.
fn has_wrong_slope(pass: &Pass, end: usize, constants: &[&Tensor]) -> Result<bool> {
    let tensors = terms(pass)
        .take(end)
        .filter_map(|(term, _)| match &term.value {
            Number::Tensor(value) if value.is_tracked() => Some((value, None)),
            _ => None,
        });
    let gradients = grad_parameters_around(&tensors.collect::<Vec<_>>(), constants)?;
    Ok(!gradients.iter().all(|(_, gradient)| is_finite(gradient)))
}

fn is_finite(numbers: &Tensor) -> bool {
    let all = |numbers: &[f32]| numbers.iter().all(|x| x.is_finite());
    numbers.with_values(all).unwrap_or(false)
}

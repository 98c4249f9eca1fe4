//! A custom estimator: a guess of the cost, fitted to past draws, is subtracted from the cost in the score-function
//! term, and its known expectation is added back.
//!
//! ĝ = (f(b) − h(b)) ∂ln p(b | θ)/∂θ + ∂E[h(b)]/∂θ, at one evaluation of f. It is unbiased for every guess h that does
//! not depend on the draw. Replay of past draws and action-dependent baselines with known expectations are of this form
//! (Gu et al. 2016, "Q-Prop", section 3).

use std::fmt::Debug;

use relax_runtime::estimator::{
    Cost, Estimate, Estimator, LawEstimate, LawTask, Problem, SiteClass, SiteState, SiteTask,
    score_function,
};
use relax_runtime::grad;
use relax_runtime::prelude::*;

/// h: what past draws say of the cost.
pub(crate) trait Guess: Debug {
    const NAME: &'static str;
    /// What h is, for the plan.
    const REASON: &'static str;

    /// Whether it can be fitted at sites of a class, or why not.
    fn suits(&self, class: SiteClass) -> std::result::Result<(), String>;

    /// What h learns by the trainer's steps.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// h of a draw, a number a row, as a constant.
    fn value(&self, b: &Tensor) -> Result<Tensor>;

    /// E[h] of the draw's mean and, where it is normal, its scale `[n]` or the factor `[n, n]` of its covariance; a number a
    /// row, differentiable in both.
    fn expected(&self, mean: &Tensor, scale: Option<&Tensor>) -> Result<Tensor>;

    /// Takes in a draw and its cost once its estimate is made. Returns the gradients of what it is fitted by, for
    /// each of the [`parameters`](Self::parameters).
    fn learn(&self, b: &Tensor, f: &Tensor, law: &[Tensor]) -> Result<Vec<Tensor>>;
}

/// The estimator of a guess.
#[derive(Debug)]
pub(crate) struct Fitted<G>(pub(crate) G);

/// The problem's draw.
fn drawn(problem: Problem<'_>) -> Tensor {
    let theta = problem.theta.detach();
    let relaxed = problem.relaxation.relaxed(&theta, &problem.noise.u);
    problem.relaxation.hard(&relaxed)
}

impl<G: Guess> Estimator for Fitted<G> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        self.0.suits(class).map(|()| G::REASON.into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    /// Guesses are of the cost itself.
    fn centred(&self) -> bool {
        false
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        Ok(SiteState::with_parameters(self.0.parameters()))
    }

    fn law_state(&self, _: &LawTask<'_>) -> Result<SiteState> {
        Ok(SiteState::with_parameters(self.0.parameters()))
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        _: &dyn Cost,
        _: &SiteState,
    ) -> Result<Option<Tensor>> {
        Ok(Some(self.0.value(&drawn(task.problem))?))
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        let problem = task.problem;
        let (theta, b) = (problem.theta.detach().leaf(), drawn(problem));
        let f = cost.drawn(&b)?.detach();
        let mean = problem.relaxation.mean(&theta);
        let expected = self.0.expected(&mean, None)?.sum_all();
        let [path] = &grad(&[(&expected, None)], &[&theta])?[..] else {
            return Err(Error::Estimator("expected one gradient".into()));
        };
        // A number a row beside θ of rows and events.
        let mut rest = &f - self.0.value(&b)?;
        for _ in rest.shape().len()..theta.shape().len() {
            rest = rest.unsqueeze(-1);
        }
        let gradient = rest * problem.relaxation.score(&theta.detach(), &b) + path;
        gradient.check()?;
        Ok(Estimate {
            variance_gradient: self.0.learn(&b, &f, &[mean.detach()])?.into(),
            cost: f,
            gradient,
            evaluations: 1,
        })
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &SiteState,
    ) -> Result<LawEstimate> {
        let problem = task.problem;
        let parameters = problem.law.parameters();
        let leaves: Vec<Tensor> = parameters.iter().map(|p| p.detach().leaf()).collect();
        let ("Normal" | "MultivariateNormal", [mean, scale]) = (problem.law.name(), &leaves[..])
        else {
            let problem = format!("`{}` is for coins, choices and normal numbers", G::NAME);
            return Err(Error::Estimator(problem));
        };
        let b = problem.law.draw(problem.noise).detach();
        let f = cost.drawn(&b)?.detach();
        let scores = score_function(problem.law, &b, &(&f - self.0.value(&b)?))?;
        let expected = self.0.expected(mean, Some(scale))?.sum_all();
        let paths = grad(&[(&expected, None)], &[mean, scale])?;
        let law = [mean.detach(), scale.detach()];
        Ok(LawEstimate {
            variance_gradient: self.0.learn(&b, &f, &law)?.into(),
            cost: f,
            gradients: scores.iter().zip(&paths).map(|(a, b)| a + b).collect(),
            evaluations: 1,
        })
    }
}

//! Estimators that are wrong, most of them as they were published, each convicted by the check that everybody has, and
//! one that only looks wrong. `docs/museum.md` has their causes.

use std::rc::Rc;

use relax_runtime::dist::{CategoricalRelaxation, Relaxation, noise};
use relax_runtime::estimator::{
    Cost, DrawKind, Estimator, LawEstimate, LawTask, Relax, SiteClass, score_function,
};
use relax_runtime::grad;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::VarianceGradient;

use crate::mistakes::{Mistake, Wrong};
use crate::moved::Moved;

/// Rows of a plate are as many draws.
const ROWS: usize = 500;

#[model]
fn coin() {
    let theta = param!(0.6);
    plate!(ROWS => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!((&b - 0.2).square());
    });
}

#[model]
fn choice() {
    let theta = param!(Tensor::from_slice(&[0.3, -0.7, 1.2]));
    plate!(ROWS => {
        let b = sample!(OneHotCategorical(logits = theta.unsqueeze(0)));
        cost!((&b * Tensor::from_slice(&[0.2, 1.5, -0.4])).sum(-1).square());
    });
}

#[model]
fn normal() {
    let mu = param!(0.7);
    plate!(ROWS => {
        let b = sample!(Normal(&mu, 1.0));
        cost!(b.square());
    });
}

/// By how many standard errors the gradient at `b` is off, and how many count as a bias.
fn tried(exhibit: &str, model: &dyn Program, estimator: Rc<dyn Estimator>) -> Result<(f64, f64)> {
    const DRAWS: u64 = 100;
    let table = Check::new(&ExpectedCost::new(model))
        .site_estimator("b", estimator)
        .draws(DRAWS)
        .run()?;
    let row = table.site("b").expect("the site");
    assert_eq!(row.biased, table.verdict().is_err(), "{exhibit}\n{table}");
    println!(
        "{exhibit}: {:.1} standard errors of at most {:.1}, variance {:.3}",
        row.z, table.threshold, row.variance
    );
    Ok((row.z, table.threshold))
}

fn convict(exhibit: &str, model: &dyn Program, estimator: impl Estimator + 'static) -> Result<()> {
    let (z, threshold) = tried(exhibit, model, Rc::new(estimator))?;
    assert!(z > 1.5 * threshold, "{exhibit}: {z}");
    Ok(())
}

/// RELAX with a mistake, and a surrogate that is far from zero.
fn relax(mistake: Mistake, relaxation: Option<&'static dyn Relaxation>) -> Moved {
    Moved(Rc::new(Wrong {
        relax: Relax::free_form(),
        mistake,
        relaxation,
    }))
}

/// What is right is acquitted with the same draws.
#[test]
fn the_right_ones_are_acquitted() -> Result<()> {
    for (model, name) in [(&coin() as &dyn Program, "a coin"), (&choice(), "a choice")] {
        let right = relax(Mistake::None, None);
        let (z, threshold) = tried(name, model, Rc::new(right))?;
        assert!(z < threshold, "{name}: {z}");
    }
    Ok(())
}

/// z̃ depends on θ, at a fixed b, and its derivative is a term of the estimate. A port detached it.
#[test]
fn the_path_through_the_conditional_draw_left_out() -> Result<()> {
    convict("K1, a coin", &coin(), relax(Mistake::MissingPath, None))?;
    convict("K1, a choice", &choice(), relax(Mistake::MissingPath, None))
}

/// A categorical relaxation whose z̃ has another law than z given b.
#[derive(Clone, Copy, Debug)]
enum Untrue {
    /// Losers lie below the winner, but not at their own rates.
    Losers,
    /// Logits that are not normalised, in a formula for those that are.
    RawLogits,
}

impl Untrue {
    fn logits(self, theta: &Tensor) -> Tensor {
        let normalised = theta.log_softmax(-1);
        match self {
            Self::Losers => normalised,
            // As a network gives them: Σ e^θ is 2.5, say.
            Self::RawLogits => normalised + 2.5_f32.ln(),
        }
    }
}

impl Relaxation for Untrue {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        self.logits(theta) - (-noise::ln(u)).ln()
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        CategoricalRelaxation.hard(z)
    }

    /// −ln E at the winner and −ln(E/p + E of the winner) elsewhere, with E = −ln v, would be right for
    /// normalised logits.
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let e = -noise::ln(v);
        let winner = (&e * b).sum_keepdim(-1);
        let rate = match self {
            Self::Losers => theta.ones_like(),
            Self::RawLogits => self.logits(theta).exp(),
        };
        -Tensor::select_where(b, &(&winner + theta.zeros_like()), &(e / rate + &winner)).ln()
    }

    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        CategoricalRelaxation.coupled_noise(theta, u, b)
    }

    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        CategoricalRelaxation.squash(z, temperature)
    }

    fn event_rank(&self) -> usize {
        1
    }

    fn values(&self, width: usize) -> Option<usize> {
        Some(width)
    }

    fn vertices(&self, width: usize) -> Vec<Vec<f32>> {
        CategoricalRelaxation.vertices(width)
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        CategoricalRelaxation.log_mass(theta, b)
    }
}

/// z̃ is to have the law of z given b. Then E c(z̃) over b is E c(z), and what the surrogate adds is zero on
/// average; with another law it is not.
#[test]
fn losers_of_a_choice_at_the_wrong_rates() -> Result<()> {
    convict("K2", &choice(), relax(Mistake::None, Some(&Untrue::Losers)))
}

/// The same of a formula for e^θ that add up to 1, given logits as they come.
#[test]
fn raw_logits_in_a_formula_for_normalised_ones() -> Result<()> {
    convict(
        "K4",
        &choice(),
        relax(Mistake::None, Some(&Untrue::RawLogits)),
    )
}

/// LAX with c = b², taken at the draw that is scored, or at another one.
#[derive(Debug)]
struct AtAction {
    is_fresh: bool,
}

impl Estimator for AtAction {
    fn name(&self) -> &'static str {
        "at-action"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.draws {
            DrawKind::Pathwise => Ok("continuous".into()),
            _ => Err("is for continuous sites".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        1
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &relax_runtime::estimator::SiteState,
    ) -> Result<LawEstimate> {
        let problem = &task.problem;
        let taken = problem.law.draw(problem.noise).detach();
        let leaves: Vec<Tensor> = problem.law.parameters().iter().map(Tensor::leaf).collect();
        let noise = match self.is_fresh {
            true => &problem.further[0],
            false => problem.noise,
        };
        let c = problem.law.with_parameters(&leaves).draw(noise).square();
        let f = cost.drawn(&taken)?;
        let scores = score_function(problem.law, &taken, &(&f - c.detach()))?;
        let paths = grad(&[(&c, None)], &leaves.iter().collect::<Vec<_>>())?;
        Ok(LawEstimate {
            cost: f,
            gradients: scores.iter().zip(&paths).map(|(s, p)| s + p).collect(),
            variance_gradient: VarianceGradient::default(),
            evaluations: 1,
        })
    }
}

/// −c(b) ∂log p(b) and ∂c(b) cancel on average, as both are of the same b; −c(b′) ∂log p(b) is zero by
/// itself, and the mean of ∂c stays.
#[test]
fn the_surrogate_at_a_fresh_action() -> Result<()> {
    let (z, threshold) = tried(
        "right LAX",
        &normal(),
        Rc::new(AtAction { is_fresh: false }),
    )?;
    assert!(z < threshold, "{z}");
    convict("K3", &normal(), AtAction { is_fresh: true })
}

/// Under coupled noise c(z) depends on θ through z, less through z̃: κ is what is left.
#[test]
fn kappa_taken_as_one() -> Result<()> {
    convict("K6, a coin", &coin(), relax(Mistake::KappaOne, None))?;
    convict("K6, a choice", &choice(), relax(Mistake::KappaOne, None))
}

/// z of the mirrored uniform number: b is H(z) on 29 % of draws only. But the three terms of the estimate need
/// z of the right law, b of the right law, and z̃ of the right law given b, and nothing of z and b together:
/// it is unbiased. It varies more, as z says little of b.
#[test]
fn mirrored_noise_is_acquitted() -> Result<()> {
    let (z, threshold) = tried("K7", &coin(), Rc::new(relax(Mistake::Mirrored, None)))?;
    assert!(z < threshold, "{z}");
    Ok(())
}

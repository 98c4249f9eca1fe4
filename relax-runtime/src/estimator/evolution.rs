//! Evolution strategies: mirrored Gaussian draws of a continuous choice (Salimans, Ho, Chen, Sidor,
//! Sutskever 2017).

use super::class::SiteClass;
use super::law::drawn;
use super::site::Estimator;
use super::state::SiteState;
use super::{Cost, LawEstimate, LawProblem, LawTask, score_function};
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The mean over pairs of draws μ ± σ ε of f(b) ∂log p(b | θ)/∂θ: by μ it is the evolution
/// strategies' (f(μ + σ ε) − f(μ − σ ε)) ε / 2σ, the slope of the line through both costs; by σ
/// it is ((f(μ + σ ε) + f(μ − σ ε))/2) (ε² − 1)/σ (Salimans et al. 2017, mirrored sampling).
///
/// Two evaluations per pair. The first draw comes from the noise, the first draws of further pairs from
/// the further noise. [`EvolutionStrategies`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, or the law's noise is not symmetric.
pub fn evolution_strategies(problem: LawProblem<'_>, cost: &dyn Cost) -> Result<LawEstimate> {
    let (b, f) = drawn(problem, cost)?;
    let pairs = 1 + problem.further.len();
    let mut gradients = score_function(problem.law, &b, &f)?;
    let mut add = |b: &Tensor, f: &Tensor| {
        let scores = score_function(problem.law, b, f)?;
        gradients
            .iter_mut()
            .zip(&scores)
            .for_each(|(g, s)| *g = &*g + s);
        Ok::<_, Error>(())
    };
    for noise in std::iter::once(problem.noise).chain(problem.further) {
        let mirrored = problem.law.mirrored(noise).ok_or_else(|| {
            Error::Estimator(format!(
                "the noise of {} is not symmetric; evolution strategies need a mirrored draw",
                problem.law.name()
            ))
        })?;
        let other = problem.draw(&mirrored);
        add(&other, &cost.hard(&other)?)?;
    }
    for noise in problem.further {
        let b = problem.draw(noise);
        add(&b, &cost.hard(&b)?)?;
    }
    let share = 1.0 / (2 * pairs) as f32;
    let gradients: Vec<Tensor> = gradients.iter().map(|g| g * share).collect();
    gradients.iter().try_for_each(|g| g.check().map(drop))?;
    Ok(LawEstimate {
        cost: f,
        gradients,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2 * pairs,
    })
}

/// Evolution strategies, for continuous sites with mirrored draws, such as Normal ones.
///
/// ```
/// use relax_runtime::estimator::EvolutionStrategies;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn aim() {
///     let mu = param!(0.0);
///     let x = sample!(Normal(&mu, 1.0));
///     // A black box.
///     cost!((f64::from(x.item()?) - 1.0).powi(2));
/// }
///
/// # fn main() -> Result<()> {
/// let program = aim();
/// let training = Minimize::new(&program).optimizer(Adam::new(0.05)).steps(200);
/// let trained = training.site_estimator("x", EvolutionStrategies::default()).run()?;
/// assert!((trained.param("mu")?[0] - 1.0).abs() < 0.1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EvolutionStrategies {
    pairs: usize,
}

impl Default for EvolutionStrategies {
    fn default() -> Self {
        Self { pairs: 1 }
    }
}

impl EvolutionStrategies {
    /// Evolution strategies with the given number of pairs, each of which takes two evaluations of the
    /// cost.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(pairs: usize) -> Result<Self> {
        if pairs == 0 {
            return Err(Error::Config {
                setting: "pairs",
                problem: "is 0; give at least one".into(),
            });
        }
        Ok(Self { pairs })
    }
}

impl Estimator for EvolutionStrategies {
    fn name(&self) -> &'static str {
        "evolution-strategies"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.mirrored {
            return Ok(format!(
                "continuous: {} mirrored pairs of draws",
                self.pairs
            ));
        }
        Err(
            "evolution strategies are for continuous sites with mirrored draws, such as Normal ones; \
             use `lax`, or `relax` at discrete ones"
                .into(),
        )
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2 * self.pairs
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.pairs - 1
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &SiteState,
    ) -> Result<LawEstimate> {
        evolution_strategies(task.problem, cost)
    }
}

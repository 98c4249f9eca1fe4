//! Straight-through estimators, biased (Bengio, Léonard, Courville 2013; Jang, Gu, Poole 2017).

use super::class::SiteClass;
use super::gumbel_softmax::{relaxable, soft};
use super::problem::{pull, slope};
use super::site::{Estimator, SiteTask, check_temperature};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// What replaces the hard draw in the reverse pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Through {
    /// Its mean (Bengio et al. 2013).
    Mean,
    /// The relaxed sample at temperature λ (Jang et al. 2017).
    Gumbel(f32),
}

/// The slope of the cost at the hard draw, taken for the slope by what replaces the draw. Biased,
/// except where the cost is linear in the draw.
///
/// Two evaluations: the cost at the draw, and its slope there with later choices relaxed at
/// `temperature`. [`StraightThrough`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, or shapes do not fit.
pub fn straight_through(
    problem: Problem<'_>,
    cost: &dyn Cost,
    through: Through,
    temperature: f32,
) -> Result<Estimate> {
    let (theta, relaxation) = (problem.constant_theta()?, problem.relaxation);
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let f = cost.drawn(&b)?;
    let (_, slope) = slope(cost, &b, temperature)?;
    let gradient = match through {
        Through::Mean => pull(&|theta: &Tensor| problem.mean(theta), &theta, &slope),
        Through::Gumbel(temperature) => pull(&soft(problem, temperature), &theta, &slope),
    }?;
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

/// The straight-through estimator; biased.
///
/// ```
/// use relax_runtime::estimator::StraightThrough;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!(b * 0.4);
/// }
///
/// # fn main() -> Result<()> {
/// let mut trainer = Trainer::new(1).estimator(StraightThrough::default());
/// let estimate = trainer.gradients(&ExpectedCost::new(&coin()), Key::new(1))?;
/// // The slope 0.4 times that of the mean, p (1 − p).
/// assert!((estimate.parameters[0].1.item()? - 0.1).abs() < 1e-5);
/// assert!(trainer.plan().entries[0].biased);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StraightThrough {
    /// What replaces the draw.
    pub through: Through,
    /// Temperature of later choices where the cost is differentiated.
    pub temperature: f32,
}

impl Default for StraightThrough {
    fn default() -> Self {
        Self {
            through: Through::Mean,
            temperature: 0.5,
        }
    }
}

impl StraightThrough {
    /// The straight-through Gumbel-softmax estimator.
    pub fn gumbel() -> Self {
        let plain = Self::default();
        Self {
            through: Through::Gumbel(plain.temperature),
            ..plain
        }
    }
}

impl Estimator for StraightThrough {
    fn name(&self) -> &'static str {
        match self.through {
            Through::Mean => "straight-through",
            Through::Gumbel(_) => "straight-through-gumbel",
        }
    }

    fn biased(&self) -> bool {
        true
    }

    fn weighs_rows(&self) -> bool {
        false
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        relaxable("the straight-through estimator", class)
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        if let Through::Gumbel(temperature) = self.through {
            check_temperature(temperature)?;
        }
        check_temperature(self.temperature)?;
        Ok(SiteState::new())
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        straight_through(task.problem, cost, self.through, self.temperature)
    }
}

//! DisARM, also known as U2G: antithetic pairs of coins (Dong, Mnih, Tucker 2020; Yin, Ho, Zhang,
//! Zhou 2020).

use super::class::{DrawKind, SiteClass};
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::error::Result;
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The estimate ½ (f(b) − f(b′)) (b − b′) σ(|θ|) where b is the draw from the noise u and b′ that from
/// 1 − u (Dong et al. 2020). For blocks of coins; two evaluations.
///
/// [`Problem`] shows how such functions are called; [`Disarm`] is the estimator for sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, or the choices are of another kind.
pub fn disarm(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    problem.expect_coins("disarm")?;
    let (relaxation, theta) = (problem.relaxation, problem.constant_theta()?);
    let draw = |u: &Tensor| relaxation.hard(&relaxation.relaxed(&theta, u));
    let (b, antithetic) = (draw(&problem.noise.u), draw(&-&problem.noise.u));
    let f = cost.drawn(&b)?;
    let difference = problem.spread(&((&f - cost.hard(&antithetic)?) * 0.5))?;
    let gradient = difference * (b - antithetic) * theta.abs().sigmoid();
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

/// The DisARM estimator, for Bernoulli sites.
///
/// ```
/// use relax_runtime::estimator::Disarm;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!((b - 0.45).square());
/// }
///
/// # fn main() -> Result<()> {
/// let mut trainer = Trainer::new(1).estimator(Disarm);
/// let estimate = trainer.gradients(&ExpectedCost::new(&coin()), Key::new(1))?;
/// // One of an antithetic pair of fair coins is 1, the other 0: the estimate is (f(1) − f(0))/4.
/// assert!((estimate.parameters[0].1.item()? - 0.025).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Disarm;

impl Estimator for Disarm {
    fn name(&self) -> &'static str {
        "disarm"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.draws == DrawKind::Coins {
            return Ok("coins: an antithetic pair of draws".into());
        }
        Err("DisARM is for Bernoulli sites; use `rloo` or `relax`".into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        disarm(task.problem, cost)
    }
}

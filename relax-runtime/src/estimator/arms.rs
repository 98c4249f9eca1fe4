//! ARMS: several mutually antithetic draws of coins (Dimitriev and Zhou 2021).

use super::class::{DrawKind, SiteClass};
use super::rloo::leave_one_out;
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::dist::noise;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The estimate 1/(n − 1) Σᵢ (f(bᵢ) − f̄) ∂log p(bᵢ | θ)/∂θ / (1 − ρ) over n draws whose coins are
/// negatively correlated through a Dirichlet copula, ρ the correlation of each coin between two
/// draws (Dimitriev and Zhou 2021). With n = 2 it is DisARM.
///
/// The first draw comes from the noise u; the copula's other uniforms are drawn given it, with the
/// further noise, so n is one more than its length. For blocks of coins. [`Arms`] is the estimator for
/// sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, the choices are of another kind, or there is no further noise.
pub fn arms(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    problem.expect_coins("arms")?;
    let theta = problem.constant_theta()?;
    let draws = copula(&problem, &theta)?;
    let mut estimate = leave_one_out(problem, cost, &draws)?;
    estimate.gradient = estimate.gradient * decorrelation(&theta, draws.len() - 1);
    estimate.gradient.check()?;
    Ok(estimate)
}

/// The draws. Shares (d₁, .., dₙ) uniform on the simplex have 1 − (1 − dᵢ)ⁿ⁻¹ uniform and
/// negatively dependent; a coin's rarer side comes up where its share is large, as only few of the
/// shares can be.
fn copula(problem: &Problem<'_>, theta: &Tensor) -> Result<Vec<Tensor>> {
    let (relaxation, u, further) = (problem.relaxation, &problem.noise.u, &problem.noise.further);
    let first = relaxation.hard(&relaxation.relaxed(theta, u));
    let others = further.len().max(1) as f32;
    let mostly_one = theta.gt(0.0);
    // What the first share leaves is split among the others in proportion to exponentials.
    let ln_left = noise::ln(&Tensor::select_where(&mostly_one, u, &-u)) / others;
    let exponentials: Vec<Tensor> = further.iter().map(|v| -noise::ln(v)).collect();
    let sum = exponentials
        .iter()
        .fold(theta.zeros_like(), |sum, e| sum + e);
    // 1 − share is compared by its logarithm, which tells small shares apart.
    let threshold = (-rare_root(theta, others)).ln_1p();
    let other = |e: &Tensor| {
        let rare = (&ln_left + (e / &sum).ln()).gt(&threshold);
        Tensor::select_where(&mostly_one, &(1.0 - &rare), &rare)
    };
    let draws: Vec<Tensor> = std::iter::once(first)
        .chain(exponentials.iter().map(other))
        .collect();
    draws.iter().try_for_each(|b| b.check().map(drop))?;
    Ok(draws)
}

/// q^(1/(n − 1)), q the probability of a coin's rarer side.
fn rare_root(theta: &Tensor, others: f32) -> Tensor {
    ((-theta.abs()).log_sigmoid() / others).exp()
}

/// 1/(1 − ρ): two draws both show the rarer side with probability (2 q^(1/(n − 1)) − 1)₊ⁿ⁻¹.
fn decorrelation(theta: &Tensor, others: usize) -> Tensor {
    let q = (-theta.abs()).sigmoid().clamp(f32::MIN_POSITIVE, 0.5);
    let both = (rare_root(theta, others as f32) * 2.0 - 1.0)
        .relu()
        .powi(others as i32);
    (1.0 - &q) / (1.0 - both / q)
}

/// ARMS with a Dirichlet copula, for Bernoulli sites.
///
/// ```
/// use relax_runtime::estimator::Arms;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn switches() {
///     let logits = param!([0.0, 0.0]);
///     let on = sample!(Bernoulli(logits = &logits));
///     cost!((on * Tensor::from_slice(&[1.0, -1.0])).sum(0));
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&switches()).steps(100).estimator(Arms::new(3)?).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 3);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Arms {
    draws: usize,
}

impl Default for Arms {
    fn default() -> Self {
        Self { draws: 4 }
    }
}

impl Arms {
    /// ARMS with the given number of draws, each of which takes an evaluation of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        if draws < 2 {
            let problem = format!("is {draws}; antithetic draws need at least two");
            return Err(Error::Config {
                setting: "draws",
                problem,
            });
        }
        Ok(Self { draws })
    }
}

impl Estimator for Arms {
    fn name(&self) -> &'static str {
        "arms"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.draws == DrawKind::Coins {
            return Ok(format!("coins: {} antithetic draws", self.draws));
        }
        Err("ARMS is for Bernoulli sites; use `rloo` or `relax`".into())
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        self.draws
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.draws - 1
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        arms(task.problem, cost)
    }
}

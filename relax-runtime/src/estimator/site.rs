//! Estimators at the sites of a model: settings, and what they are valid for.

use std::fmt::Debug;
use std::rc::Rc;

use super::class::SiteClass;
use super::state::SiteState;
use super::{Cost, Estimate, LawEstimate, LawTask, Problem};
use crate::error::{Error, Result};
use crate::random::{Key, Stream};
use crate::tensor::Tensor;

/// How the conditional relaxed sample z̃ is drawn.
///
/// ```
/// use relax_runtime::estimator::Coupling;
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
/// let published = Rebar { coupling: Coupling::Independent, ..Rebar::default() };
/// let trained = Minimize::new(&coin()).steps(5).estimator(published).run()?;
/// // The cost itself, and relaxed at z and at z̃.
/// assert_eq!(trained.plan().entries[0].evaluations, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coupling {
    /// With the noise that makes z̃ = z: one evaluation of the surrogate.
    #[default]
    Coupled,
    /// With noise of its own, as published: two evaluations.
    Independent,
}

/// The work at one site in one step: a [`Problem`] where the site has a relaxation, a
/// [`LawProblem`](super::LawProblem) elsewhere.
#[derive(Clone, Copy)]
pub struct SiteTask<'a, P = Problem<'a>> {
    /// Full name of the site.
    pub name: &'a str,
    /// What kind of choice it is.
    pub class: SiteClass,
    /// The choice.
    pub problem: P,
    /// The user's seed.
    pub seed: u64,
}

impl<P> SiteTask<'_, P> {
    /// A random stream for the initial values of what the site learns.
    pub fn stream(&self, purpose: &str) -> Stream {
        Key::new(self.seed).stream(&format!("{}/{purpose}", self.name))
    }

    /// The name under which something that the site learns is saved.
    pub fn parameter_name(&self, part: &str) -> String {
        format!("{}/surrogate/{part}", self.name)
    }
}

/// A gradient estimator for sites of models.
///
/// An estimator of your own is passed like any other:
///
/// ```
/// use relax_runtime::estimator::{
///     Cost, Estimate, Estimator, SiteClass, SiteState, SiteTask, reinforce,
/// };
/// use relax_runtime::prelude::*;
///
/// /// The score function with a constant baseline.
/// #[derive(Debug)]
/// struct ConstantBaseline(f32);
///
/// impl Estimator for ConstantBaseline {
///     fn name(&self) -> &'static str {
///         "constant-baseline"
///     }
///
///     fn valid_for(&self, _: SiteClass) -> Result<String, String> {
///         Ok("score function with a constant baseline".into())
///     }
///
///     fn evaluations(&self, _: SiteClass) -> usize {
///         1
///     }
///
///     fn centred(&self) -> bool {
///         false
///     }
///
///     fn estimate(
///         &self,
///         task: &SiteTask<'_>,
///         cost: &dyn Cost,
///         _: &SiteState,
///     ) -> Result<Estimate> {
///         reinforce(task.problem, cost, self.0)
///     }
/// }
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = &logit));
///     cost!(heads);
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&coin()).steps(100).estimator(ConstantBaseline(0.5)).run()?;
/// assert_eq!(trained.plan().entries[0].estimator, "constant-baseline");
/// // Heads cost 1, tails nothing.
/// assert!(trained.param("logit")?[0] < 0.0);
/// # Ok(())
/// # }
/// ```
pub trait Estimator: Debug {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Why it suits a class of sites, or why it is not valid there.
    ///
    /// # Errors
    /// The reason, with what to use instead.
    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String>;

    /// How many times it evaluates the cost for one estimate at a site of the class, the draw's own
    /// evaluation included; where some estimates take more than others, the most.
    fn evaluations(&self, class: SiteClass) -> usize;

    /// Approximate time of one estimate, the draw's own evaluation included, in units of one evaluation
    /// of the cost at a hard draw: races weigh variances with it. It is stated, not timed, so that equal
    /// seeds give equal plans; `docs/budget.md` has the measurements behind it.
    fn time(&self, class: SiteClass) -> f64 {
        self.evaluations(class) as f64
    }

    /// Maximum number of combinations of all the programs' choices that it sums over jointly, where
    /// every site has such an estimator; `None` if it takes one site at a time.
    fn joint(&self) -> Option<usize> {
        None
    }

    /// Whether it estimates anything; otherwise the reverse pass alone gives the gradient.
    fn needs_estimate(&self) -> bool {
        true
    }

    /// Whether it weighs each row of a plate by the cost of that row alone, as rows are independent; `false` for
    /// derivatives of the whole cost.
    fn weighs_rows(&self) -> bool {
        true
    }

    /// Whether the moving average of past costs is subtracted from the cost beforehand.
    fn centred(&self) -> bool {
        true
    }

    /// How z̃ is drawn.
    fn coupling(&self) -> Coupling {
        Coupling::Coupled
    }

    /// How many tensors of further noise it needs, each of θ's shape: [`Noise::further`].
    ///
    /// [`Noise::further`]: super::Noise::further
    fn further_noise(&self, _class: SiteClass) -> usize {
        0
    }

    /// Whether it needs the slope of the cost at the site's own draw, which is then taken from the
    /// draw's graph.
    fn needs_slope(&self) -> bool {
        false
    }

    /// Whether its expectation may differ from the gradient. The plan says so, and no site gets a biased
    /// estimator unless it was asked for.
    fn biased(&self) -> bool {
        false
    }

    /// Whether the floor of a ledger ([`Recording::floors`]) bounds its variance from below: its estimate
    /// is made from one draw, and is unbiased over the choice's own value alone, with the others as drawn. The state is
    /// what it has learned, if it has.
    ///
    /// # Errors
    /// Why its variance may be lower.
    ///
    /// [`Recording::floors`]: crate::infer::Recording::floors
    fn above_floor(
        &self,
        class: SiteClass,
        _state: Option<&SiteState>,
    ) -> std::result::Result<(), String> {
        if self.biased() {
            return Err("it is biased".into());
        }
        match self.evaluations(class) {
            0 | 1 => Ok(()),
            several => Err(format!(
                "it takes {several} evaluations of the cost, and the floor is that of one draw"
            )),
        }
    }

    /// Whether it is for objectives that are bounds of several samples.
    fn for_bounds(&self) -> bool {
        false
    }

    /// The learning signals of such a bound, which weight the scores of each sample's choices; of the
    /// log-weights' shape, `[samples, rows..]`.
    ///
    /// # Errors
    /// If it is not for such bounds, or there are too few samples.
    fn signals(&self, _log_weights: &Tensor) -> Result<Tensor> {
        Err(Error::Autodiff(format!(
            "`{}` has no signals for a bound of several samples",
            self.name()
        )))
    }

    /// Its initial state at a site; by default, one that only remembers past costs.
    ///
    /// # Errors
    /// If a device cannot hold it.
    fn state(&self, _task: &SiteTask<'_>) -> Result<SiteState> {
        Ok(SiteState::new())
    }

    /// As [`state`](Self::state), at a site without a relaxation.
    ///
    /// # Errors
    /// If a device cannot hold it.
    fn law_state(&self, _task: &LawTask<'_>) -> Result<SiteState> {
        Ok(SiteState::new())
    }

    /// What the surrogate predicts for each row's cost at the site's draw; `None` where no surrogate
    /// stands in for the cost. Only ledgers ask for it.
    ///
    /// # Errors
    /// If the cost fails.
    fn surrogate_value(
        &self,
        _task: &SiteTask<'_>,
        _cost: &dyn Cost,
        _state: &SiteState,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// One estimate at a discrete site with a relaxation.
    ///
    /// # Errors
    /// If the cost fails, or the estimator is for other sites.
    fn estimate(
        &self,
        task: &SiteTask<'_>,
        _cost: &dyn Cost,
        _state: &SiteState,
    ) -> Result<Estimate> {
        Err(not_for(self.name(), task.name, "with a relaxation"))
    }

    /// One estimate at a site without a relaxation, continuous or discrete.
    ///
    /// # Errors
    /// If the cost fails, or the estimator is for other sites.
    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        _cost: &dyn Cost,
        _state: &SiteState,
    ) -> Result<LawEstimate> {
        Err(not_for(self.name(), task.name, "without a relaxation"))
    }
}

/// Time of an evaluation with its slope at a hard draw, in units of one without.
pub(super) const WITH_SLOPE: f64 = 2.3;
/// Time of an evaluation at a relaxed draw with what a surrogate learns from.
pub(super) const RELAXED: f64 = 4.0;
/// Time of a network that learns to stand in for the cost, or for what the relaxed cost leaves of it.
pub(super) const NETWORK: f64 = 1.5;

fn not_for(estimator: &str, site: &str, kind: &str) -> Error {
    Error::Autodiff(format!(
        "`{estimator}` has no estimate at the site `{site}`, which is one {kind}"
    ))
}

/// Fails unless a temperature is a positive number.
pub(super) fn check_temperature(temperature: f32) -> Result<()> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(());
    }
    let problem = format!("is {temperature}; give a positive number, such as 0.5");
    Err(Error::Config {
        setting: "temperature",
        problem,
    })
}

/// Fails unless a relaxed cost can start from this scale and temperature.
pub(super) fn check_relaxed_cost(eta: f32, temperature: f32) -> Result<()> {
    check_temperature(temperature)?;
    if eta.is_finite() {
        return Ok(());
    }
    let problem = format!("is {eta}; give a number, such as 1");
    Err(Error::Config {
        setting: "eta",
        problem,
    })
}

/// An estimator, owned or shared.
pub trait IntoEstimator {
    /// Makes it a shared one.
    fn into_estimator(self) -> Rc<dyn Estimator>;
}

impl<E: Estimator + 'static> IntoEstimator for E {
    fn into_estimator(self) -> Rc<dyn Estimator> {
        Rc::new(self)
    }
}

impl IntoEstimator for Rc<dyn Estimator> {
    fn into_estimator(self) -> Rc<dyn Estimator> {
        self
    }
}

//! Estimators at the sites of a model: settings, what they are valid for, and what they learn.

use std::fmt::Debug;
use std::rc::Rc;

use super::class::SiteClass;
use super::{Cost, Estimate, LawEstimate, LawTask, MovingAverage, Problem};
use crate::error::{Error, Result};
use crate::optim::{Adam, Optimizer, Rule};
use crate::random::{Key, Stream};
use crate::surrogate::{
    FreeForm, Held, Pausable, Quadratic, RelaxedCost, Surrogate, VarianceGradient, Zero,
};
use crate::tensor::{Parameter, Tensor};

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
    /// evaluation included.
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
    /// is made from one draw, and is unbiased over the choice's own value alone, with the others as drawn.
    ///
    /// # Errors
    /// Why its variance may be lower.
    ///
    /// [`Recording::floors`]: crate::infer::Recording::floors
    fn above_floor(&self, class: SiteClass) -> std::result::Result<(), String> {
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
pub(super) const RELAXED: f64 = 5.0;
/// Time of a network alone that learns to stand in for the cost.
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

/// What an estimator has learned at a site.
#[derive(Debug)]
pub struct SiteState {
    surrogate: Pausable<Held>,
    /// A part of the surrogate whose expectation is known.
    quadratic: Option<Quadratic>,
    parameters: Vec<Parameter>,
    /// How the names of parameters start that only states saved by earlier versions have.
    former: Option<String>,
    optimizer: Optimizer,
    /// Average of past costs.
    pub baseline: MovingAverage,
    /// Average of the squared distances of past costs from the baseline.
    pub spread: MovingAverage,
}

impl Default for SiteState {
    fn default() -> Self {
        Self::new()
    }
}

impl SiteState {
    /// Adam's rate for every surrogate, whatever rule and rate the model has.
    const LEARNING_RATE: f32 = 1e-3;
    /// The unit of costs moves slowly: what a surrogate has learned is in that unit.
    const SPREAD_DECAY: f64 = 0.9999;

    /// A state that only remembers past costs.
    pub fn new() -> Self {
        Self::with_surrogate(Box::new(Zero))
    }

    /// A state with a surrogate, trained by Adam.
    pub fn with_surrogate(surrogate: Box<dyn Surrogate>) -> Self {
        Self::holding(Held::Other(surrogate))
    }

    /// The same with one of the library's own.
    pub(super) fn holding(surrogate: Held) -> Self {
        let optimizer = Optimizer::unchecked(Adam::new(Self::LEARNING_RATE));
        Self {
            parameters: surrogate.parameters(),
            surrogate: Pausable::new(surrogate),
            quadratic: None,
            former: None,
            optimizer,
            baseline: MovingAverage::default(),
            spread: MovingAverage::new(Self::SPREAD_DECAY),
        }
    }

    /// The same with a quadratic form of the draw.
    pub(super) fn with_quadratic(self, quadratic: Option<Quadratic>) -> Self {
        Self { quadratic, ..self }
    }

    /// The same, which leaves out parameters with such names when it is restored from a file of an earlier version.
    pub(super) fn without(self, former: String) -> Self {
        let former = Some(former);
        Self { former, ..self }
    }

    /// Whether only states saved by earlier versions have a parameter of this name.
    pub(crate) fn is_former(&self, name: &str) -> bool {
        let former = self.former.as_deref();
        former.is_some_and(|former| name.starts_with(former))
    }

    /// A state with named parameters of something other than a surrogate, trained by Adam.
    pub fn with_parameters(parameters: Vec<Parameter>) -> Self {
        Self {
            parameters,
            ..Self::new()
        }
    }

    /// The same, trained by another rule than Adam at rate 10⁻³.
    ///
    /// # Errors
    /// If the rule's settings make no sense, such as a learning rate that is NaN.
    pub fn optimized_by(self, rule: impl Rule + 'static) -> Result<Self> {
        let optimizer = Optimizer::new(rule)?;
        Ok(Self { optimizer, ..self })
    }

    /// Takes in the costs of a step: their mean, and the mean square of their distance from the
    /// baseline. The first costs have no baseline, so their distance says nothing.
    pub fn remember(&mut self, mean: f64, square: f64) {
        if self.baseline.is_known() {
            self.spread.update(square);
        }
        if let Some(quadratic) = &mut self.quadratic {
            quadratic.learn(mean);
        }
        self.baseline.update(mean);
    }

    /// How far past costs lay from the baseline; `None` before there were a few, or if all were the
    /// same. The first distances tell little: in a unit that is far too small, a single large gradient
    /// would fill Adam's memory for thousands of steps.
    pub(super) fn unit(&self) -> Option<f32> {
        /// Weight of the average that is reached after ten steps.
        const LEAST_WEIGHT: f64 = 9.5 * (1.0 - SiteState::SPREAD_DECAY);
        /// Share of the baseline below which a distance is only the rounding of what was subtracted.
        const ROUNDING: f64 = 1e-12;
        let least = ROUNDING * self.baseline.value().abs();
        let distance = self.spread.value().sqrt().max(least) as f32;
        let [_, weight] = self.spread.state();
        (weight > LEAST_WEIGHT && distance.is_normal()).then_some(distance)
    }

    /// The surrogate.
    pub fn surrogate(&self) -> &dyn Surrogate {
        &self.surrogate
    }

    /// The surrogate, where it is a network and nothing else.
    pub(super) fn network(&self) -> Option<&FreeForm> {
        self.surrogate.surrogate().network()
    }

    /// The surrogate's relaxed cost, if it has one, and what is added to it. The addend computes what it
    /// learns from only where the whole does.
    pub(super) fn relaxed_and_rest(&self) -> Option<(&RelaxedCost, Pausable<&dyn Surrogate>)> {
        let relaxed = self.surrogate.relaxed_cost()?;
        let rest = Pausable::new(self.surrogate.beside_relaxed_cost().unwrap_or(&Zero));
        rest.learn(self.learns());
        Some((relaxed, rest))
    }

    /// Sets whether the surrogate computes what it learns from.
    pub(crate) fn learn(&self, learns: bool) {
        self.surrogate.learn(learns);
    }

    /// What is trained: the surrogate's parameters, or those of something else.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The part of the surrogate whose expectation is known, if there is one.
    pub(super) fn quadratic(&self) -> Option<&Quadratic> {
        self.quadratic.as_ref()
    }

    /// What was learned besides the parameters and averages of costs, to be saved.
    pub(crate) fn learned(&self) -> Vec<f64> {
        let quadratic = self.quadratic.as_ref().map(Quadratic::state);
        let relaxed = self.surrogate.relaxed_cost().map(RelaxedCost::state);
        [quadratic, relaxed]
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }

    /// Restores saved numbers and returns those left over; `None` if there are too few.
    pub(crate) fn restore_learned<'a>(&mut self, saved: &'a [f64]) -> Option<&'a [f64]> {
        let rest = match &mut self.quadratic {
            Some(quadratic) => quadratic.restore(saved)?,
            None => saved,
        };
        match self.surrogate.relaxed_cost() {
            Some(relaxed) => relaxed.restore(rest),
            None => Some(rest),
        }
    }

    /// Whether the surrogate computes what it learns from.
    pub fn learns(&self) -> bool {
        self.surrogate.learns()
    }

    /// The surrogate's optimizer.
    pub(crate) fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// The surrogate's optimizer.
    pub(crate) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Moves the parameters against the gradient of the variance, and learns what else the last
    /// estimate shows about the surrogate.
    ///
    /// # Errors
    /// If the gradients do not fit the parameters.
    pub fn train(&mut self, variance_gradient: &VarianceGradient) -> Result<()> {
        if let Some(relaxed) = self.surrogate.relaxed_cost() {
            relaxed.learn_from_last()?;
        }
        if self.parameters.len() != variance_gradient.len() {
            return Err(Error::Autodiff(
                "learned parameters and gradient differ in length".into(),
            ));
        }
        if let Some(numbers) = variance_gradient.numbers() {
            let together = self.network().and_then(FreeForm::together).cloned();
            let parameters = &self.parameters;
            return self
                .optimizer
                .update_all(parameters, together.as_ref(), numbers);
        }
        let parameters = self.parameters.iter().cloned();
        let pairs: Vec<_> = parameters.zip(variance_gradient.tensors()).collect();
        self.optimizer.update(&pairs)
    }
}

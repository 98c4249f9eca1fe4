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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coupling {
    /// With the noise that makes z̃ = z: one evaluation of the surrogate.
    #[default]
    Coupled,
    /// With noise of its own, as published: two evaluations.
    Independent,
}

/// The work at one site in one step: a [`Problem`] where the site has a relaxation, elsewhere a
/// [`LawProblem`](super::LawProblem).
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
    /// A stream of random numbers for first values of what the site learns.
    pub fn stream(&self, purpose: &str) -> Stream {
        Key::new(self.seed).stream(&format!("{}/{purpose}", self.name))
    }

    /// The name under which something that the site learns is saved.
    pub fn parameter_name(&self, part: &str) -> String {
        format!("{}/surrogate/{part}", self.name)
    }
}

/// A gradient estimator for sites of models.
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

    /// About how long one estimate takes, the draw's own evaluation included, in the time of one
    /// evaluation of the cost at a hard draw: what a race weighs variances with. It is stated, not
    /// timed, so that equal seeds give equal plans; `docs/budget.md` has what it was measured from.
    fn time(&self, class: SiteClass) -> f64 {
        self.evaluations(class) as f64
    }

    /// Up to how many combinations of all choices of the programs it sums over together, where every
    /// site has such an estimator; nothing where it takes one site at a time.
    fn joint(&self) -> Option<usize> {
        None
    }

    /// Whether it estimates anything; otherwise the reverse pass alone gives the gradient.
    fn needs_estimate(&self) -> bool {
        true
    }

    /// Whether the moving average of past costs is taken off the cost beforehand.
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

    /// Whether it asks for the slope of the cost at the site's own draw, which the draw's graph
    /// then gives.
    fn needs_slope(&self) -> bool {
        false
    }

    /// Whether its expectation may differ from the gradient. The plan says so, and no site gets
    /// such an estimator that was not asked for.
    fn biased(&self) -> bool {
        false
    }

    /// Whether its variance has the floor of a ledger ([`Recording::floors`]): its estimate is made of one
    /// draw, and is right on average over the choice's own value alone, the others as drawn.
    ///
    /// # Errors
    /// Why its variance may lie below.
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

    /// The learning signals of such a bound: what the scores of each sample's choices are weighted
    /// with, of the shape of the log-weights, `[samples, rows..]`.
    ///
    /// # Errors
    /// If it is not for such bounds, or there are too few samples.
    fn signals(&self, _log_weights: &Tensor) -> Result<Tensor> {
        Err(Error::Autodiff(format!(
            "`{}` has no signals for a bound of several samples",
            self.name()
        )))
    }

    /// What it starts to learn from; by default, past costs alone.
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

    /// Of each row what the surrogate says of the cost at the site's draw; nothing where no
    /// surrogate stands for the cost. Only ledgers ask for it.
    ///
    /// # Errors
    /// The cost's own.
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
    /// The cost's own, or if the estimator is for other sites.
    fn estimate(
        &self,
        task: &SiteTask<'_>,
        _cost: &dyn Cost,
        _state: &SiteState,
    ) -> Result<Estimate> {
        Err(not_for(self.name(), task.name, "with a relaxation"))
    }

    /// One estimate at a site without a relaxation: a continuous one, or a discrete one.
    ///
    /// # Errors
    /// The cost's own, or if the estimator is for other sites.
    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        _cost: &dyn Cost,
        _state: &SiteState,
    ) -> Result<LawEstimate> {
        Err(not_for(self.name(), task.name, "without a relaxation"))
    }
}

/// The time of an evaluation with its slope at a hard draw, in that of one without.
pub(super) const WITH_SLOPE: f64 = 2.3;
/// The time of an evaluation at a relaxed draw with what a surrogate learns from, and of the network
/// beside it.
pub(super) const RELAXED: f64 = 5.0;
/// The time of a network alone that learns to stand for the cost.
pub(super) const NETWORK: f64 = 1.5;

fn not_for(estimator: &str, site: &str, kind: &str) -> Error {
    Error::Autodiff(format!(
        "`{estimator}` has no estimate at the site `{site}`, which is one {kind}"
    ))
}

/// An error unless a temperature is a positive number.
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

/// An error unless a relaxed cost can start from this scale and temperature.
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

/// An estimator, or a shared one.
pub trait IntoEstimator {
    /// The estimator, shared.
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
    optimizer: Optimizer,
    /// Past costs.
    pub baseline: MovingAverage,
    /// Squares of past costs' distances from the baseline.
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

    /// Nothing but past costs.
    pub fn new() -> Self {
        Self::with_surrogate(Box::new(Zero))
    }

    /// A surrogate, trained by Adam.
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
            optimizer,
            baseline: MovingAverage::default(),
            spread: MovingAverage::new(Self::SPREAD_DECAY),
        }
    }

    /// The same beside a quadratic form of the draw.
    pub(super) fn with_quadratic(self, quadratic: Option<Quadratic>) -> Self {
        Self { quadratic, ..self }
    }

    /// Named parameters of something else than a surrogate, trained by Adam.
    pub fn with_parameters(parameters: Vec<Parameter>) -> Self {
        Self {
            parameters,
            ..Self::new()
        }
    }

    /// The same with what is learned following another rule than Adam at rate 10⁻³.
    ///
    /// # Errors
    /// If the rule's settings make no sense, such as a learning rate that is NaN.
    pub fn optimized_by(self, rule: impl Rule + 'static) -> Result<Self> {
        let optimizer = Optimizer::new(rule)?;
        Ok(Self { optimizer, ..self })
    }

    /// Takes in the costs of a step: their mean, and the mean square of their distance from the
    /// baseline. The first costs meet no baseline, so that their distance says nothing.
    pub fn remember(&mut self, mean: f64, square: f64) {
        if self.baseline.is_known() {
            self.spread.update(square);
        }
        if let Some(quadratic) = &mut self.quadratic {
            quadratic.learn(mean);
        }
        self.baseline.update(mean);
    }

    /// How far past costs lay from the baseline; nothing before there were a few, or if all were the
    /// same. The distance of the very first tells little: in a unit that is far too small a single
    /// large gradient would fill Adam's memory for thousands of steps.
    pub(super) fn unit(&self) -> Option<f32> {
        /// Of the average that is known after ten steps.
        const LEAST_WEIGHT: f64 = 9.5 * (1.0 - SiteState::SPREAD_DECAY);
        /// Of the baseline: what is less is the rounding of what was taken off.
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

    /// The surrogate's relaxed cost, and what is added to it, which computes what it learns from only
    /// where the whole does; nothing unless it is such a sum.
    pub(super) fn relaxed_and_rest(&self) -> Option<(&RelaxedCost, Pausable<&dyn Surrogate>)> {
        let relaxed = self.surrogate.relaxed_cost()?;
        let rest = Pausable::new(self.surrogate.beside_relaxed_cost()?);
        rest.learn(self.learns());
        Some((relaxed, rest))
    }

    /// Whether the surrogate computes what it learns from.
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

    /// What was learned beside the parameters and averages of costs, to be saved.
    pub(crate) fn learned(&self) -> Vec<f64> {
        let quadratic = self.quadratic.as_ref().map(Quadratic::state);
        let relaxed = self.surrogate.relaxed_cost().map(RelaxedCost::state);
        [quadratic, relaxed]
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }

    /// Goes on from saved numbers, and returns those that are left over; nothing if there are too
    /// few.
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

    /// The surrogate's optimiser.
    pub(crate) fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// The surrogate's optimiser.
    pub(crate) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Moves the parameters against the gradient of the variance, and learns what else the last
    /// estimate tells of the surrogate.
    ///
    /// # Errors
    /// If the gradients do not fit the parameters.
    pub fn train(&mut self, variance_gradient: &VarianceGradient) -> Result<()> {
        if let Some(relaxed) = self.surrogate.relaxed_cost() {
            relaxed.learn_from_last_in(self.unit().unwrap_or(1.0))?;
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

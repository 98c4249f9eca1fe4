//! What an estimator learns at a site of a model.

use super::MovingAverage;
use crate::error::{Error, Result};
use crate::optim::{Adam, Optimizer, Rule};
use crate::surrogate::{
    FreeForm, Held, Pausable, Quadratic, RelaxedCost, Surrogate, VarianceGradient, Zero,
};
use crate::tensor::Parameter;

/// What an estimator has learned at a site.
#[derive(Debug)]
pub struct SiteState {
    surrogate: Pausable<Held>,
    /// Whether the surrogate's parameters are those of a relaxed cost and then those of what is added to it.
    is_relaxed_and_rest: bool,
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
        let parameters = surrogate.parameters();
        let relaxed = surrogate.relaxed_cost().map(RelaxedCost::parameters);
        let rest = surrogate.beside_relaxed_cost().map(Surrogate::parameters);
        let parts = relaxed.into_iter().chain(rest).flatten();
        let keys = parameters.iter().map(Parameter::key);
        Self {
            is_relaxed_and_rest: parts.map(|part| part.key()).eq(keys),
            parameters,
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

    /// The surrogate's relaxed cost and what is added to it, if it is nothing else. The addend computes what it
    /// learns from only where the whole does.
    pub(super) fn relaxed_and_rest(
        &self,
    ) -> Option<(&RelaxedCost, Option<Pausable<&dyn Surrogate>>)> {
        let relaxed = self.surrogate.relaxed_cost()?;
        if !self.is_relaxed_and_rest {
            return None;
        }
        let rest = self.surrogate.beside_relaxed_cost().map(Pausable::new);
        if let Some(rest) = &rest {
            rest.learn(self.learns());
        }
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

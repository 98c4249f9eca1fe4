//! Optimisers whose whole state can be saved and restored.

mod adam;
mod rmsprop;
mod sgd;

use std::collections::BTreeMap;
use std::fmt::Debug;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::error::{Error, Result};
use crate::tensor::cpu::pointwise::all;
use crate::tensor::{Parameter, Tensor};

/// An update rule: how a gradient moves a parameter, given what is remembered of earlier ones.
pub trait Rule: Debug {
    /// Number of remembered values an element.
    fn slots(&self) -> usize;

    /// What a step (from 1) has the same for all parameters; computed once for all of them.
    fn factors(&self, _step: u64) -> [f32; 2] {
        [1.0; 2]
    }

    /// Moves `values` against `gradient`, given the step's [`factors`](Self::factors); `slots`
    /// start at zero.
    fn apply(
        &self,
        factors: [f32; 2],
        values: &mut [f32],
        gradient: &[f32],
        slots: &mut [Vec<f32>],
    );

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    fn check(&self) -> Result<()>;
}

/// An update rule with its memory.
#[derive(Debug)]
pub struct Optimizer {
    rule: Box<dyn Rule>,
    memory: FxHashMap<u64, Memory>,
    /// Memory read from a file, by parameter name, until the parameter appears.
    restored: BTreeMap<String, Memory>,
}

/// What an optimiser remembers of one parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Updates so far.
    pub step: u64,
    /// The rule's values, each as long as the parameter.
    pub slots: Vec<Vec<f32>>,
    #[serde(skip)]
    name: Option<String>,
}

impl Memory {
    /// Memory of a number of updates, its slots still to be filled.
    pub(crate) fn after(step: u64) -> Self {
        Self {
            step,
            ..Self::default()
        }
    }
}

impl Default for Optimizer {
    /// Adam at rate 0.01.
    fn default() -> Self {
        const LEARNING_RATE: f32 = 1e-2;
        Self::unchecked(Adam::new(LEARNING_RATE))
    }
}

impl Optimizer {
    /// An optimiser without memory.
    ///
    /// # Errors
    /// If the rule's settings make no sense, such as a learning rate that is NaN.
    pub fn new(rule: impl Rule + 'static) -> Result<Self> {
        rule.check()?;
        Ok(Self::unchecked(rule))
    }

    pub(crate) fn unchecked(rule: impl Rule + 'static) -> Self {
        Self {
            rule: Box::new(rule),
            memory: FxHashMap::default(),
            restored: BTreeMap::new(),
        }
    }

    /// Moves each parameter against its gradient.
    ///
    /// # Errors
    /// If a gradient carries an error, has another shape than its parameter, or is not finite; then
    /// no parameter has been moved.
    pub fn update(&mut self, gradients: &[(Parameter, Tensor)]) -> Result<()> {
        gradients
            .iter()
            .try_for_each(|(parameter, gradient)| self.check(parameter, gradient))?;
        let mut factors = None;
        gradients.iter().try_for_each(|(parameter, gradient)| {
            self.update_one(parameter, gradient, &mut factors)
        })
    }

    fn check(&self, parameter: &Parameter, gradient: &Tensor) -> Result<()> {
        let elements = parameter.shape().numel();
        if elements != gradient.check()?.len() {
            return Err(Error::Autodiff(format!(
                "a parameter of {elements} elements got a gradient of {}",
                gradient.len()
            )));
        }
        let wrong = gradient.with_values(|g| match all(g, f32::is_finite) {
            true => None,
            false => g.iter().copied().find(|g| !g.is_finite()),
        })?;
        match wrong {
            None => Ok(()),
            Some(g) => Err(Error::NotFinite {
                what: format!(
                    "the gradient by `{}`",
                    parameter.name().unwrap_or("a parameter")
                ),
                value: f64::from(g),
                step: self.memory.get(&parameter.key()).map_or(0, |m| m.step),
                hint: "look for a square root, logarithm or quotient at 0, or try a smaller \
                       learning rate",
            }),
        }
    }

    /// `factors` holds those of the last step that was asked for, with its number.
    fn update_one(
        &mut self,
        parameter: &Parameter,
        gradient: &Tensor,
        factors: &mut Option<(u64, [f32; 2])>,
    ) -> Result<()> {
        let memory = self.memory.entry(parameter.key()).or_insert_with(|| {
            let name = parameter.name().map(str::to_owned);
            let restored = name.as_ref().and_then(|name| self.restored.remove(name));
            Memory {
                name,
                ..restored.unwrap_or_default()
            }
        });
        memory.step += 1;
        let elements = parameter.shape().numel();
        memory
            .slots
            .resize_with(self.rule.slots(), || vec![0.0; elements]);
        let (rule, step, slots) = (&self.rule, memory.step, &mut memory.slots);
        let known = factors.filter(|(of, _)| *of == step);
        let (_, now) = *factors.insert(known.unwrap_or_else(|| (step, rule.factors(step))));
        gradient.with_values(|gradient| {
            parameter.update(|values| rule.apply(now, values, gradient, slots))
        })?
    }

    /// The memory of every named parameter.
    pub fn state(&self) -> BTreeMap<String, Memory> {
        let named = |memory: &Memory| Some((memory.name.clone()?, memory.clone()));
        let mut state = self.restored.clone();
        state.extend(self.memory.values().filter_map(named));
        state
    }

    /// Takes over a saved memory; each entry is used when its parameter is updated next.
    pub fn restore(&mut self, state: BTreeMap<String, Memory>) {
        self.memory.clear();
        self.restored = state;
    }
}

/// An error unless the setting is a positive finite number.
fn check_positive(setting: &'static str, value: f32) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a positive number"),
    })
}

/// An error unless the setting lies in [0, 1).
fn check_fraction(setting: &'static str, value: f32) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a number from 0 to below 1"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Device, Shape};

    fn descend(rule: impl Rule + 'static, steps: usize) -> f32 {
        let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
        let mut optimizer = Optimizer::new(rule).unwrap();
        for _ in 0..steps {
            let gradient = (parameter.get() * 2.0).detach();
            optimizer.update(&[(parameter.clone(), gradient)]).unwrap();
        }
        parameter.get().item().unwrap()
    }

    #[test]
    fn every_rule_descends_a_parabola() {
        assert!(descend(Sgd::new(0.1), 100).abs() < 1e-3);
        assert!(descend(Sgd::new(0.02).momentum(0.9), 300).abs() < 1e-3);
        assert!(descend(Adam::new(0.05), 600).abs() < 1e-2);
        assert!(descend(RmsProp::new(0.01), 800).abs() < 2e-2);
    }

    #[test]
    fn the_first_step_of_adam_has_the_size_of_the_learning_rate() {
        let moved = 3.0 - descend(Adam::new(0.05), 1);
        assert!((moved - 0.05).abs() < 1e-5, "{moved}");
    }

    #[test]
    fn restoring_the_state_continues_bit_for_bit() {
        let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
        let mut optimizer = Optimizer::new(Adam::new(0.1)).unwrap();
        let gradient = Tensor::scalar(0.7);
        optimizer
            .update(&[(parameter.clone(), gradient.clone())])
            .unwrap();
        let copy = Parameter::new(parameter.get().detach()).named("x");
        let mut resumed = Optimizer::new(Adam::new(0.1)).unwrap();
        resumed.restore(optimizer.state());
        optimizer
            .update(&[(parameter.clone(), gradient.clone())])
            .unwrap();
        resumed.update(&[(copy.clone(), gradient)]).unwrap();
        assert_eq!(parameter.get().item().unwrap(), copy.get().item().unwrap());
        assert_eq!(optimizer.state(), resumed.state());
    }

    #[test]
    fn senseless_settings_are_refused() {
        for rate in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
            let error = Optimizer::new(Adam::new(rate)).unwrap_err().to_string();
            assert!(error.contains("learning rate"), "{error}");
            assert!(Optimizer::new(Sgd::new(rate)).is_err());
            assert!(Optimizer::new(RmsProp::new(rate)).is_err());
        }
        assert!(Optimizer::new(Adam::new(0.1).betas(1.0, 0.9)).is_err());
    }

    #[test]
    fn a_gradient_of_the_wrong_size_is_an_error() {
        let parameter = Parameter::new(Tensor::scalar(3.0));
        let gradient = Tensor::zeros(Shape::from([2]), &Device::cpu());
        let mut optimizer = Optimizer::new(Adam::new(0.1)).unwrap();
        assert!(optimizer.update(&[(parameter, gradient)]).is_err());
    }
}

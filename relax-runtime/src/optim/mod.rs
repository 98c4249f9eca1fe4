//! Optimizers whose whole state can be saved and restored.

mod adam;
mod averaged;
mod away;
mod guard;
mod joint;
mod rmsprop;
mod rule;
mod sgd;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use averaged::Averaged;
pub use rmsprop::RmsProp;
pub use rule::{Rule, Step};
pub use sgd::Sgd;

use self::away::Away;
use self::guard::{MODERATE, harmless};
use self::joint::{Again, JointMemory};
use crate::error::{Error, Result};
use crate::tensor::native::pointwise::all;
use crate::tensor::{Parameter, Tensor};

/// An update rule with its memory: what trainers have, to be used alone as well.
///
/// ```
/// use relax_runtime::optim::Optimizer;
/// use relax_runtime::prelude::*;
///
/// # fn main() -> Result<()> {
/// let x = Parameter::new(Tensor::scalar(3.0)).named("x");
/// let mut optimizer = Optimizer::new(Adam::new(0.1))?;
/// for _ in 0..10 {
///     // The slope of x².
///     let gradient = (x.get() * 2.0).detach();
///     optimizer.update(&[(x.clone(), gradient)])?;
/// }
/// // Each step of Adam is about as long as the rate.
/// assert!((x.get().item()? - 2.0).abs() < 0.1);
/// assert_eq!(optimizer.state()?["x"].step, 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Optimizer {
    rule: Box<dyn Rule>,
    memory: FxHashMap<u64, Memory>,
    /// Memory of the parameters that are not on the CPU, where they are.
    away: FxHashMap<u64, Away>,
    /// Memory of the parameters that were last updated together, kept nowhere else.
    joint: Option<JointMemory>,
    /// Which parameters are updated together again and again.
    again: Again,
    /// The parameters whose averages are kept.
    averaged: FxHashMap<u64, Parameter>,
    /// Memory read from a file, by parameter name, until the parameter appears.
    restored: BTreeMap<String, Memory>,
    /// The size of gradients that the rule is known to take: [`harmless_to`].
    moderate: f32,
    /// Gradients below this size are known to keep all numbers finite.
    harmless: f32,
    /// Whether the rule is the default, and was not chosen.
    is_default: bool,
    /// Whether steps are in the parameters' own units.
    in_units: bool,
}

/// What an optimizer remembers of one parameter.
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
    /// Memory after a number of updates, its slots still to be filled.
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
        Self {
            is_default: true,
            ..Self::unchecked(Adam::new(LEARNING_RATE))
        }
    }
}

impl Optimizer {
    /// An optimizer that remembers nothing yet.
    ///
    /// # Errors
    /// If the rule's settings make no sense, such as a learning rate that is NaN.
    pub fn new(rule: impl Rule + 'static) -> Result<Self> {
        rule.check()?;
        Ok(Self::unchecked(rule))
    }

    pub(crate) fn unchecked(rule: impl Rule + 'static) -> Self {
        let moderate = harmless_to(&rule);
        Self {
            moderate,
            harmless: moderate,
            rule: Box::new(rule),
            memory: FxHashMap::default(),
            away: FxHashMap::default(),
            joint: None,
            again: Again::default(),
            averaged: FxHashMap::default(),
            restored: BTreeMap::new(),
            is_default: false,
            in_units: false,
        }
    }

    /// From now on takes steps in the parameters' own units, unless a rule was chosen, whose rate is then
    /// meant as it is. Returns whether it does.
    pub(crate) fn take_units(&mut self) -> bool {
        self.in_units = self.is_default;
        self.in_units
    }

    /// Whether steps are in the parameters' own units.
    pub(crate) fn is_in_units(&self) -> bool {
        self.in_units
    }

    /// Switches to a rule of the default's kind, keeping what is remembered, unless a rule was chosen.
    pub(crate) fn follow_unless_chosen(&mut self, rule: impl Rule + 'static) {
        if self.is_default {
            self.moderate = harmless_to(&rule);
            self.harmless = self.harmless.min(self.moderate);
            self.rule = Box::new(rule);
        }
    }

    /// Switches to another rule of the same [`kind`](Rule::kind), such as one with another rate, between
    /// steps, and keeps what is remembered: for schedules of your own.
    ///
    /// Where no rule was chosen before and steps were in the parameters' own units, it starts over, since
    /// the rule's rate is meant as it is.
    ///
    /// ```
    /// # use relax_runtime::optim::{Adam, Optimizer};
    /// # fn main() -> relax_runtime::Result<()> {
    /// let mut optimizer = Optimizer::new(Adam::new(0.01))?;
    /// for step in 1..=100 {
    ///     optimizer.set_rule(Adam::new(0.01 / f32::sqrt(step as f32)))?;
    ///     // .. a step of training
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if the rule's settings make no sense, or it is of another kind.
    pub fn set_rule(&mut self, rule: impl Rule + 'static) -> Result<()> {
        rule.check()?;
        if rule.kind() != self.rule.kind() {
            return Err(Error::Config {
                setting: "rule",
                problem: format!(
                    "is {}, but what is remembered is that of {}; start over with `Optimizer::new`",
                    rule.kind(),
                    self.rule.kind()
                ),
            });
        }
        self.moderate = harmless_to(&rule);
        self.harmless = self.harmless.min(self.moderate);
        if self.in_units {
            self.forget();
        }
        self.rule = Box::new(rule);
        (self.is_default, self.in_units) = (false, false);
        Ok(())
    }

    /// Multiplies the rule's rate, if it has one, and starts over with it: the squares of a run's first
    /// gradients, by which Adam divides for thousands of steps, are no measure of the last ones.
    pub(crate) fn slow_down(&mut self, factor: f32) {
        self.forget();
        // What was harmless at a larger rate still is.
        if let Some(rule) = self.rule.slower(factor) {
            self.rule = rule;
        }
    }

    /// Starts over, as if there had been no gradient.
    pub(crate) fn forget(&mut self) {
        self.separate();
        for memory in self.memory.values_mut() {
            memory.step = 0;
            memory.slots.clear();
        }
        self.away.values_mut().for_each(Away::forget);
    }

    /// Moves each parameter against its gradient.
    ///
    /// # Errors
    /// If a gradient carries an error, does not have as many elements as its parameter, or is not finite, or
    /// if a parameter or what is remembered of it would not stay finite. No parameter has been moved then,
    /// and nothing is remembered of the gradients.
    pub fn update(&mut self, gradients: &[(Parameter, Tensor)]) -> Result<()> {
        self.hold_averaged(gradients.iter().map(|(parameter, _)| parameter));
        if let Some((moved, here)) = self.moved_away(gradients)? {
            self.bring_back(here.iter().map(|(parameter, _)| parameter))?;
            self.update_here(&here)?;
            return self.take_away(moved);
        }
        self.bring_back(gradients.iter().map(|(parameter, _)| parameter))?;
        self.update_here(gradients)
    }

    /// The same in loops over memory of the CPU.
    fn update_here(&mut self, gradients: &[(Parameter, Tensor)]) -> Result<()> {
        if self.update_jointly(gradients)? {
            return Ok(());
        }
        let mut harmless = true;
        gradients.iter().try_for_each(|(parameter, gradient)| {
            gradient.with_values(|gradient| {
                harmless &= self.is_harmless(gradient);
                self.check(parameter, gradient)
            })?
        })?;
        let update = |optimizer: &mut Self| {
            optimizer.separate();
            let mut known = None;
            gradients.iter().try_for_each(|(parameter, gradient)| {
                gradient
                    .with_values(|gradient| optimizer.update_one(parameter, gradient, &mut known))?
            })
        };
        match harmless {
            true => update(self),
            false => {
                let parameters: Vec<_> = gradients.iter().map(|(p, _)| p.clone()).collect();
                self.update_or_undo(&parameters, update)
            }
        }
    }

    fn check(&self, parameter: &Parameter, gradient: &[f32]) -> Result<()> {
        let elements = parameter.len();
        if elements != gradient.len() {
            return Err(Error::Autodiff(format!(
                "a parameter of {elements} elements got a gradient of {}",
                gradient.len()
            )));
        }
        if all(gradient, f32::is_finite) {
            return Ok(());
        }
        let wrong = gradient.iter().find(|g| !g.is_finite());
        Err(Error::NotFinite {
            what: format!(
                "the gradient by `{}`",
                parameter.name().unwrap_or("a parameter")
            ),
            value: wrong.map_or(f64::NAN, |&g| f64::from(g)),
            step: self.steps_of(parameter.key()),
            hint: "look for a square root, logarithm or quotient at 0, or try a smaller learning \
                   rate",
        })
    }

    fn steps_of(&self, key: u64) -> u64 {
        let joint = self.joint.as_ref().and_then(|joint| joint.steps_of(key));
        let away = self.away.get(&key).map(Away::step);
        let alone = || self.memory.get(&key).map_or(0, |memory| memory.step);
        joint.or(away).unwrap_or_else(alone)
    }

    /// `known` is the last step that was asked for.
    fn update_one(
        &mut self,
        parameter: &Parameter,
        gradient: &[f32],
        known: &mut Option<Step>,
    ) -> Result<()> {
        let entry = self.memory.entry(parameter.key());
        let memory = entry.or_insert_with(|| first_memory(&mut self.restored, parameter));
        memory.step += 1;
        let count = self.rule.slots();
        let fits = |slot: &Vec<f32>| slot.len() == gradient.len();
        if memory.slots.len() != count || !memory.slots.iter().all(fits) {
            let zeros = || vec![0.0; gradient.len()];
            begin(&mut memory.step, &mut memory.slots, count, zeros);
        }
        let (rule, number, slots) = (&self.rule, memory.step, &mut memory.slots);
        let same = known.filter(|step| step.number == number);
        let now = *known.insert(same.unwrap_or_else(|| Step::of(&**rule, number)));
        let said = parameter.unit();
        let Some(unit) = said.as_ref().filter(|_| self.in_units) else {
            return parameter.update(|values| rule.apply(now, values, gradient, slots));
        };
        // A step from 0 in the parameter's own units.
        unit.with_values(|unit| {
            let scaled = |(g, u): (&f32, &f32)| (g * u).clamp(-MODERATE, MODERATE);
            let gradient: Vec<f32> = gradient.iter().zip(unit).map(scaled).collect();
            let mut step = vec![0.0; gradient.len()];
            rule.apply(now, &mut step, &gradient, slots);
            parameter.update(|values| {
                let moved = values.iter_mut().zip(step.iter().zip(unit));
                moved.for_each(|(value, (step, unit))| *value += step * unit);
            })
        })?
    }

    /// Whether the rule keeps averages of parameters.
    pub(crate) fn averages(&self) -> bool {
        self.rule.averages()
    }

    /// The average that the rule keeps of a parameter, as [`Averaged`] does; `None` if it keeps none, or has
    /// not moved the parameter.
    ///
    /// # Errors
    /// If a device cannot be read or written.
    pub fn average_of(&self, parameter: &Parameter) -> Result<Option<Tensor>> {
        if !self.averages() {
            return Ok(None);
        }
        let mut memory = match self.away.get(&parameter.key()) {
            Some(away) => away.read()?,
            None => self.remembered_here(parameter),
        };
        // A state that was restored may be another rule's.
        let is_own = memory.step > 0 && memory.slots.len() == self.rule.slots();
        let average = memory.slots.pop().filter(|_| is_own);
        let on_device = |average| Tensor::from_vec(average, parameter.shape(), &parameter.device());
        average.map(on_device).transpose()
    }

    /// The parameters that a rule with averages has moved.
    pub(crate) fn averaged(&self) -> impl Iterator<Item = &Parameter> {
        self.averaged.values()
    }

    /// Keeps hold of parameters that are about to be moved, where averages of them are kept.
    fn hold_averaged<'p>(&mut self, parameters: impl Iterator<Item = &'p Parameter>) {
        if self.rule.averages() {
            let keyed = parameters.map(|parameter| (parameter.key(), parameter));
            for (key, parameter) in keyed {
                let held = self.averaged.entry(key);
                held.or_insert_with(|| parameter.clone());
            }
        }
    }

    /// What kind of rule it follows: [`Rule::kind`].
    pub fn kind(&self) -> String {
        self.rule.kind()
    }

    /// Key and name of every parameter that it has moved.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (u64, Option<&str>)> {
        let single = self
            .memory
            .iter()
            .map(|(&key, memory)| (key, memory.name.as_deref()));
        let away = self.away.iter().map(|(&key, away)| (key, away.name()));
        let joint = self.joint.iter().flat_map(JointMemory::parameters);
        single.chain(joint).chain(away)
    }

    /// The memory of every named parameter.
    ///
    /// # Errors
    /// If a device cannot be read.
    pub fn state(&self) -> Result<BTreeMap<String, Memory>> {
        let named = |memory: &Memory| Some((memory.name.clone()?, memory.clone()));
        let mut state = self.restored.clone();
        state.extend(self.memory.values().filter_map(named));
        let joint = self.joint.iter().flat_map(JointMemory::memories);
        state.extend(joint.filter_map(|(_, memory)| named(&memory)));
        for away in self.away.values() {
            state.extend(named(&away.read()?));
        }
        Ok(state)
    }

    /// Restores a saved memory; each entry is used when its parameter is next updated.
    pub fn restore(&mut self, state: BTreeMap<String, Memory>) {
        self.memory.clear();
        self.away.clear();
        self.joint = None;
        self.again = Again::default();
        let slots = state.values().flat_map(|memory| &memory.slots);
        let harmless = slots.flatten().all(|x| x.abs() <= MODERATE);
        self.harmless = if harmless { self.moderate } else { 0.0 };
        self.restored = state;
    }
}

/// The size below which gradients, if there has been no larger one, keep all that a rule computes finite,
/// so that the optimizer need not check: 0 where that is not known, as for rules of another crate.
fn harmless_to(rule: &dyn Rule) -> f32 {
    let rule: &dyn Any = rule;
    // Averages of finite numbers are finite.
    if let Some(averaged) = rule.downcast_ref::<Averaged>() {
        return harmless_to(averaged.rule());
    }
    let known = [
        rule.downcast_ref().map(Adam::harmless),
        rule.downcast_ref().map(RmsProp::harmless),
        rule.downcast_ref().map(Sgd::harmless),
    ];
    known.into_iter().flatten().next().unwrap_or(0.0)
}

/// Makes slots of zeros for a first step, and forgets what another rule has remembered and how often it has
/// updated.
fn begin<Slot>(step: &mut u64, slots: &mut Vec<Slot>, count: usize, zeros: impl Fn() -> Slot) {
    if !slots.is_empty() {
        *step = 1;
        slots.clear();
    }
    slots.resize_with(count, zeros);
}

/// The memory of a parameter that has not been updated: what a file has of it, or nothing.
fn first_memory(restored: &mut BTreeMap<String, Memory>, parameter: &Parameter) -> Memory {
    let name = parameter.name().map(str::to_owned);
    let restored = name.as_ref().and_then(|name| restored.remove(name));
    Memory {
        name,
        ..restored.unwrap_or_default()
    }
}

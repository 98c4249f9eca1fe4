//! Parameters that are not on the CPU: their values, gradients and memory stay where they are, a step is a few
//! tensor operations there, and a single number comes back, which tells whether all are finite.

use std::any::Any;

use super::guard::{MODERATE, too_large};
use super::{Adam, Averaged, Memory, Optimizer, RmsProp, Rule, Sgd, Step, begin};
use crate::error::{Error, Result};
use crate::tensor::{Device, Parameter, Tensor};

/// What an optimizer remembers of a parameter, on the parameter's device.
#[derive(Clone, Debug)]
pub(super) struct Away {
    step: u64,
    slots: Vec<Tensor>,
    name: Option<String>,
}

impl Away {
    /// Copies what is remembered on the CPU.
    fn of(memory: &Memory, parameter: &Parameter) -> Result<Self> {
        let upload = |slot: &Vec<f32>| {
            Tensor::from_vec(slot.clone(), parameter.shape(), &parameter.device())
        };
        Ok(Self {
            step: memory.step,
            slots: memory.slots.iter().map(upload).collect::<Result<_>>()?,
            name: memory.name.clone(),
        })
    }

    /// The same on the CPU.
    pub(super) fn read(&self) -> Result<Memory> {
        Ok(Memory {
            step: self.step,
            slots: self.slots.iter().map(Tensor::peek).collect::<Result<_>>()?,
            name: self.name.clone(),
        })
    }

    /// Starts over.
    pub(super) fn forget(&mut self) {
        (self.step, self.slots) = (0, Vec::new());
    }

    pub(super) fn step(&self) -> u64 {
        self.step
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A parameter after a step that has not been taken yet.
pub(super) struct Moved {
    parameter: Parameter,
    gradient: Tensor,
    value: Tensor,
    memory: Away,
}

impl Moved {
    /// 0 if all its numbers are finite, NaN otherwise.
    fn probe(&self) -> Tensor {
        let numbers = self
            .memory
            .slots
            .iter()
            .chain([&self.gradient, &self.value]);
        let probes = numbers.map(|x| (x * 0.0).sum_all());
        probes.fold(Tensor::scalar(0.0), |sum, probe| sum + probe)
    }
}

/// A value and its slots after a step; `None` if the rule is not known as tensor operations.
fn stepped(
    rule: &dyn Rule,
    step: Step,
    x: Tensor,
    g: Tensor,
    slots: &[Tensor],
) -> Option<Vec<Tensor>> {
    let rule: &dyn Any = rule;
    if let Some(averaged) = rule.downcast_ref::<Averaged>() {
        let (average, slots) = slots.split_last()?;
        let mut after = stepped(averaged.rule(), step, x, g, slots)?;
        let average = averaged.after(step, after.first()?, average);
        after.push(average);
        return Some(after);
    }
    let slots = slots.iter().cloned();
    if let Some(rule) = rule.downcast_ref::<Adam>() {
        let [first, second] = collected(slots)?;
        return Some(rule.step(step.factors, [x, g, first, second]).into());
    }
    if let Some(rule) = rule.downcast_ref::<RmsProp>() {
        let [square] = collected(slots)?;
        return Some(rule.step([x, g, square]).into());
    }
    let rule = rule.downcast_ref::<Sgd>()?;
    let [velocity] = collected(slots)?;
    Some(rule.step([x, g, velocity]).into())
}

fn collected<const N: usize>(slots: impl Iterator<Item = Tensor>) -> Option<[Tensor; N]> {
    slots.collect::<Vec<_>>().try_into().ok()
}

impl Optimizer {
    /// The steps of the parameters that are not on the CPU, and the gradients of the others; `None` if all are
    /// on the CPU, or the rule is from another crate and only knows memory of the CPU.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    #[expect(
        clippy::type_complexity,
        reason = "two lists, taken apart by the one caller"
    )]
    pub(super) fn moved_away(
        &self,
        gradients: &[(Parameter, Tensor)],
    ) -> Result<Option<(Vec<Moved>, Vec<(Parameter, Tensor)>)>> {
        let here = Device::cpu();
        let is_repeated = |(at, (parameter, _)): (usize, &(Parameter, Tensor))| {
            let before = gradients[..at].iter();
            before
                .map(|(p, _)| p.key())
                .any(|key| key == parameter.key())
        };
        if gradients
            .iter()
            .all(|(parameter, _)| parameter.device() == here)
        {
            return Ok(None);
        }
        // Repeated parameters need one step after the other, and here none is taken before all are known to
        // be sound.
        if gradients.iter().enumerate().any(is_repeated) {
            return Ok(None);
        }
        let (mut moved, mut others) = (Vec::new(), Vec::new());
        for (parameter, gradient) in gradients {
            let step = match parameter.device() == here {
                true => None,
                false => self.step_away(parameter, gradient)?,
            };
            match step {
                Some(step) => moved.push(step),
                None => others.push((parameter.clone(), gradient.clone())),
            }
        }
        let probes = moved.iter().map(Moved::probe);
        let probe = probes.reduce(|sum, probe| sum + probe);
        let sound = probe.is_none_or(|probe| probe.peek_item().is_ok_and(|probe| probe == 0.0));
        match sound {
            true => Ok(Some((moved, others))),
            // Other devices, or numbers that are not finite: the path through the CPU tells them apart.
            false => self.refusal(gradients, &moved).map_or(Ok(None), Err),
        }
    }

    /// A parameter's step, if the rule is known as tensor operations.
    fn step_away(&self, parameter: &Parameter, gradient: &Tensor) -> Result<Option<Moved>> {
        let shape = parameter.shape();
        if gradient.check()?.shape() != shape {
            return Ok(None);
        }
        let mut memory = match self.away.get(&parameter.key()) {
            Some(known) => known.clone(),
            None => Away::of(&self.remembered_here(parameter), parameter)?,
        };
        memory.step += 1;
        let value = parameter.get().detach();
        let count = self.rule.slots();
        if memory.slots.len() != count {
            begin(&mut memory.step, &mut memory.slots, count, || {
                value.zeros_like()
            });
        }
        let number = Step::of(&*self.rule, memory.step);
        let gradient = gradient.detach().to_device(&parameter.device())?;
        let said = parameter.unit();
        let unit = said.as_ref().filter(|_| self.in_units);
        let (from, along) = match unit {
            // A step from 0 in the parameter's own units.
            Some(unit) => (
                value.zeros_like(),
                (&gradient * unit).clamp(-MODERATE, MODERATE),
            ),
            None => (value.clone(), gradient.clone()),
        };
        let after = stepped(&*self.rule, number, from, along, &memory.slots);
        let Some(mut after) = after else {
            return Ok(None);
        };
        let moved = after.remove(0);
        memory.slots = after;
        Ok(Some(Moved {
            parameter: parameter.clone(),
            gradient,
            value: match unit {
                Some(unit) => value + moved * unit,
                None => moved,
            },
            memory,
        }))
    }

    /// What is remembered of a parameter on the CPU, or was read from a file.
    pub(super) fn remembered_here(&self, parameter: &Parameter) -> Memory {
        let name = parameter.name();
        let key = parameter.key();
        let alone = self.memory.get(&key).cloned();
        let joint = || self.joint.as_ref()?.memory_of(key);
        let restored = || self.restored.get(name?).cloned();
        Memory {
            name: name.map(str::to_owned),
            ..alone.or_else(joint).or_else(restored).unwrap_or_default()
        }
    }

    /// Why steps cannot be taken, if a gradient or a step's outcome is not finite.
    fn refusal(&self, gradients: &[(Parameter, Tensor)], moved: &[Moved]) -> Option<Error> {
        let of_gradients = gradients.iter().find_map(|(parameter, gradient)| {
            let checked = gradient.with_values(|gradient| self.check(parameter, gradient));
            checked.and_then(|found| found).err()
        });
        let of_outcome = || {
            moved.iter().find_map(|m| {
                let slots = m.memory.slots.iter().find_map(not_finite);
                let found = not_finite(&m.value).map(|x| ("the updated parameter", x));
                let remembered = slots.map(|x| ("what the optimizer remembers of", x));
                let (what, value) = found.or(remembered)?;
                let step = self.steps_of(m.parameter.key());
                Some(too_large(what, &m.parameter, value, step))
            })
        };
        of_gradients.or_else(of_outcome)
    }

    /// Brings what is remembered of parameters that are to move on the CPU back there.
    pub(super) fn bring_back<'p>(
        &mut self,
        parameters: impl Iterator<Item = &'p Parameter>,
    ) -> Result<()> {
        if self.away.is_empty() {
            return Ok(());
        }
        for parameter in parameters {
            if let Some(away) = self.away.get(&parameter.key()) {
                let memory = away.read()?;
                self.away.remove(&parameter.key());
                self.memory.insert(parameter.key(), memory);
            }
        }
        Ok(())
    }

    /// Takes the steps.
    pub(super) fn take_away(&mut self, moved: Vec<Moved>) -> Result<()> {
        self.separate();
        for Moved {
            parameter,
            value,
            memory,
            ..
        } in moved
        {
            parameter.set(value)?;
            self.memory.remove(&parameter.key());
            if let Some(name) = parameter.name() {
                self.restored.remove(name);
            }
            self.away.insert(parameter.key(), memory);
        }
        Ok(())
    }
}

/// The first number that is not finite.
fn not_finite(x: &Tensor) -> Option<f32> {
    let find = |numbers: &[f32]| numbers.iter().copied().find(|x| !x.is_finite());
    x.with_values(find).ok().flatten()
}

//! Parameters that always move together: what is remembered of them is contiguous, so that a rule passes
//! over all of them at once. Small parameters gain by it.

use std::ops::Range;
use std::rc::Rc;

use super::{Memory, Optimizer, Rule, Step, first_memory};
use crate::error::Result;
use crate::tensor::{Parameter, Tensor, Together};

/// What an optimizer remembers of parameters with the same number of updates.
#[derive(Clone, Debug, Default)]
pub(super) struct JointMemory {
    keys: Vec<u64>,
    names: Vec<Option<String>>,
    /// Elements of each parameter.
    lengths: Vec<usize>,
    /// Elements of all parameters together.
    elements: usize,
    step: u64,
    slots: Vec<Vec<f32>>,
    /// The memory that holds the parameters one after the other, if there is one.
    together: Option<Rc<Together>>,
    /// What holds them otherwise, while a rule changes them.
    values: Vec<f32>,
}

impl JointMemory {
    /// Joins the memories of parameters, if they fit together.
    fn of<'p>(
        parameters: impl Iterator<Item = &'p Parameter> + Clone,
        memories: Vec<Memory>,
        slots: usize,
    ) -> std::result::Result<Self, Vec<Memory>> {
        let lengths: Vec<usize> = parameters.clone().map(Parameter::len).collect();
        let step = memories.first().map_or(0, |memory| memory.step);
        let fits = |(memory, &length): (&Memory, &usize)| {
            memory.step == step
                && (memory.slots.is_empty() || memory.slots.len() == slots)
                && memory.slots.iter().all(|slot| slot.len() == length)
        };
        let elements: usize = lengths.iter().sum();
        if !memories.iter().zip(&lengths).all(fits) {
            return Err(memories);
        }
        let mut joint = Self {
            keys: parameters.map(Parameter::key).collect(),
            lengths,
            elements,
            step,
            slots: vec![Vec::with_capacity(elements); slots],
            ..Self::default()
        };
        for (memory, length) in memories.into_iter().zip(&joint.lengths) {
            for (i, joint) in joint.slots.iter_mut().enumerate() {
                match memory.slots.get(i) {
                    Some(slot) => joint.extend_from_slice(slot),
                    None => joint.extend(std::iter::repeat_n(0.0, *length)),
                }
            }
            joint.names.push(memory.name);
        }
        Ok(joint)
    }

    /// Whether it is of these parameters.
    fn is_of<'p>(&self, parameters: impl Iterator<Item = &'p Parameter>) -> bool {
        parameters.map(Parameter::key).eq(self.keys.iter().copied())
    }

    /// How often the parameter of a key has been updated, if it is one of these.
    pub(super) fn steps_of(&self, key: u64) -> Option<u64> {
        self.keys.contains(&key).then_some(self.step)
    }

    /// Each parameter's key and name.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (u64, Option<&str>)> {
        let names = self.names.iter().map(Option::as_deref);
        self.keys.iter().copied().zip(names)
    }

    /// Each parameter's key and memory.
    pub(super) fn memories(&self) -> impl Iterator<Item = (u64, Memory)> {
        self.places()
            .map(|(at, own)| (self.keys[at], self.memory_at(at, own)))
    }

    /// What is remembered of the parameter of a key, if it is one of these.
    pub(super) fn memory_of(&self, key: u64) -> Option<Memory> {
        let (at, own) = self.places().find(|&(at, _)| self.keys[at] == key)?;
        Some(self.memory_at(at, own))
    }

    /// Each parameter's index, and the range of its numbers.
    fn places(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut start = 0;
        let lengths = self.lengths.iter().enumerate();
        lengths.map(move |(at, length)| {
            let own = start..start + length;
            start = own.end;
            (at, own)
        })
    }

    fn memory_at(&self, at: usize, own: Range<usize>) -> Memory {
        let slots = self.slots.iter();
        Memory {
            step: self.step,
            slots: slots.map(|all| all[own.clone()].to_vec()).collect(),
            name: self.names[at].clone(),
        }
    }

    /// Moves the parameters against the numbers of their gradients, given one after the other.
    fn update<'p>(
        &mut self,
        rule: &dyn Rule,
        parameters: impl Iterator<Item = &'p Parameter> + Clone,
        gradient: &[f32],
    ) -> Result<()> {
        self.step += 1;
        let step = Step::of(rule, self.step);
        let slots = &mut self.slots;
        if let Some(together) = &self.together
            && together.update(|values| rule.apply(step, values, gradient, slots))
        {
            return Ok(());
        }
        self.values.clear();
        for parameter in parameters.clone() {
            parameter.with_values(|values| self.values.extend_from_slice(values))?;
        }
        rule.apply(step, &mut self.values, gradient, slots);
        let mut rest = &self.values[..];
        for parameter in parameters.clone() {
            parameter.update(|values| {
                let (own, others) = rest.split_at(values.len());
                values.copy_from_slice(own);
                rest = others;
            })?;
        }
        if let Some(together) = &self.together {
            together.gather(parameters);
        }
        Ok(())
    }
}

/// The parameters that were updated last, and how many times in a row before.
#[derive(Debug, Default)]
pub(super) struct Again {
    keys: Vec<u64>,
    times: u32,
}

impl Again {
    /// Notes an update of parameters; returns whether it is time to join their memories.
    fn note<'p>(&mut self, parameters: impl Iterator<Item = &'p Parameter> + Clone) -> bool {
        /// With fewer, programs whose runs reach other parameters every few steps would join memories and
        /// separate them all the time.
        const OFTEN: u32 = 4;
        let keys = parameters.map(Parameter::key);
        if !keys.clone().eq(self.keys.iter().copied()) {
            (self.keys, self.times) = (keys.collect(), 0);
            return false;
        }
        self.times = self.times.saturating_add(1);
        self.times == OFTEN && are_distinct(&self.keys)
    }
}

fn are_distinct(keys: &[u64]) -> bool {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

impl Optimizer {
    /// Moves small parameters that also came together the last times in one go; returns whether it did.
    pub(super) fn update_jointly(&mut self, gradients: &[(Parameter, Tensor)]) -> Result<bool> {
        /// Parameters that are larger on average are moved where they are.
        const SMALL: usize = 64;
        if gradients.len() < 2 || self.in_units || !self.rule.is_elementwise() {
            return Ok(false);
        }
        let parameters = gradients.iter().map(|(parameter, _)| parameter);
        let joint = self.joint.as_ref();
        let joined = joint.is_some_and(|joint| joint.is_of(parameters.clone()));
        if !joined && !self.again.note(parameters.clone()) {
            return Ok(false);
        }
        let mut numbers = Vec::with_capacity(joint.map_or(0, |joint| joint.elements));
        let mut fits = true;
        for (parameter, gradient) in gradients {
            gradient.with_values(|gradient| {
                fits &= gradient.len() == parameter.len();
                numbers.extend_from_slice(gradient);
            })?;
        }
        let small = numbers.len() <= SMALL * gradients.len();
        // The path that looks at them one by one says what is wrong.
        if !fits || !small || !self.is_harmless(&numbers) {
            return Ok(false);
        }
        if !joined {
            self.join(parameters.clone());
        }
        match &mut self.joint {
            Some(joint) => joint
                .update(&*self.rule, parameters, &numbers)
                .map(|()| true),
            None => Ok(false),
        }
    }

    /// As [`update`](Self::update), with the numbers of all gradients one after the other; `together` is the
    /// memory that holds the parameters in the same way, if there is one.
    pub(crate) fn update_all(
        &mut self,
        parameters: &[Parameter],
        together: Option<&Rc<Together>>,
        gradient: &[f32],
    ) -> Result<()> {
        self.bring_back(parameters.iter())?;
        self.hold_averaged(parameters.iter());
        let same = |own: &Option<Rc<Together>>| match (own, together) {
            (Some(own), Some(together)) => Rc::ptr_eq(own, together),
            _ => false,
        };
        let joined = self.joint.as_ref();
        let joined = joined.filter(|joint| same(&joint.together) || joint.is_of(parameters.iter()));
        let joined = joined.map(|joint| joint.elements);
        let elements = joined.unwrap_or_else(|| parameters.iter().map(Parameter::len).sum());
        if elements != gradient.len() || !self.is_harmless(gradient) {
            each(parameters, gradient, |parameter, gradient| {
                self.check(parameter, gradient)
            })?;
            return self.update_or_undo(parameters, |optimizer| {
                optimizer.update_checked(parameters, together, gradient, joined.is_some())
            });
        }
        self.update_checked(parameters, together, gradient, joined.is_some())
    }

    /// [`update_all`](Self::update_all) with finite gradients of the right size; `joined` says whether
    /// the parameters' memories are joined already.
    fn update_checked(
        &mut self,
        parameters: &[Parameter],
        together: Option<&Rc<Together>>,
        gradient: &[f32],
        joined: bool,
    ) -> Result<()> {
        if !joined && self.rule.is_elementwise() {
            self.join(parameters.iter());
            if let Some(joint) = &mut self.joint {
                joint.together = together.cloned();
            }
        }
        if let Some(joint) = &mut self.joint {
            return joint.update(&*self.rule, parameters.iter(), gradient);
        }
        let mut known = None;
        each(parameters, gradient, |parameter, gradient| {
            self.update_one(parameter, gradient, &mut known)
        })
    }

    /// Joins the memories of parameters, if they have had the same number of updates.
    fn join<'p>(&mut self, parameters: impl Iterator<Item = &'p Parameter> + Clone) {
        self.separate();
        let mut take = |parameter: &Parameter| {
            let known = self.memory.remove(&parameter.key());
            known.unwrap_or_else(|| first_memory(&mut self.restored, parameter))
        };
        let memories = parameters.clone().map(&mut take).collect();
        match JointMemory::of(parameters.clone(), memories, self.rule.slots()) {
            Ok(joint) => self.joint = Some(joint),
            Err(memories) => {
                let keys = parameters.map(Parameter::key);
                self.memory.extend(keys.zip(memories));
            }
        }
    }

    pub(super) fn separate(&mut self) {
        if let Some(joint) = self.joint.take() {
            self.memory.extend(joint.memories());
            self.again.times = 0;
        }
    }
}

/// Calls `f` with each parameter and its part of the numbers of all gradients.
fn each(
    parameters: &[Parameter],
    gradient: &[f32],
    mut f: impl FnMut(&Parameter, &[f32]) -> Result<()>,
) -> Result<()> {
    let mut rest = gradient;
    parameters.iter().try_for_each(|parameter| {
        let (own, others) = rest.split_at(parameter.len().min(rest.len()));
        rest = others;
        f(parameter, own)
    })
}

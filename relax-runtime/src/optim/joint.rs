//! Parameters that always move together: what is remembered of them stands in one piece, so that a
//! rule passes over all of them at once. Small parameters gain by it.

use super::{Memory, Rule};
use crate::error::Result;
use crate::tensor::Parameter;

/// What an optimiser remembers of parameters with the same number of updates.
#[derive(Clone, Debug, Default)]
pub(super) struct JointMemory {
    keys: Vec<u64>,
    names: Vec<Option<String>>,
    /// Elements of each parameter.
    lengths: Vec<usize>,
    step: u64,
    slots: Vec<Vec<f32>>,
    /// The parameters' values, while a rule changes them.
    values: Vec<f32>,
}

impl JointMemory {
    /// Puts the memories of parameters together, if they fit together.
    pub(super) fn of(
        parameters: &[Parameter],
        memories: Vec<Memory>,
        slots: usize,
    ) -> std::result::Result<Self, Vec<Memory>> {
        let lengths: Vec<usize> = parameters.iter().map(Parameter::len).collect();
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
            keys: parameters.iter().map(Parameter::key).collect(),
            lengths,
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
    pub(super) fn is_of(&self, parameters: &[Parameter]) -> bool {
        let keys = parameters.iter().map(Parameter::key);
        keys.eq(self.keys.iter().copied())
    }

    /// Elements of all parameters together.
    pub(super) fn elements(&self) -> usize {
        self.lengths.iter().sum()
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
        let mut start = 0;
        let each = self.keys.iter().zip(&self.names).zip(&self.lengths);
        each.map(move |((&key, name), length)| {
            let own = start..start + length;
            start = own.end;
            let memory = Memory {
                step: self.step,
                slots: self
                    .slots
                    .iter()
                    .map(|all| all[own.clone()].to_vec())
                    .collect(),
                name: name.clone(),
            };
            (key, memory)
        })
    }

    /// Moves the parameters against the numbers of their gradients, one after the other.
    pub(super) fn update(
        &mut self,
        rule: &dyn Rule,
        parameters: &[Parameter],
        gradient: &[f32],
    ) -> Result<()> {
        self.step += 1;
        self.values.clear();
        for parameter in parameters {
            parameter.with_values(|values| self.values.extend_from_slice(values))?;
        }
        let factors = rule.factors(self.step);
        rule.apply(factors, &mut self.values, gradient, &mut self.slots);
        let mut rest = &self.values[..];
        for parameter in parameters {
            parameter.update(|values| {
                let (own, others) = rest.split_at(values.len());
                values.copy_from_slice(own);
                rest = others;
            })?;
        }
        Ok(())
    }
}

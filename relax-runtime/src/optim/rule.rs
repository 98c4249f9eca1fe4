//! What an update rule is.

use std::any::Any;
use std::fmt::Debug;

use crate::error::{Error, Result};

/// A step of a parameter, from its first, 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number.
    pub number: u64,
    /// What it has the same for all parameters: the rule's [`factors`](Rule::factors).
    pub factors: [f32; 2],
}

impl Step {
    /// A rule's step.
    pub(super) fn of(rule: &dyn Rule, number: u64) -> Self {
        Self {
            number,
            factors: rule.factors(number),
        }
    }
}

/// An update rule: how a gradient moves a parameter, given what is remembered of earlier ones.
///
/// Moving averages of a gradient that has become 0, as of a unit that is off for all data, should end at 0 and not at
/// the smallest numbers there are, with which many processors compute far more slowly.
pub trait Rule: Debug + Any {
    /// What the remembered values are: the rule's name, with the settings that give them their
    /// meaning, as `Adam with betas 0.9 and 0.999`. Saved memory goes to the same kind of rule only.
    fn kind(&self) -> String;

    /// Number of remembered values an element.
    fn slots(&self) -> usize;

    /// What a step (from 1) has the same for all parameters; computed once for all of them.
    fn factors(&self, _step: u64) -> [f32; 2] {
        [1.0; 2]
    }

    /// Moves `values` against `gradient`; `slots` start at zero.
    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]);

    /// Whether each number moves by its own gradient and what is remembered of it alone, so that parameters may be
    /// moved as one.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether its last slot is an average of the parameter's values, at which training ends. A rule around another one says
    /// what that one does.
    fn averages(&self) -> bool {
        false
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    fn check(&self) -> Result<()>;

    /// The same rule with its rate multiplied by `factor`; nothing where it has none.
    fn slower(&self, _factor: f32) -> Option<Box<dyn Rule>> {
        None
    }
}

/// An error unless the setting is a positive finite number.
pub(super) fn check_positive(setting: &'static str, value: f32) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a positive number"),
    })
}

/// An error unless the setting lies in [0, 1).
pub(super) fn check_fraction(setting: &'static str, value: f32) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a number from 0 to below 1"),
    })
}

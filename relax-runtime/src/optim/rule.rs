//! What an update rule is.

use std::any::Any;
use std::fmt::Debug;

use crate::error::{Error, Result};

/// A step of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number: 1 at the parameter's first step.
    pub number: u64,
    /// Numbers that are the same for all parameters: the rule's [`factors`](Rule::factors).
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
/// ```
/// use relax_runtime::optim::{Optimizer, Rule, Step};
/// use relax_runtime::prelude::*;
///
/// /// Moves each number by the rate, against the sign of its gradient.
/// #[derive(Debug)]
/// struct SignDescent(f32);
///
/// impl Rule for SignDescent {
///     fn kind(&self) -> String {
///         "sign descent".into()
///     }
///
///     fn slots(&self) -> usize {
///         0
///     }
///
///     fn apply(&self, _: Step, values: &mut [f32], gradient: &[f32], _: &mut [Vec<f32>]) {
///         for (x, g) in values.iter_mut().zip(gradient) {
///             *x -= self.0 * g.signum();
///         }
///     }
///
///     fn check(&self) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let x = Parameter::new(Tensor::from_slice(&[1.0, 1.0]));
/// let mut optimizer = Optimizer::new(SignDescent(0.25))?;
/// optimizer.update(&[(x.clone(), Tensor::from_slice(&[8.0, -0.1]))])?;
/// assert_eq!(x.get().to_vec()?, [0.75, 1.25]);
/// # Ok(())
/// # }
/// ```
///
/// Moving averages of a gradient that has become 0, as that of a unit that is off for all data, should end at 0
/// and not at the smallest numbers there are, with which many processors compute far more slowly.
pub trait Rule: Debug + Any {
    /// The rule's name, with the settings that give the remembered values their meaning, such as
    /// `Adam with betas 0.9 and 0.999`. Saved memory is only given to a rule of the same kind.
    fn kind(&self) -> String;

    /// Number of remembered values per element.
    fn slots(&self) -> usize;

    /// Numbers of a step (from 1) that are the same for all parameters; computed once for all of them.
    fn factors(&self, _step: u64) -> [f32; 2] {
        [1.0; 2]
    }

    /// Moves `values` against `gradient`; `slots` start at zero.
    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]);

    /// Whether each number moves by its own gradient and what is remembered of it alone, so that parameters
    /// may be moved as one.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether its last slot is an average of the parameter's values, at which training ends. A rule that
    /// wraps another one returns what that one does.
    fn averages(&self) -> bool {
        false
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    fn check(&self) -> Result<()>;

    /// The same rule with its rate multiplied by `factor`; `None` if it has none.
    fn slower(&self, _factor: f32) -> Option<Box<dyn Rule>> {
        None
    }
}

/// Fails unless the setting is a positive finite number.
pub(super) fn check_positive(setting: &'static str, value: f32) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a positive number"),
    })
}

/// Fails unless the setting lies in [0, 1).
pub(super) fn check_fraction(setting: &'static str, value: f32) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Config {
        setting,
        problem: format!("is {value}; give a number from 0 to below 1"),
    })
}

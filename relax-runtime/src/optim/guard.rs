//! Updates that may leave the range of f32: checked afterwards, and undone if they do.

use rustc_hash::FxHashMap;

use super::{JointMemory, Memory, Optimizer};
use crate::error::{Error, Result};
use crate::tensor::native::pointwise::all;
use crate::tensor::{Parameter, Tensor};

/// Gradients below this size, and what rules remember of them, are far from the ends of f32: their
/// squares are below 10²⁴, and quotients by ε = 10⁻⁸ below 10²⁰.
pub(super) const MODERATE: f32 = 1e12;

/// The size below which gradients are harmless to a rule that moves by no more than the learning rate times the
/// largest gradient over ε, or over how fast it forgets: too little to take a parameter out of f32.
pub(super) fn harmless(learning_rate: f32, slowest: f32) -> f32 {
    const SLOWEST: f32 = 1e-6;
    if learning_rate <= 1e4 && slowest >= SLOWEST {
        MODERATE
    } else {
        0.0
    }
}

impl Optimizer {
    pub(super) fn is_harmless(&self, gradient: &[f32]) -> bool {
        let most = self.harmless;
        all(gradient, move |g| g.abs() < most)
    }

    /// Runs an update that may leave the range of f32, and undoes it if it does.
    pub(super) fn update_or_undo(
        &mut self,
        parameters: &[Parameter],
        update: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let values: Vec<Tensor> = parameters.iter().map(Parameter::get).collect();
        let known = (
            self.memory.clone(),
            self.joint.clone(),
            self.restored.clone(),
        );
        let outcome = update(self).and_then(|()| self.check_finite(parameters));
        if outcome.is_err() {
            (self.memory, self.joint, self.restored) = known;
            let back = parameters.iter().zip(values);
            back.into_iter()
                .try_for_each(|(parameter, value)| parameter.set(value))?;
        } else {
            // What large gradients leave behind may grow under small ones.
            self.harmless = 0.0;
        }
        outcome
    }

    /// Fails if a parameter, or what is remembered of it, is not finite.
    fn check_finite(&self, parameters: &[Parameter]) -> Result<()> {
        let joint: FxHashMap<u64, Memory> =
            self.joint.iter().flat_map(JointMemory::memories).collect();
        for parameter in parameters {
            let key = parameter.key();
            let step = self.steps_of(key).saturating_sub(1);
            let wrong = |numbers: &[f32]| numbers.iter().copied().find(|x| !x.is_finite());
            if let Some(value) = parameter.with_values(wrong)? {
                return Err(too_large("the updated parameter", parameter, value, step));
            }
            let memory = joint.get(&key).or_else(|| self.memory.get(&key));
            let mut slots = memory.iter().flat_map(|memory| &memory.slots);
            if let Some(value) = slots.find_map(|slot| wrong(slot)) {
                return Err(too_large(
                    "what the optimizer remembers of",
                    parameter,
                    value,
                    step,
                ));
            }
        }
        Ok(())
    }
}

/// The error of an update at `step` that was undone, or not taken.
pub(super) fn too_large(what: &str, parameter: &Parameter, value: f32, step: u64) -> Error {
    Error::NotFinite {
        what: format!("{what} `{}`", parameter.name().unwrap_or("a parameter")),
        value: f64::from(value),
        step,
        hint: "the gradient is too large for the optimizer's numbers; nothing was moved: scale the cost \
               down, or try a smaller learning rate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Adam, RmsProp, Rule, Sgd, Step};

    /// A user's rule, which moves by the inverse of the gradient.
    #[derive(Debug)]
    struct Inverse;

    impl Rule for Inverse {
        fn kind(&self) -> String {
            "Inverse".into()
        }

        fn slots(&self) -> usize {
            1
        }

        fn apply(&self, _: Step, x: &mut [f32], g: &[f32], slots: &mut [Vec<f32>]) {
            for ((x, g), slot) in x.iter_mut().zip(g).zip(&mut slots[0]) {
                *slot += 1.0;
                *x -= 1.0 / g;
            }
        }

        fn check(&self) -> Result<()> {
            Ok(())
        }
    }

    fn values(parameters: &[Parameter; 2]) -> Result<Vec<f32>> {
        Ok([parameters[0].get().peek()?, parameters[1].get().peek()?].concat())
    }

    #[test]
    fn only_rules_that_are_known_go_unwatched() -> Result<()> {
        let known = [
            Optimizer::new(Adam::new(0.01))?,
            Optimizer::new(RmsProp::new(0.01))?,
            Optimizer::new(Sgd::new(0.01))?,
        ];
        assert!(known.iter().all(|optimizer| optimizer.harmless == MODERATE));
        assert_eq!(Optimizer::new(Inverse)?.harmless, 0.0);
        assert_eq!(Optimizer::new(Sgd::new(1e6))?.harmless, 0.0);
        assert_eq!(Optimizer::new(Adam::new(0.1).epsilon(1e-30))?.harmless, 0.0);
        Ok(())
    }

    #[test]
    fn what_would_overflow_is_refused_and_changes_nothing() -> Result<()> {
        type Build = fn() -> Result<Optimizer>;
        let cases: [(Build, f32); 5] = [
            (|| Optimizer::new(Adam::new(0.01)), 1e20),
            (|| Optimizer::new(RmsProp::new(0.01)), 3e20),
            (|| Optimizer::new(Sgd::new(10.0)), 3e38),
            (|| Optimizer::new(Sgd::new(0.1).momentum(0.99)), 3e38),
            (|| Optimizer::new(Inverse), 0.0),
        ];
        for (build, huge) in cases {
            for joint in [false, true] {
                let mut optimizer = build()?;
                let parameters = ["x", "y"]
                    .map(|name| Parameter::new(Tensor::from_slice(&[1.0, 2.0])).named(name));
                let update = |optimizer: &mut Optimizer, last: f32| {
                    let numbers = [1.0, 1.0, 1.0, last];
                    if joint {
                        return optimizer.update_all(&parameters, None, &numbers);
                    }
                    let [a, b] = [0, 2].map(|i| Tensor::from_slice(&numbers[i..i + 2]));
                    optimizer.update(&[(parameters[0].clone(), a), (parameters[1].clone(), b)])
                };
                update(&mut optimizer, 1.0)?;
                let before = (values(&parameters)?, optimizer.state()?);
                let mut refused = update(&mut optimizer, huge);
                // Momentum needs a second push.
                if refused.is_ok() {
                    let before = (values(&parameters)?, optimizer.state()?);
                    refused = update(&mut optimizer, huge);
                    assert_eq!((values(&parameters)?, optimizer.state()?), before);
                } else {
                    assert_eq!((values(&parameters)?, optimizer.state()?), before);
                }
                let error = refused.expect_err("an overflow").to_string();
                assert!(error.contains("`y`"), "{error}");
                update(&mut optimizer, 1.0)?;
                assert!(values(&parameters)?.iter().all(|x| x.is_finite()));
            }
        }
        Ok(())
    }

    #[test]
    fn large_gradients_that_fit_are_taken_and_watched() -> Result<()> {
        let x = Parameter::new(Tensor::scalar(0.0)).named("x");
        let mut optimizer = Optimizer::new(Sgd::new(1.0).momentum(0.9))?;
        let mut push = |g: f32| optimizer.update(&[(x.clone(), Tensor::scalar(g))]);
        push(1e38)?;
        push(0.0)?;
        // The momentum goes on until the parameter would leave f32.
        let error = (0..9).find_map(|_| push(0.0).err());
        assert!(matches!(error, Some(Error::NotFinite { .. })));
        assert!(x.get().item()?.is_finite());
        Ok(())
    }

    #[test]
    fn a_restored_memory_is_watched_too() -> Result<()> {
        let x = Parameter::new(Tensor::scalar(0.0)).named("x");
        let mut optimizer = Optimizer::new(Sgd::new(1.0).momentum(0.9))?;
        optimizer.update(&[(x.clone(), Tensor::scalar(1e38))])?;
        let mut resumed = Optimizer::new(Sgd::new(1.0).momentum(0.9))?;
        resumed.restore(optimizer.state()?);
        let mut push = || resumed.update(&[(x.clone(), Tensor::scalar(0.0))]);
        assert!((0..9).any(|_| push().is_err()));
        assert!(x.get().item()?.is_finite());
        Ok(())
    }
}

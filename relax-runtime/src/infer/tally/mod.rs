//! Joint sums in host numbers: the exact bound of a model under the automatic guide, and its gradient, if every choice
//! has a host value and every term is an `f64`.
//!
//! Runs leave a table of sums and nothing else. With q the guide, C the cost of a combination and
//! A_i(k) the sum of q C over the combinations in which choice i has its k-th value, the derivative
//! by the logit of that value is A_i(k) − q_i(k) Σ_j A_i(j).

mod choice;

use std::cell::RefCell;
use std::rc::Rc;

pub(in crate::infer) use choice::Choice;

use crate::dist::AnyDistribution;
use crate::error::{Error, Result};
use crate::infer::guide::guide_parameters;
use crate::infer::impossible::{Behind, Broken, look};
use crate::infer::pass::not_finite;
use crate::infer::pass::odometer::Wheels;
use crate::model::{Context, HostRun, Kind, Known, ParamStore, Place, Program};
use crate::tensor::{Parameter, Tensor};

/// Runs models in host numbers, step by step.
pub(in crate::infer) struct Tally {
    /// One context for all runs: it knows the names of sites.
    context: Context,
    sums: Rc<Sums>,
}

/// The outcome of a joint sum.
pub(in crate::infer) enum Tallied {
    /// The exact value, and the number of combinations.
    Exact {
        value: f64,
        combinations: usize,
    },
    TooMany,
    /// A run needs tensors.
    NeedsTensors,
}

struct Sums {
    params: ParamStore,
    state: RefCell<State>,
}

/// The sums of a step.
#[derive(Default)]
struct State {
    /// The number of the step, from 1.
    step: u64,
    /// The step of the training, from 0.
    of_training: u64,
    choices: Vec<Choice>,
    /// The choice by the number of a site's name, if it is one.
    by_number: Vec<Option<usize>>,
    wheels: Wheels,
    largest: usize,
    /// The choices of the current run.
    path: Vec<usize>,
    /// q of the current run.
    mass: f64,
    cost: f64,
    value: f64,
    refused: bool,
    too_many: bool,
    /// The error of the first term of the current run that is not finite.
    broken: Option<Error>,
}

impl Tally {
    pub(in crate::infer) fn new(params: &ParamStore) -> Self {
        let sums = Rc::new(Sums {
            params: params.clone(),
            state: RefCell::default(),
        });
        Self {
            context: Context::of_host(Rc::clone(&sums) as Rc<dyn HostRun>),
            sums,
        }
    }

    /// Runs the model once for each combination, up to a maximum number.
    ///
    /// # Errors
    /// Any error from the model; [`Error::NotFinite`], naming the first term, if the value is not finite.
    pub(in crate::infer) fn sum(
        &self,
        model: &dyn Program,
        largest: usize,
        step: u64,
    ) -> Result<Tallied> {
        self.sums.state.borrow_mut().start(largest, step);
        loop {
            self.context.restart();
            let run = model.execute(&self.context);
            let state = &mut *self.sums.state.borrow_mut();
            match run {
                _ if state.refused => return Ok(Tallied::NeedsTensors),
                _ if state.too_many => return Ok(Tallied::TooMany),
                run => run?,
            }
            if !state.finish_run()? {
                return Ok(Tallied::Exact {
                    value: state.value,
                    combinations: state.wheels.combinations(),
                });
            }
        }
    }

    /// Calls `f` with each choice from the `from`-th on, and returns their number.
    pub(in crate::infer) fn each_choice(
        &self,
        from: usize,
        mut f: impl FnMut(&Choice) -> Result<()>,
    ) -> Result<usize> {
        let state = self.sums.state.borrow();
        state.choices[from..].iter().try_for_each(&mut f)?;
        Ok(state.choices.len())
    }

    /// The gradient by the parameter of every choice that the step reached, with the choice's name and the mean square
    /// of the gradient.
    pub(in crate::infer) fn gradients(
        &self,
        mut each: impl FnMut(&Choice, Parameter, Tensor, f64),
    ) {
        let state = self.sums.state.borrow();
        let met = |choice: &&Choice| choice.step == state.step;
        for choice in state.choices.iter().filter(met) {
            let (gradient, mean_square) = choice.gradient();
            each(choice, choice.parameter.clone(), gradient, mean_square);
        }
    }
}

impl State {
    fn start(&mut self, largest: usize, step: u64) {
        self.step += 1;
        self.of_training = step;
        self.largest = largest;
        self.value = 0.0;
        self.wheels.reset();
        self.start_run();
        (self.refused, self.too_many, self.broken) = (false, false, None);
    }

    fn start_run(&mut self) {
        self.path.clear();
        (self.mass, self.cost) = (1.0, 0.0);
    }

    /// Adds the run to the sums and moves on; false after the last combination.
    fn finish_run(&mut self) -> Result<bool> {
        let mass = self.mass;
        // Combinations without probability do not count, whatever they cost.
        if mass > 0.0 {
            let share = mass * self.cost;
            if !share.is_finite() {
                return Err(self.not_finite());
            }
            self.value += share;
            for (&choice, &digit) in self.path.iter().zip(self.wheels.digits()) {
                self.choices[choice].sums[digit] += share;
            }
        }
        self.broken = None;
        self.start_run();
        Ok(self.wheels.advance())
    }

    #[cold]
    fn not_finite(&mut self) -> Error {
        let (cost, step) = (self.cost, self.of_training);
        let unnamed = || not_finite(Kind::Cost, "a combination", look(step), None, cost, step);
        self.broken.take().unwrap_or_else(unnamed)
    }

    /// The place of a choice that has been met before.
    fn known(&self, number: usize) -> Option<usize> {
        self.by_number.get(number).copied().flatten()
    }

    fn add(&mut self, number: usize, choice: Choice) -> usize {
        if self.by_number.len() <= number {
            self.by_number.resize(number + 1, None);
        }
        self.choices.push(choice);
        *self.by_number[number].insert(self.choices.len() - 1)
    }
}

impl HostRun for Sums {
    fn choose(&self, at: &Place<'_>, dist: &dyn AnyDistribution, values: usize) -> Result<usize> {
        let state = &mut *self.state.borrow_mut();
        let place = match state.known(at.number) {
            Some(place) => place,
            None => match Choice::meet(&self.params, at, dist, values)? {
                Some(choice) => state.add(at.number, choice),
                None => {
                    state.refused = true;
                    return Err(Error::Enumeration("the guide has no logits here".into()));
                }
            },
        };
        // Choices keep one guide for all runs, which does not fit if some runs exclude a value.
        if dist.excludes_values() {
            state.refused = true;
            return Err(Error::Enumeration("a value is excluded".into()));
        }
        let choice = &mut state.choices[place];
        if choice.step != state.step {
            choice.start(state.step)?;
        }
        let name = dist.name();
        let same = std::ptr::eq(choice.distribution, name) || choice.distribution == name;
        if choice.masses.len() != values || !same {
            let law = dist.law()?;
            guide_parameters(&self.params, &choice.name, &law.mean_field(), true)?;
        }
        let digit = state.wheels.next_digit(values);
        if state.wheels.at_least() > state.largest {
            state.too_many = true;
            return Err(Error::Enumeration(
                "the program has too many combinations".into(),
            ));
        }
        let (mass, log_mass) = choice.masses[digit];
        state.path.push(place);
        state.mass *= mass;
        state.cost += log_mass;
        Ok(digit)
    }

    fn pay(&self, at: &Place<'_>, kind: Kind, cost: f64, known: Known<'_>) {
        let state = &mut *self.state.borrow_mut();
        state.cost += cost;
        if cost.is_finite() || state.broken.is_some() {
            return;
        }
        let (name, file, line) = (at.name(), at.site.file, at.site.line);
        if let Known::Outside(outside) = known
            && let Some(mistake) = outside.mistake()
        {
            state.broken = Some(mistake.clone().at_site(&name, file, line));
            return;
        }
        let step = state.of_training;
        let broken = Broken {
            kind,
            value: cost,
            known,
            behind: match state.path.is_empty() {
                true => Behind::Nothing,
                false => Behind::Choices,
            },
            step,
        };
        let at = Some((file, line));
        state.broken = Some(not_finite(kind, &name, broken.hint(), at, cost, step));
    }

    fn refuse(&self) {
        self.state.borrow_mut().refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Normal};
    use crate::model::Site;
    use crate::plumbing::model;

    fn site(name: &'static str) -> Site {
        Site::new(name, file!(), line!())
    }

    /// The outcome of a sum over two coins and an observation, and how many runs it takes.
    fn tallied(observe: impl Fn(&Context, f64) -> Result<()>, largest: usize) -> (Tallied, usize) {
        let runs = std::cell::Cell::new(0);
        let program = model("program", |context| {
            runs.set(runs.get() + 1);
            let a = context.sample(site("a"), Bernoulli::probs(0.3))?;
            let b = context.sample(site("b"), Bernoulli::logits(0.4))?;
            observe(context, f64::from(u8::from(a)) - f64::from(u8::from(b)))
        });
        let tally = Tally::new(&ParamStore::default());
        let found = tally.sum(&program, largest, 0).unwrap();
        (found, runs.get())
    }

    #[test]
    fn host_numbers_are_summed_in_as_many_runs_as_there_are_combinations() {
        let host = |context: &Context, x| context.observe(site("x"), Normal::new(x, 1.0), 0.5);
        let (found, runs) = tallied(host, 4);
        assert!(matches!(
            found,
            Tallied::Exact {
                combinations: 4,
                ..
            }
        ));
        assert_eq!(runs, 4);
        let (found, _) = tallied(host, 3);
        assert!(matches!(found, Tallied::TooMany));
        let (found, runs) = tallied(host, 2);
        assert!(matches!(found, Tallied::TooMany));
        assert_eq!(
            runs, 1,
            "every other value of a choice is another combination"
        );
    }

    #[test]
    fn the_first_tensor_ends_the_sum() {
        let tensor = |context: &Context, x| {
            let mean = Tensor::scalar(x as f32);
            context.observe(site("x"), Normal::new(mean, 1.0), 0.5)
        };
        let cost = |context: &Context, x| context.cost(site("x"), Tensor::scalar(x as f32));
        let learned = |context: &Context, _| context.param(site("x")).map(drop);
        let rows = |context: &Context, _| context.plate(site("x"), 2, None).map(drop);
        for (found, runs) in [
            tallied(tensor, 4),
            tallied(cost, 4),
            tallied(learned, 4),
            tallied(rows, 4),
        ] {
            assert!(matches!(found, Tallied::NeedsTensors));
            assert_eq!(runs, 1);
        }
    }
}

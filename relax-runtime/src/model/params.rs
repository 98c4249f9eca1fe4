//! Parameters by name.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::GivenUp;
use super::constrained::Constraints;
use super::unknown_parameter;
use crate::dist::Constraint;
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Device, Parameter, Tensor};

/// The parameters created by `param!` sites and automatic guides, by name; clones share them.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss() -> Tensor {
///     let logit = param!(0.0);
///     let heads = sample!(Bernoulli(logits = logit));
///     heads
/// }
///
/// # fn main() -> Result<()> {
/// let params = ParamStore::default();
/// let simulation = Simulation::seeded(1).params(&params);
/// simulation.run(&toss())?;
/// assert_eq!(params.names(), ["logit"]);
/// params.parameter("logit").expect("just created").set(Tensor::scalar(100.0))?;
/// assert_eq!(simulation.run(&toss())?.output.item()?, 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParamStore(Rc<RefCell<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    known: FxHashMap<String, Parameter>,
    constraints: Constraints,
    /// Parameters restored from a checkpoint that no program has asked for yet, each with whether every step so far
    /// trained it.
    restored: BTreeMap<String, bool>,
    /// Parameters that every run of a program creates, but that the checkpoint lacks.
    missing: Vec<String>,
    notes: Notes,
    /// What has been given up of programs' sums.
    given_up: BTreeMap<String, GivenUp>,
    /// Whether guides should say in which units their parameters are moved.
    wants_units: bool,
    /// Where guides start, if not at the center of the model's laws.
    start: Option<Start>,
    /// Whether a guide has asked where to start.
    has_location: bool,
    /// The random numbers that choose the values at which summed-out choices are held, if they are.
    held: Option<Key>,
    /// The device of the data, if it turned out not to be the CPU.
    device: Option<Device>,
    /// Whether no program needs further parameters, unless draws decide that it does.
    is_complete: bool,
}

/// Where guides start.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// At a draw from the model's laws, with these random numbers.
    Draw(Key),
    /// Around the given unconstrained numbers of each site, with the given spread.
    About(Rc<FxHashMap<String, Spread>>),
}

/// Unconstrained numbers, and how far the true ones may be from them, as standard deviations.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) loc: Tensor,
    pub(crate) scale: Tensor,
}

/// What has been found out about programs, by type of finding and program name.
#[derive(Clone, Default)]
struct Notes(FxHashMap<(TypeId, &'static str), Rc<dyn Any>>);

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} notes", self.0.len())
    }
}

impl ParamStore {
    /// A store with the same parameters, to which others can be added without adding them here.
    pub(crate) fn fork(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// The same for programs that are to use what was trained: a further parameter, which would be at its initial value,
    /// is an error. Where nothing was trained, all are at theirs.
    pub(crate) fn as_trained(&self) -> Self {
        let fork = self.fork();
        let is_trained = !fork.0.borrow().known.is_empty();
        fork.0.borrow_mut().is_complete = is_trained;
        fork
    }

    /// A store without parameters, for running programs at initial values.
    pub(crate) fn fresh(&self) -> Self {
        Self(Rc::new(RefCell::new(State {
            device: self.0.borrow().device.clone(),
            ..State::default()
        })))
    }

    /// Makes guides say in which units their parameters are moved.
    pub(crate) fn want_units(&self) {
        self.0.borrow_mut().wants_units = true;
    }

    /// Whether guides should say in which units their parameters are moved.
    pub(crate) fn wants_units(&self) -> bool {
        self.0.borrow().wants_units
    }

    /// Sets where guides made from now on start; `None` for the center of the model's laws.
    pub(crate) fn start_at(&self, place: Option<Start>) {
        self.0.borrow_mut().start = place;
    }

    /// Where a part of a guide should start, if not at the center; `is_location` says whether draws from the model's
    /// laws can move it.
    pub(crate) fn place_to_start(&self, is_location: bool) -> Option<Start> {
        let state = &mut *self.0.borrow_mut();
        state.has_location |= is_location;
        state.start.clone()
    }

    /// Whether a guide has asked where to start.
    pub(crate) fn has_location(&self) -> bool {
        self.0.borrow().has_location
    }

    /// Makes models hold summed-out choices at possible values chosen by these random numbers; `None` to sum them out.
    pub(crate) fn hold_summed(&self, at: Option<Key>) {
        self.0.borrow_mut().held = at;
    }

    /// The random numbers that choose the values at which summed-out choices are held, if they are.
    pub(crate) fn holds_summed(&self) -> Option<Key> {
        self.0.borrow().held
    }

    /// Starts over as if no program had been run: with no parameters, and nothing found out. Returns the previous
    /// content, for [`put_back`](Self::put_back).
    pub(crate) fn begin_anew(&self) -> Self {
        let state = &mut *self.0.borrow_mut();
        let anew = State {
            wants_units: state.wants_units,
            device: state.device.clone(),
            ..State::default()
        };
        Self(Rc::new(RefCell::new(std::mem::replace(state, anew))))
    }

    /// Takes over everything another store holds.
    pub(crate) fn put_back(&self, before: Self) {
        let before = before.0.take();
        self.0.replace(before);
    }

    /// Takes over what a fork found out about programs, and what it gave up of their sums.
    pub(crate) fn take_notes_of(&self, fork: &Self) {
        let fork = fork.0.borrow();
        let state = &mut *self.0.borrow_mut();
        state.notes = fork.notes.clone();
        state.given_up = fork.given_up.clone();
    }

    /// What `find` found out about a program; it is called only once. Not stored in checkpoints.
    pub(crate) fn note<T: 'static>(
        &self,
        program: &'static str,
        find: impl FnOnce() -> T,
    ) -> Rc<T> {
        if let Some(known) = self.noted(program) {
            return known;
        }
        let found = Rc::new(find());
        let key = (TypeId::of::<T>(), program);
        let note: Rc<dyn Any> = Rc::clone(&found) as Rc<dyn Any>;
        self.0.borrow_mut().notes.0.insert(key, note);
        found
    }

    /// What was found out about a program, if anything.
    pub(crate) fn noted<T: 'static>(&self, program: &'static str) -> Option<Rc<T>> {
        let state = self.0.borrow();
        let note = state.notes.0.get(&(TypeId::of::<T>(), program))?;
        Rc::clone(note).downcast().ok()
    }

    /// Replaces what was found out about a program.
    pub(crate) fn renote<T: 'static>(&self, program: &'static str, found: T) {
        let key = (TypeId::of::<T>(), program);
        self.0.borrow_mut().notes.0.insert(key, Rc::new(found));
    }

    /// All findings of one type.
    pub(crate) fn notes<T: 'static>(&self) -> Vec<Rc<T>> {
        let notes = &self.0.borrow().notes.0;
        let notes = notes.values().cloned();
        notes.filter_map(|note| note.downcast().ok()).collect()
    }

    /// How much of a program's sum has been given up.
    pub(crate) fn given_up_of(&self, program: &str) -> GivenUp {
        let given_up = &self.0.borrow().given_up;
        given_up.get(program).copied().unwrap_or_default()
    }

    /// Gives up this much of a program's sum; returns whether less had been given up so far.
    pub(crate) fn give_up(&self, program: &str, what: GivenUp) -> bool {
        let is_new = self.given_up_of(program) < what;
        if is_new {
            let given_up = &mut self.0.borrow_mut().given_up;
            given_up.insert(program.to_owned(), what);
        }
        is_new
    }

    /// What has been given up of each program's sum.
    pub(crate) fn given_up(&self) -> BTreeMap<String, GivenUp> {
        self.0.borrow().given_up.clone()
    }

    /// Sets what has been given up of each program's sum.
    pub(crate) fn set_given_up(&self, given_up: BTreeMap<String, GivenUp>) {
        self.0.borrow_mut().given_up = given_up;
    }

    /// Whether a guide has a parameter for a site.
    pub(crate) fn has_of(&self, site: &str) -> bool {
        let is_of = |name: &String| {
            let part = name.strip_prefix(site);
            part.is_some_and(|part| part.starts_with('.'))
        };
        self.0.borrow().known.keys().any(is_of)
    }

    /// The current value of a parameter, as part of the autodiff graph. If constrained, it satisfies the constraint
    /// once a program has reached it.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        let state = self.0.borrow();
        let value = state.known.get(name)?.get();
        Some(match state.constraints.get(name) {
            Some(constraint) => constraint.value(&value),
            None => value,
        })
    }

    /// The value of a parameter for a program that states its constraint, if it has one. The ends of an interval may
    /// change from run to run.
    ///
    /// # Errors
    /// If another constraint was stated or saved for it before: its numbers, which are unconstrained, would mean
    /// something else.
    pub(crate) fn constrained(
        &self,
        name: &str,
        parameter: &Parameter,
        constraint: Option<Constraint>,
    ) -> Result<Tensor> {
        self.0.borrow_mut().constraints.state(name, constraint)?;
        let free = parameter.get();
        Ok(match constraint {
            Some(constraint) => constraint.value(&free),
            None => free,
        })
    }

    /// The parameter itself, to set it. A constrained one holds unconstrained numbers, which are what is trained and
    /// stored in checkpoints; [`Constraint::value`](crate::dist::Constraint::value) maps them to its value.
    pub fn parameter(&self, name: &str) -> Option<Parameter> {
        self.0.borrow().known.get(name).cloned()
    }

    /// The parameter, if a program may take it as it is: one restored from a checkpoint waits for
    /// [`create`](Self::create) to compare it with the program's initial value.
    pub(crate) fn settled(&self, name: &str) -> Option<Parameter> {
        let state = self.0.borrow();
        match state.restored.is_empty() || !state.restored.contains_key(name) {
            true => state.known.get(name).cloned(),
            false => None,
        }
    }

    /// Adds a parameter with its initial value, or returns the existing parameter's value.
    ///
    /// # Errors
    /// If the initial value carries an error, or holds NaN or an infinite number.
    pub fn insert(&self, name: &str, init: &Tensor) -> Result<Tensor> {
        Ok(self.create(name, init, false)?.get())
    }

    /// Adds a parameter with its initial value, or returns the existing one. One restored from a checkpoint keeps its
    /// numbers and moves to the initial value's device. `always` says that every run of the program reaches it,
    /// whatever is drawn.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); [`Error::Checkpoint`] if the restored parameter has another shape;
    /// [`Error::UnknownParameter`] for one beside those that were trained, where these are to be used.
    pub(crate) fn create(&self, name: &str, init: &Tensor, always: bool) -> Result<Parameter> {
        let state = &mut *self.0.borrow_mut();
        let init = match &state.device {
            Some(device) => &init.to_device(device)?,
            None => init,
        };
        if let Some(parameter) = state.known.get(name) {
            if state.restored.contains_key(name) {
                adopt(name, parameter, init)?;
                state.restored.remove(name);
            }
            return Ok(parameter.clone());
        }
        check_finite(init)?;
        if always && state.is_complete {
            let mut names: Vec<&str> = state.known.keys().map(String::as_str).collect();
            names.sort_unstable();
            return Err(unknown_parameter(name, names.into_iter()));
        }
        // It outlives the run, so it must not keep the run's sites, reads and derivatives.
        let parameter = Parameter::new(init.kept()).named(name);
        state.known.insert(name.to_owned(), parameter.clone());
        if always && !state.restored.is_empty() {
            state.missing.push(name.to_owned());
        }
        Ok(parameter)
    }

    /// Returns the result of `attempt`. If it meets data off the CPU beside parameters on it (made from host numbers),
    /// tries once more with all parameters moved to the data's device; if that does not help, they move back.
    ///
    /// # Errors
    /// The errors of the last attempt.
    pub(crate) fn beside_data<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let error = match attempt() {
            Err(error) if matches!(error.cause(), Error::Device { .. }) => error,
            found => return found,
        };
        let before = self.0.borrow().clone();
        let Some(moved) = self.follow(&error)? else {
            return Err(error);
        };
        let again = attempt();
        if let Err(Error::Device { .. }) = again.as_ref().map_err(Error::cause) {
            moved
                .into_iter()
                .try_for_each(|(parameter, value)| parameter.set(value))?;
            self.0.replace(before);
        }
        again
    }

    /// Whether there is a parameter on the CPU, which data elsewhere would have moved.
    pub(crate) fn has_any_here(&self) -> bool {
        let state = self.0.borrow();
        let mut devices = state.known.values().map(Parameter::device);
        devices.any(|device| device == Device::cpu())
    }

    /// Moves the parameters to the device of data that could not be combined with numbers on the CPU, and forgets what
    /// was found out before. Returns the moved parameters with their previous values; `None` if there were none.
    fn follow(&self, error: &Error) -> Result<Option<Vec<(Parameter, Tensor)>>> {
        let here = Device::cpu();
        let Error::Device { left, right, .. } = error.cause() else {
            return Ok(None);
        };
        let pair = [left.parse::<Device>()?, right.parse()?];
        let mut elsewhere = pair.iter().filter(|device| **device != here);
        let (Some(there), None) = (elsewhere.next(), elsewhere.next()) else {
            return Ok(None);
        };
        let state = &mut *self.0.borrow_mut();
        let left = state.known.values().filter(|p| p.device() == here);
        let left: Vec<_> = left.map(|p| (p.clone(), p.get().detach())).collect();
        for (parameter, value) in &left {
            parameter.set(value.to_device(there)?)?;
        }
        state.device = Some(there.clone());
        state.notes = Notes::default();
        Ok((!left.is_empty()).then_some(left))
    }

    /// Sets a new parameter of this value, in place of any of the same name.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(crate) fn replace(&self, name: &str, value: &Tensor) -> Result<()> {
        let state = &mut *self.0.borrow_mut();
        check_finite(value)?;
        state.restored.remove(name);
        let parameter = Parameter::new(value.kept()).named(name);
        state.known.insert(name.to_owned(), parameter);
        Ok(())
    }

    /// The constraints of parameters by name, `None` where it is known that there is none.
    pub(crate) fn constraints(&self) -> BTreeMap<String, Option<Constraint>> {
        self.0.borrow().constraints.all()
    }

    /// Replaces all parameters by a checkpoint's, each with whether every step so far trained it, and takes over their
    /// constraints and what it says was given up. Handles to parameters that stay remain valid.
    pub(crate) fn restore(
        &self,
        saved: Vec<(String, Parameter, bool)>,
        constraints: BTreeMap<String, Option<Constraint>>,
        given_up: BTreeMap<String, GivenUp>,
    ) {
        let state = &mut *self.0.borrow_mut();
        state.constraints.restore(constraints);
        let old = std::mem::take(&mut state.known);
        state.missing.clear();
        state.restored.clear();
        state.notes = Notes::default();
        state.given_up = given_up;
        for (name, parameter, trained) in saved {
            let stays = old
                .get(&name)
                .is_some_and(|old| old.key() == parameter.key());
            if !stays {
                state.restored.insert(name.clone(), trained);
            }
            state.known.insert(name, parameter);
        }
    }

    /// Checks that the program fits the checkpoint: fails if it created a parameter that the checkpoint lacks while one
    /// that every step trained is left over (most likely a name has changed), or if it uses none of the checkpoint's
    /// parameters.
    pub(crate) fn check_restored(&self) -> Result<()> {
        let state = &mut *self.0.borrow_mut();
        let trained = state.restored.iter().filter(|(_, trained)| **trained);
        let left: Vec<_> = trained.map(|(name, _)| format!("`{name}`")).collect();
        let problem = match state.missing.first() {
            _ if left.is_empty() => {
                state.missing.clear();
                return Ok(());
            }
            Some(new) => format!(
                "it has no parameter `{new}`, which the model has, and the model has no use for its \
                 {}; give the parameter its old name, or, if it is new, add it with \
                 `params().insert` before the first step",
                left.join(", ")
            ),
            None if state.restored.len() == state.known.len() => format!(
                "the model has no use for any of its parameters, {}; it belongs to another model",
                left.join(", ")
            ),
            None => return Ok(()),
        };
        Err(Error::Checkpoint {
            path: String::new(),
            problem,
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.borrow().known.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// All parameters by name, sorted.
    pub fn all(&self) -> Vec<(String, Parameter)> {
        let known = &self.0.borrow().known;
        let mut all: Vec<_> = known.iter().map(|(n, p)| (n.clone(), p.clone())).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// Moves a restored parameter to the device of the program's initial value, and checks its shape.
fn adopt(name: &str, parameter: &Parameter, init: &Tensor) -> Result<()> {
    let (shape, wanted) = (parameter.shape(), init.check()?.shape());
    if shape != wanted {
        return Err(Error::Checkpoint {
            path: String::new(),
            problem: format!(
                "its parameter `{name}` has shape {shape}, but the model now gives it {wanted}; \
                 continue with the model that was saved, or train this one from the start"
            ),
        });
    }
    let value = parameter.get().kept();
    match value.device() == init.device() {
        true => Ok(()),
        false => parameter.set(value.to_device(&init.device())?),
    }
}

/// Checks that all numbers of an initial value are finite.
fn check_finite(init: &Tensor) -> Result<()> {
    let wrong = init.with_values(|values| values.iter().copied().find(|x| !x.is_finite()))?;
    let Some(wrong) = wrong else { return Ok(()) };
    Err(Error::Config {
        setting: "first value of a parameter",
        problem: format!("holds {wrong}; give finite numbers, of at most 3.4e38 in f32"),
    })
}

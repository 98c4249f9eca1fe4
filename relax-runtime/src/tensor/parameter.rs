//! Trained values that models, layers and optimizers share.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::panic::Location;
use std::rc::{Rc, Weak};

use super::together::Part;
use super::{Device, Shape, Tensor};
use crate::error::{Error, Result};

/// A shared tensor that can be replaced: clones are handles to the same value.
///
/// Reading it gives a leaf of the graph that carries the parameter's key, the same leaf until the
/// value is set again, so that all uses add up in one gradient.
///
/// ```
/// use relax_runtime::tensor::grad_parameters;
/// use relax_runtime::{Parameter, Result, Tensor};
/// # fn main() -> Result<()> {
/// let w = Parameter::new(Tensor::from_slice(&[1.0, 2.0])).named("w");
/// let loss = w.get().square().sum_all();
/// for (parameter, gradient) in grad_parameters(&[(&loss, None)])? {
///     parameter.set(parameter.get() - gradient * 0.25)?;
/// }
/// assert_eq!(w.get().to_vec()?, [0.5, 1.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Parameter(Rc<State>);

#[derive(Debug)]
pub(super) struct State {
    key: u64,
    name: OnceCell<String>,
    value: RefCell<Value>,
    /// How far a unit step moves each number, if not by one.
    unit: RefCell<Option<Tensor>>,
}

/// Where a parameter's numbers are.
#[derive(Debug)]
enum Value {
    /// In the leaf that all uses share.
    Leaf(Tensor),
    /// Together with those of other parameters.
    Part(Part),
}

thread_local! {
    static HOLDING: Cell<bool> = const { Cell::new(false) };
    static MOVING: Cell<bool> = const { Cell::new(false) };
}

/// A period in which every parameter carries a tangent, until this is dropped: all move at once, each number at a speed
/// of its own, so that what depends on any of them moves, too.
pub(crate) struct Moving {
    before: bool,
}

impl Moving {
    /// Starts the period.
    pub(crate) fn start() -> Self {
        Self {
            before: MOVING.replace(true),
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        MOVING.set(self.before);
    }
}

/// A period in which nothing is learned: parameters of automatic guides are constants until this is dropped.
pub(crate) struct Holding {
    before: bool,
}

impl Holding {
    /// Starts the period.
    pub(crate) fn start() -> Self {
        Self {
            before: HOLDING.replace(true),
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        HOLDING.set(self.before);
    }
}

impl Parameter {
    /// A parameter with this initial value.
    pub fn new(value: Tensor) -> Self {
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let key = NEXT.get();
        NEXT.set(key + 1);
        Self(Rc::new_cyclic(|state| State {
            key,
            name: OnceCell::new(),
            value: RefCell::new(Value::Leaf(value.parameter_leaf(state))),
            unit: RefCell::default(),
        }))
    }

    /// The parameter of a leaf, if a handle to it remains.
    pub(super) fn living(state: &Weak<State>) -> Option<Self> {
        state.upgrade().map(Self)
    }

    /// The current value for a guide: tracked, except where nothing is learned, as in draws of a posterior.
    pub(crate) fn for_guide(&self) -> Tensor {
        let leaf = self.get();
        match HOLDING.get() {
            true => leaf.without_history(),
            false => leaf,
        }
    }

    /// The current value, tracked.
    pub fn get(&self) -> Tensor {
        let leaf = self.leaf();
        match MOVING.get() {
            true => leaf.with_tangent(&self.speed(&leaf)),
            false => leaf,
        }
    }

    /// How fast each number moves while all do: numbers of the golden ratio's multiples, which are all different.
    #[cold]
    fn speed(&self, leaf: &Tensor) -> Tensor {
        const SECTION: f64 = 0.618_033_988_749_895;
        let first = self.key() as f64 * SECTION;
        let of = |at: usize| (1.0 + (first + (at as f64 + 1.0) * SECTION).fract()) as f32;
        let speeds = (0..leaf.len()).map(of).collect();
        let speed = Tensor::from_vec(speeds, leaf.shape(), &leaf.device());
        speed.unwrap_or_else(|_| leaf.zeros_like())
    }

    #[inline]
    fn leaf(&self) -> Tensor {
        let value = match &*self.0.value.borrow() {
            Value::Leaf(leaf) => return leaf.clone(),
            Value::Part(part) => part.with_values(|values| Tensor::of_numbers(values, part.shape)),
        };
        self.set_leaf(&value)
    }

    /// Applies `look` to the numbers.
    ///
    /// # Errors
    /// The error carried by a poisoned tensor.
    #[inline(always)]
    pub(crate) fn with_values<R>(&self, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
        match &*self.0.value.borrow() {
            Value::Leaf(leaf) => leaf.with_values(look),
            Value::Part(part) => Ok(part.with_values(look)),
        }
    }

    /// Replaces the value for all handles; tensors computed earlier keep the old one.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape; the error carried by a poisoned tensor.
    #[track_caller]
    pub fn set(&self, value: Tensor) -> Result<()> {
        value.check()?;
        if value.shape() != self.shape() {
            return Err(Error::Shape {
                op: "Parameter::set",
                problem: "needs a value of the parameter's shape".into(),
                shapes: vec![self.shape(), value.shape()],
                location: Location::caller(),
            });
        }
        self.set_leaf(&value);
        Ok(())
    }

    /// Makes a new leaf for the value and gives it to the parameter.
    fn set_leaf(&self, value: &Tensor) -> Tensor {
        let leaf = value.parameter_leaf(&Rc::downgrade(&self.0));
        if let Value::Part(part) = self.0.value.replace(Value::Leaf(leaf.clone())) {
            part.leave();
        }
        leaf
    }

    /// Changes the numbers for all handles, without a copy where they are on the CPU and no tensor
    /// computed from them remains; tensors computed earlier keep the old ones.
    ///
    /// # Errors
    /// Those of the device.
    #[inline]
    pub(crate) fn update(&self, change: impl FnOnce(&mut [f32])) -> Result<()> {
        let refused = match &mut *self.0.value.borrow_mut() {
            Value::Leaf(leaf) => leaf.change_leaf(change),
            Value::Part(part) => {
                part.update(change);
                None
            }
        };
        let Some(change) = refused else { return Ok(()) };
        let value = self.get();
        let mut values = value.peek()?;
        change(&mut values);
        self.set(Tensor::from_vec(values, value.shape(), &value.device())?)
    }

    /// Moves the numbers to `part`, where `take` puts them, if no tensor computed from them remains and they are not in
    /// a part already; returns whether it did.
    pub(super) fn give(&self, part: impl FnOnce(Shape) -> Part, take: impl FnOnce(&[f32])) -> bool {
        let value = &mut *self.0.value.borrow_mut();
        let Value::Leaf(leaf) = value else {
            return false;
        };
        let shape = leaf.shape();
        let given = leaf.change_leaf(|values| take(values)).is_none();
        if given {
            *value = Value::Part(part(shape));
        }
        given
    }

    /// Sets how far an optimizer's unit step moves each number.
    ///
    /// # Errors
    /// If the unit carries an error.
    pub(crate) fn set_unit(&self, unit: &Tensor) -> Result<()> {
        /// So that no number is moved too little to change, or so far that it overflows.
        const RANGE: (f32, f32) = (1e-12, 1e12);
        let unit = unit.broadcast_to(self.shape()).clamp(RANGE.0, RANGE.1);
        let unit = unit.check()?.kept().to_device(&self.device())?;
        self.0.unit.replace(Some(unit));
        Ok(())
    }

    /// That unit, if it was set.
    pub(crate) fn unit(&self) -> Ref<'_, Option<Tensor>> {
        self.0.unit.borrow()
    }

    /// The parameter's identity, unique in its thread.
    pub fn key(&self) -> u64 {
        self.0.key
    }

    /// Names the parameter, for reports and checkpoints; the first name is kept.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.0.name.get_or_init(|| name.to_owned());
        self
    }

    /// The name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.get().map(String::as_str)
    }

    /// Number of elements of the value.
    pub(crate) fn len(&self) -> usize {
        match &*self.0.value.borrow() {
            Value::Leaf(leaf) => leaf.len(),
            Value::Part(part) => part.len(),
        }
    }

    /// Where the value is.
    pub(crate) fn device(&self) -> Device {
        match &*self.0.value.borrow() {
            Value::Leaf(leaf) => leaf.device(),
            Value::Part(_) => Device::cpu(),
        }
    }

    /// Shape of the value.
    pub fn shape(&self) -> Shape {
        match &*self.0.value.borrow() {
            Value::Leaf(leaf) => leaf.shape(),
            Value::Part(part) => part.shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Provenance, Reads, Rounding, SiteSet};
    use super::*;

    /// A value with everything that a run can leave on it.
    fn of_a_run(values: &[f32]) -> Tensor {
        let mut sites = SiteSet::EMPTY;
        sites.insert(3);
        let reads = Reads::default();
        let value = Tensor::from_slice(values);
        let value = value
            .with_provenance(Provenance::new(sites, reads, None))
            .leaf();
        let value = value.with_tangent(&value.ones_like());
        value.rounded(&Rounding::new(Shape::SCALAR, Vec::new())) * 2.0
    }

    /// Within a run a value depends on what it came from; numbers that an optimizer has moved do not.
    #[test]
    fn moved_values_leave_their_run_behind() -> Result<()> {
        let (kept, moved) = (of_a_run(&[1.0, 2.0]).kept(), [5.0, 5.0]);
        assert_eq!(kept.peek()?, [2.0, 4.0]);
        assert!(kept.provenance().is_none() && kept.tangent().is_none() && !kept.is_tracked());
        for shared in [false, true] {
            let parameter = Parameter::new(of_a_run(&[1.0, 2.0]));
            assert!(parameter.get().severed_sites().contains(3));
            let handle = shared.then(|| parameter.get());
            parameter.update(|values| values.fill(5.0))?;
            drop(handle);
            let value = parameter.get();
            assert_eq!(value.peek()?, moved);
            assert!(value.provenance().is_none() && value.tangent().is_none());
        }
        Ok(())
    }
}

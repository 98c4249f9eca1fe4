//! Tensors in each case of choices that are summed over.
//!
//! In a run for a sum a choice may be a tensor with cases: beside the numbers that the run goes on with, it has those
//! of every other value. An operation on such tensors is applied in each combination of their choices, so that one
//! run computes what depends on them at all values: for many cases at once, as one operation on a tensor with axes in
//! front (as in JAX's `vmap`), for few one by one. Equal operations are applied once. Host code sees only one case.
//! Where what it sees might differ in other cases, and wherever an operation does not support cases, the run loses
//! them ([`Collecting::are_lost`]), and other runs have to follow.

mod all;
mod joint;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::op::Op;
use super::{Inner, Tensor};
use crate::error::Result;
pub(crate) use all::AllCases;
use joint::{Joint, OfAll, OfCase};

/// A choice: its number, and how many values it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) variable: usize,
    pub(crate) size: usize,
}

/// Choices by ascending numbers.
pub(crate) type Choices = SmallVec<[Choice; 2]>;

/// A tensor in each case of some choices.
#[derive(Clone)]
pub(crate) struct Cases {
    pub(crate) choices: Choices,
    /// One tensor for each combination of values, with the last choice varying fastest.
    pub(crate) all: Rc<AllCases>,
    /// The combination that the run goes on with.
    pub(crate) here: usize,
}

/// An operation on operands at these addresses, and the places of each operand's choices among all.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    op: Op,
    operands: SmallVec<[usize; 3]>,
    places: SmallVec<[u8; 8]>,
}

/// The result of an operation in each case, and its operands, kept so that no other tensor gets their addresses.
struct Known {
    all: Rc<AllCases>,
    _operands: SmallVec<[Tensor; 3]>,
}

thread_local! {
    static KNOWN: RefCell<Option<FxHashMap<Key, Known>>> = const { RefCell::new(None) };
    static LOST: Cell<bool> = const { Cell::new(false) };
}

/// The duration of a run with cases.
pub(crate) struct Collecting {
    before: Option<FxHashMap<Key, Known>>,
    lost_before: bool,
}

impl Collecting {
    /// From now on, until this is dropped, operations on tensors with cases are applied to each case.
    pub(crate) fn start() -> Self {
        Self {
            before: KNOWN.replace(Some(FxHashMap::default())),
            lost_before: LOST.replace(false),
        }
    }

    /// Whether something was done that may not be right in every case.
    pub(crate) fn are_lost(&self) -> bool {
        LOST.get()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        drop(KNOWN.replace(self.before.take()));
        LOST.set(self.lost_before);
    }
}

/// Records that something was done for one case that may be wrong for others.
#[cold]
pub(crate) fn lose() {
    LOST.set(true);
}

/// An axis, which may count from the end, after `lead` axes are put in front.
pub(super) fn behind(axis: isize, lead: usize) -> isize {
    match axis < 0 {
        true => axis,
        false => axis + lead as isize,
    }
}

impl Cases {
    /// The address that identifies the numbers.
    fn address(&self) -> usize {
        Rc::as_ptr(&self.all) as usize
    }

    /// The index of its tensor in a combination of values of all choices, its own being at `places`.
    fn at(&self, places: &[u8], values: &[usize]) -> usize {
        let own = self.choices.iter().zip(places);
        own.fold(0, |at, (choice, &place)| {
            at * choice.size + values[usize::from(place)]
        })
    }
}

/// The tensor of the run's case, together with the others. The choices themselves are not among its sites.
fn with_cases(cases: Cases) -> Option<Tensor> {
    let inner = Rc::clone(cases.all.at(cases.here).0.as_ref().ok()?);
    Some(Tensor::new(Inner {
        cases: Some(Rc::new(cases)),
        ..Inner::clone(&inner)
    }))
}

/// An operation in each case of its operands: `of_case` applies it to one case's tensors, `of_all` to tensors with
/// a number of axes in front of those of a case, which broadcast, and which then have one rank where they have cases.
/// `None` if no operand has cases, or if some case has no result: the caller then goes on with the run's case.
#[inline]
pub(crate) fn each<const N: usize>(
    operands: [&Tensor; N],
    op: impl FnOnce() -> Op,
    of_case: impl Fn([&Tensor; N]) -> Option<Tensor>,
    of_all: impl Fn([&Tensor; N], usize) -> Option<Tensor>,
) -> Option<Tensor> {
    if !operands.iter().any(|x| x.has_cases()) {
        return None;
    }
    let of_case = |x: &[&Tensor]| of_case(std::array::from_fn(|i| x[i]));
    let of_all = |x: &[&Tensor], lead: usize| of_all(std::array::from_fn(|i| x[i]), lead);
    each_of(&operands, Some(op()), &of_case, Some(&of_all))
}

/// As [`each`], for an operation that treats all axes before its own alike, and broadcasts them.
#[inline]
pub(crate) fn broadcast<const N: usize>(
    operands: [&Tensor; N],
    op: impl FnOnce() -> Option<Op>,
    run: impl Fn([&Tensor; N]) -> Option<Tensor>,
) -> Option<Tensor> {
    if !operands.iter().any(|x| x.has_cases()) {
        return None;
    }
    let run = |x: &[&Tensor]| run(std::array::from_fn(|i| x[i]));
    each_of(&operands, op(), &run, Some(&|x, _| run(x)))
}

/// As [`each`], where equal operations are not recognized, and all cases are not done at once.
#[inline]
pub(crate) fn each_apart<const N: usize>(
    operands: [&Tensor; N],
    run: impl Fn([&Tensor; N]) -> Option<Tensor>,
) -> Option<Tensor> {
    if !operands.iter().any(|x| x.has_cases()) {
        return None;
    }
    let run = |x: &[&Tensor]| run(std::array::from_fn(|i| x[i]));
    each_of(&operands, None, &run, None)
}

/// As [`each`], for any number of operands.
#[inline(never)]
pub(super) fn each_of(
    operands: &[&Tensor],
    op: Option<Op>,
    of_case: &OfCase<'_>,
    of_all: Option<&OfAll<'_>>,
) -> Option<Tensor> {
    let all: SmallVec<[Option<&Cases>; 3]> = operands.iter().map(|x| x.cases()).collect();
    let Some(joint) = Joint::of(&all) else {
        lose();
        return None;
    };
    let address = |(x, cases): (&&Tensor, &Option<&Cases>)| match cases {
        Some(cases) => cases.address(),
        None => x.0.as_ref().map_or(0, |inner| Rc::as_ptr(inner) as usize),
    };
    let key = op.map(|op| Key {
        op,
        operands: operands.iter().zip(&all).map(address).collect(),
        places: joint.places.clone(),
    });
    let known = key
        .as_ref()
        .and_then(|key| KNOWN.with_borrow(|known| Some(Rc::clone(&known.as_ref()?.get(key)?.all))));
    let made = match known {
        Some(known) => known,
        None => {
            let together = of_all.and_then(|of_all| joint.together(operands, &all, of_all));
            let made = match together {
                Some(made) => made,
                None => joint.each(operands, &all, of_case)?,
            };
            let made = Rc::new(made);
            if let Some(key) = key {
                let known = Known {
                    all: Rc::clone(&made),
                    _operands: operands.iter().map(|x| (*x).clone()).collect(),
                };
                KNOWN.with_borrow_mut(|all| all.as_mut().map(|all| all.insert(key, known)));
            }
            made
        }
    };
    with_cases(Cases {
        choices: joint.choices,
        all: made,
        here: joint.here,
    })
}

impl Cases {
    /// Applies `look` to the numbers in each case, until it has seen enough.
    fn try_each(&self, mut look: impl FnMut(&[f32]) -> ControlFlow<()>) -> Result<()> {
        if let Some(all) = self.all.if_one() {
            let width = all.len() / self.all.count();
            return all.with_values(|values| match width {
                0 => drop(look(&[])),
                _ => drop(values.chunks_exact(width).try_for_each(look)),
            });
        }
        for tensor in self.all.each() {
            if tensor.with_values(&mut look)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Tensor {
    /// One of the values of a choice, with the others as its cases.
    pub(crate) fn of_choice(choice: Choice, values: &Rc<AllCases>, here: usize) -> Option<Tensor> {
        let cases = Cases {
            choices: SmallVec::from_elem(choice, 1),
            all: Rc::clone(values),
            here,
        };
        with_cases(cases)
    }

    /// The tensor of the run's own case alone.
    pub(crate) fn of_this_case(&self) -> Tensor {
        match self.cases() {
            Some(cases) => cases.all.at(cases.here).clone(),
            None => self.clone(),
        }
    }

    /// The tensor in each case, where it has cases.
    #[inline]
    pub(crate) fn cases(&self) -> Option<&Cases> {
        self.0.as_ref().ok()?.cases.as_deref()
    }

    #[inline]
    pub(crate) fn has_cases(&self) -> bool {
        self.0.as_ref().is_ok_and(|inner| inner.cases.is_some())
    }

    /// Whether `look` holds for the numbers in every case; like [`peek`](Self::peek), this does not count as a read.
    /// What is done then must be right in all cases, and so must what is done otherwise.
    ///
    /// # Errors
    /// If the tensor carries an error.
    pub(crate) fn tells_in_all_cases(&self, look: impl Fn(&[f32]) -> bool) -> Result<bool> {
        let Some(cases) = self.cases() else {
            return self.with_values(look);
        };
        let mut told = true;
        cases.try_each(|numbers| {
            told = look(numbers);
            match told {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(told)
    }

    /// Applies `look` to the numbers, in row-major order; like [`peek`](Self::peek), this does not count as a read. The
    /// run goes on the same way in every case with the same result.
    ///
    /// # Errors
    /// If the tensor carries an error.
    #[inline(always)]
    pub(crate) fn tells<R: PartialEq>(&self, look: impl Fn(&[f32]) -> R) -> Result<R> {
        match self.cases() {
            None => self.with_values(look),
            Some(cases) => {
                let here = cases.all.at(cases.here).with_values(&look)?;
                cases.try_each(|numbers| match look(numbers) == here {
                    true => ControlFlow::Continue(()),
                    false => {
                        lose();
                        ControlFlow::Break(())
                    }
                })?;
                Ok(here)
            }
        }
    }
}

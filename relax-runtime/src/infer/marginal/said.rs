//! What a run says of a term.

use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dist::Number;
use crate::error::Result;
use crate::tensor::{Choices, Tensor};

/// What a run says of a term: a number, or one for each combination of some choices' values.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) choices: Choices,
    numbers: Numbers,
    /// The one at the run's own values.
    pub(super) here: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    One(Got),
    OfCases(Rc<[Got]>),
}

impl Said {
    /// A term's numbers, in all cases that it has.
    pub(super) fn of(number: Number, lists: &mut Lists) -> Result<Self> {
        let cases = match &number {
            Number::Tensor(t) => t.cases(),
            Number::Host(_) => None,
        };
        let Some(cases) = cases else {
            return Ok(Got::of(number)?.into());
        };
        let numbers = match lists.get(&cases.tensors.as_ptr()) {
            Some((_, numbers)) => Rc::clone(numbers),
            None => {
                let of_case = |t: &Tensor| Got::of(Number::Tensor(t.clone()));
                let numbers: Rc<[Got]> =
                    cases.tensors.iter().map(of_case).collect::<Result<_>>()?;
                let known = (Rc::clone(&cases.tensors), Rc::clone(&numbers));
                lists.insert(cases.tensors.as_ptr(), known);
                numbers
            }
        };
        Ok(Self {
            choices: cases.choices.clone(),
            numbers: Numbers::OfCases(numbers),
            here: cases.here,
        })
    }

    /// Whether all numbers can be log-probabilities.
    pub(super) fn is_sound(&self) -> bool {
        match &self.numbers {
            Numbers::One(number) => number.is_sound(),
            Numbers::OfCases(numbers) => numbers.iter().all(Got::is_sound),
        }
    }

    /// How many cases it has.
    pub(super) fn cases(&self) -> usize {
        match &self.numbers {
            Numbers::One(_) => 1,
            Numbers::OfCases(numbers) => numbers.len(),
        }
    }

    /// The number in a case.
    pub(super) fn number(&self, case: usize) -> &Got {
        match &self.numbers {
            Numbers::One(number) => number,
            Numbers::OfCases(numbers) => &numbers[case],
        }
    }

    /// The variables by whose values it has cases, ascending.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        self.choices.iter().map(|choice| choice.variable)
    }

    /// The value of a variable in a case, where it is one of those.
    pub(super) fn value(&self, variable: usize, mut case: usize) -> Option<usize> {
        for choice in self.choices.iter().rev() {
            if choice.variable == variable {
                return Some(case % choice.size);
            }
            case /= choice.size;
        }
        None
    }
}

impl From<Got> for Said {
    fn from(number: Got) -> Self {
        Self {
            choices: Choices::new(),
            numbers: Numbers::One(number),
            here: 0,
        }
    }
}

/// A term's number, and those of its rows.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) number: Number,
    pub(super) rows: SmallVec<[f64; 1]>,
}

impl Got {
    pub(super) fn of(number: Number) -> Result<Self> {
        let rows = match &number {
            Number::Host(x) => SmallVec::from_elem(*x, 1),
            Number::Tensor(t) => {
                t.with_values(|values| values.iter().map(|&x| f64::from(x)).collect())?
            }
        };
        Ok(Self { number, rows })
    }

    /// Whether it can be a log-probability.
    pub(super) fn is_sound(&self) -> bool {
        !self.rows.iter().any(|x| x.is_nan() || *x == f64::INFINITY)
    }

    pub(super) fn of_flags(flags: &[bool]) -> Self {
        Self {
            number: Number::Host(0.0),
            rows: flags.iter().map(|&flag| f64::from(flag)).collect(),
        }
    }
}

/// Lists of tensors by where they are, and their numbers: terms of one list have one list of numbers.
pub(super) type Lists = FxHashMap<*const Tensor, (Rc<[Tensor]>, Rc<[Got]>)>;

//! What one run says about one term: its numbers, one per row, for every combination of the values of the choices that
//! it depends on as tensors, or for the run's own values alone.

use std::ops::Range;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::dist::Number;
use crate::error::Result;
use crate::tensor::{AllCases, Choices, Tensor};

/// What a run says about a term: its rows' numbers, or those for each case, a combination of some choices' values.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) choices: Choices,
    numbers: Numbers,
    /// The case of the run's own values.
    pub(super) here: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    One(Got),
    Apart(Rc<[Got]>),
    /// All cases in one tensor, case by case, and the number of cases.
    Together(Rc<Got>, usize),
}

impl Numbers {
    /// The numbers of a tensor in all cases.
    fn of_cases(all: &AllCases) -> Result<Self> {
        let of_case = |t: &Tensor| Got::of(Number::Tensor(t.clone()));
        Ok(match all.if_one() {
            Some(whole) => Self::Together(Rc::new(of_case(whole)?), all.count()),
            None => Self::Apart(all.each().map(of_case).collect::<Result<_>>()?),
        })
    }
}

impl Said {
    /// Reads a term's numbers in all its cases.
    pub(super) fn of(number: Number, lists: &mut Lists) -> Result<Self> {
        let cases = match &number {
            Number::Tensor(t) => t.cases(),
            Number::Host(_) => None,
        };
        let Some(cases) = cases else {
            return Ok(Got::of(number)?.into());
        };
        let numbers = match lists.0.get(&Rc::as_ptr(&cases.all)) {
            Some((_, numbers)) => numbers.clone(),
            None => {
                let numbers = Numbers::of_cases(&cases.all)?;
                let known = (Rc::clone(&cases.all), numbers.clone());
                lists.0.insert(Rc::as_ptr(&cases.all), known);
                numbers
            }
        };
        Ok(Self {
            choices: cases.choices.clone(),
            numbers,
            here: cases.here,
        })
    }

    /// Whether all numbers can be log-probabilities.
    pub(super) fn is_sound(&self) -> bool {
        match &self.numbers {
            Numbers::One(number) => are_sound(&number.rows),
            Numbers::Apart(numbers) => numbers.iter().all(|got| are_sound(&got.rows)),
            Numbers::Together(all, _) => are_sound(&all.rows),
        }
    }

    /// Whether those at the run's own values can be.
    pub(super) fn is_sound_here(&self) -> bool {
        are_sound(self.rows(self.here))
    }

    /// Number of cases.
    pub(super) fn cases(&self) -> usize {
        match &self.numbers {
            Numbers::One(_) => 1,
            Numbers::Apart(numbers) => numbers.len(),
            Numbers::Together(_, count) => *count,
        }
    }

    /// The numbers of the rows in a case.
    pub(super) fn rows(&self, case: usize) -> &[f64] {
        let (got, rows) = self.got(case);
        &got.rows[rows]
    }

    /// The list that holds a case's numbers, and their range in it.
    pub(super) fn got(&self, case: usize) -> (&Got, Range<usize>) {
        let whole = |got: &Got| 0..got.rows.len();
        match &self.numbers {
            Numbers::One(got) => (got, whole(got)),
            Numbers::Apart(all) => (&all[case], whole(&all[case])),
            Numbers::Together(all, count) => {
                let rows = all.rows.len() / count;
                (all, case * rows..(case + 1) * rows)
            }
        }
    }

    /// The variables whose values define the cases, ascending.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        self.choices.iter().map(|choice| choice.variable)
    }

    /// The value of a variable in a case, if it is one of those.
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

/// A term's number, and the values of its rows.
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

    pub(super) fn of_flags(flags: &[bool]) -> Self {
        Self {
            number: Number::Host(0.0),
            rows: flags.iter().map(|&flag| f64::from(flag)).collect(),
        }
    }
}

/// Whether numbers can be log-probabilities.
fn are_sound(rows: &[f64]) -> bool {
    !rows.iter().any(|x| x.is_nan() || *x == f64::INFINITY)
}

/// The numbers of tensors in all cases, by address: terms with the same tensor share one list of numbers.
#[derive(Default)]
pub(super) struct Lists(FxHashMap<*const AllCases, (Rc<AllCases>, Numbers)>);
